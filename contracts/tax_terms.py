"""What a period is taxed with, as values: rates by category, why none is charged, and what is rounded. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from catalog.money import quantity_text

TaxRounding = Literal["line", "rate", "invoice"]
Relief = Literal["", "exempt", "reverse-charge"]
"""Why no tax is charged, as the code on documents says it; empty: it is."""


@dataclass(frozen=True, slots=True)
class RateTerms:
    """A rate in percent. Of one `category` and `tax` it replaces what began before it; `compound` is taken last."""

    code: str
    percent: Decimal
    category: str = ""
    tax: str = ""
    compound: bool = False


DatedRate = tuple[dt.date | None, RateTerms]
"""A rate and the day it begins; None: from ever."""


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """The rates of a period. With a `relief` none is charged, but they are what prices with tax are brought down by."""

    rates: tuple[RateTerms, ...] = ()
    relief: Relief = ""
    rounding: TaxRounding = "line"

    def of(self, category: str) -> tuple[RateTerms, ...]:
        """The rates in a price of this category: of each tax those of the category, else those of all."""
        own = {rate.tax for rate in self.rates if category and rate.category == category}
        return tuple(rate for rate in self.rates if rate.category == (category if rate.tax in own else ""))

    def charged(self, category: str) -> tuple[RateTerms, ...]:
        """The rates that are charged on it, or what documents say instead of one."""
        return (RateTerms(self.relief, Decimal(0)),) if self.relief else self.of(category)

    def as_json(self) -> dict[str, Any]:
        """As a closed period keeps it; what is as usual is left out."""
        rates = [
            {"code": rate.code, "percent": quantity_text(rate.percent)}
            | {name: value for name in ("category", "tax", "compound") if (value := getattr(rate, name))}
            for rate in self.rates
        ]
        found: dict[str, Any] = {"rates": rates} if rates else {}
        if self.relief:
            found["relief"] = self.relief
        return found if self.rounding == "line" else {**found, "rounding": self.rounding}


def tax_from_json(stored: Mapping[str, Any]) -> TaxTerms:
    """What a closed period has kept."""
    rates = (RateTerms(**{**rate, "percent": Decimal(rate["percent"])}) for rate in stored.get("rates", ()))
    return TaxTerms(tuple(rates), stored.get("relief", ""), stored.get("rounding", "line"))


def rates_on(day: dt.date, dated: Iterable[DatedRate]) -> tuple[RateTerms, ...]:
    """The rates in force on a day, those that are taken on others last."""
    begun = [(start or dt.date.min, rate) for start, rate in dated if start is None or start <= day]
    latest: dict[tuple[str, str], dt.date] = {}
    for start, rate in begun:
        key = (rate.category, rate.tax)
        latest[key] = max(latest.get(key, start), start)
    found = (rate for start, rate in begun if latest[rate.category, rate.tax] == start)
    return tuple(sorted(found, key=lambda rate: (rate.compound, rate.tax, rate.code)))
