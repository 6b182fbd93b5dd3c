"""What differs between two contents of a plan, to be read: on the console, over the API and at the command line.

Whatever a content says is compared, and shown where it says something; a field that is new needs nothing here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from decimal import Decimal
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Literal

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.text import capfirst

from catalog.entitling import EntitlementDraft
from catalog.models import PLAIN, PlanVersion, Price, PriceKind, PriceModel
from catalog.money import exact
from catalog.publishing import PriceDraft, VersionContent, content_of
from catalog.wording import figure, given_words, price_figure, price_words

Shift = Literal["added", "removed", "changed", "same"]

# What makes no difference to what usage costs.
IDLE_IN_USAGE = ("prorate", "billing")
# What is meant where nothing is said, and how that reads.
USUAL: Mapping[str, Any] = {**PLAIN, "multiplier": 1}
NOTHING = {"effective_from": "from ever"}
TIER_COLUMNS = ("unit_amount", "flat_amount", "cap_amount", "rate_percent")
LABELS = {
    "unit_amount": "each unit", "flat_amount": "flat amount", "cap_amount": "at most", "rate_percent": "percent",
    "included_units": "included units", "billing": "billed", "prorate": "prorated by days",
    "entitlements": "entitlements",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One field, before and after: as it is read, and as it is stored."""

    name: str
    label: str
    before: str
    after: str
    values: tuple[Any, Any] = (None, None)

    @property
    def differs(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class TierPair:
    """A step before and after; a side that has no such step is empty."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    values: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] = (None, None)

    @property
    def changed(self) -> tuple[bool, ...]:
        """Cell by cell: whether it is another one after."""
        return tuple(one != other for one, other in zip_longest(self.before, self.after))

    @property
    def sides(self) -> tuple[Sequence[tuple[str, bool]], Sequence[tuple[str, bool]]]:
        """The cells of both sides, each with whether it is marked."""
        return (
            [(text, mark) for text, mark in zip(self.before, self.changed, strict=False)],
            [(text, mark) for text, mark in zip(self.after, self.changed, strict=False)],
        )


@dataclass(frozen=True, slots=True)
class TierTable:
    """Steps side by side. `columns` come after the bound."""

    columns: tuple[str, ...]
    rows: tuple[TierPair, ...]

    @property
    def width(self) -> int:
        return len(self.columns) + 1

    @property
    def differs(self) -> bool:
        return any(any(row.changed) for row in self.rows)


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A price of one content or of both. `words`: all that it charges, in a line, where that is known."""

    key: str
    name: str
    shift: Shift
    fields: tuple[Said, ...]
    tiers: TierTable | None
    words: str = ""

    @property
    def differing(self) -> list[Said]:
        return [one for one in self.fields if one.differs]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two contents of a plan side by side; no `before`: there is none to compare with."""

    after: str
    before: str | None
    fields: tuple[Said, ...]
    prices: tuple[PriceDifference, ...] = field(default=())

    @property
    def is_same(self) -> bool:
        return not any(one.differs for one in self.fields) and all(price.shift == "same" for price in self.prices)

    def shifted(self, *shifts: Shift) -> list[PriceDifference]:
        return [price for price in self.prices if price.shift in shifts]


def compare_versions(before: PlanVersion | None, after: PlanVersion) -> Difference:
    """Two stored versions, in a fixed number of queries."""
    rows = after.prices.select_related("meter").prefetch_related("tiers")
    words = {price.key: price_words(price, after.currency) for price in rows}
    old = None if before is None else content_of(before)
    return compare(old, content_of(after), names=(None if before is None else str(before), str(after)), words=words)


def compare(
    before: VersionContent | None,
    after: VersionContent,
    *,
    names: tuple[str | None, str],
    words: Mapping[str, str] | None = None,
) -> Difference:
    """Two contents; prices are told by their keys, in the order of the later one, removed ones last."""
    old = {price.key: price for price in before.prices} if before else {}
    new = {price.key: price for price in after.prices}
    currencies = (before.currency if before else after.currency, after.currency)
    keys = [*new, *(key for key in old if key not in new)]
    return Difference(
        after=names[1],
        before=names[0],
        fields=tuple(_fields(_facts(before, but=("prices",)), _facts(after, but=("prices",)), PlanVersion, currencies)),
        prices=tuple(_price(old.get(key), new.get(key), currencies, (words or {}).get(key, "")) for key in keys),
    )


def version_before(version: PlanVersion, on: dt.date) -> PlanVersion | None:
    """What a version is compared with: the one in force that day, else the latest before it."""
    others = version.plan.versions.exclude(pk=version.pk).select_related("plan")
    in_force = others.in_force(on).first()
    if in_force is not None and not version.is_frozen:
        return in_force
    return others.filter(number__lt=version.number).order_by("-number").first() or in_force


def _price(
    before: PriceDraft | None, after: PriceDraft | None, currencies: tuple[str, str], words: str
) -> PriceDifference:
    said = tuple(_fields(_price_facts(before), _price_facts(after), Price, currencies))
    tiers = _tiers(before, after, currencies)
    shown = after or before
    assert shown is not None  # a key of one of the two
    if before is None or after is None:
        shift: Shift = "added" if before is None else "removed"
    else:
        is_other = any(one.differs for one in said) or (tiers is not None and tiers.differs)
        shift = "changed" if is_other else "same"
    return PriceDifference(shown.key, shown.name, shift, said, tiers, words)


def _facts(content: Any, but: Collection[str] = ()) -> dict[str, Any]:
    """What a content says beside these fields, and what it leaves as usual."""
    if content is None:
        return {}
    return {one.name: getattr(content, one.name) for one in fields(content) if one.name not in but}


def _price_facts(price: PriceDraft | None) -> dict[str, Any]:
    if price is None:
        return {}
    arithmetic = {name: value for name, value in price.arithmetic.items() if name != "tiers" and value is not None}
    rest = _facts(price, but=("key", "arithmetic", *(IDLE_IN_USAGE if price.kind == PriceKind.USAGE else ())))
    first: dict[str, Any] = {name: rest.pop(name) for name in ("name", "kind")}
    return {**first, "model": arithmetic.pop("model", None), **arithmetic, **rest}


def _fields(
    before: Mapping[str, Any], after: Mapping[str, Any], model: type[models.Model], currencies: tuple[str, str]
) -> Iterator[Said]:
    """The fields that one of both says something in."""
    for name in {**after, **before}:
        usual = USUAL.get(name, _usual(name))
        old, new = before.get(name, usual), after.get(name, usual)
        texts = tuple(
            "" if not side else _words(model, name, value, currency)
            for side, value, currency in zip((before, after), (old, new), currencies, strict=True)
        )
        if _is_said(name, old, usual) or _is_said(name, new, usual) or (before and after and texts[0] != texts[1]):
            yield Said(name, _label(model, name), texts[0], texts[1], (old if before else None, new if after else None))


def _usual(name: str) -> Any:
    """What a field has where nothing is said."""
    for one in (*fields(PriceDraft), *fields(VersionContent)):
        if one.name == name:
            return one.default if one.default is not MISSING else None
    return None


def _is_said(name: str, value: Any, usual: Any) -> bool:
    return value not in (None, "", (), {}, []) and _plain(value) != _plain(usual)


def _plain(value: Any) -> Any:
    """Numbers however they are written as the same text."""
    if isinstance(value, bool) or value is None:
        return value
    try:
        return figure(exact(value))
    except (TypeError, ValueError):
        return value


def _label(model: type[models.Model], name: str) -> str:
    if name in LABELS:
        return capfirst(LABELS[name]) or ""
    column = _column(model, name)
    return capfirst(str(column.verbose_name) if column is not None else name.replace("_", " ")) or ""


def _column(model: type[models.Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _words(model: type[models.Model], name: str, value: Any, currency: str) -> str:
    if value in (None, "", (), {}, []):
        return NOTHING.get(name, "none")
    column = _column(model, name)
    choices = dict(getattr(column, "flatchoices", ()))
    if choices:
        return str(choices.get(value, value)).lower()
    return value_words(name, value, currency)


def value_words(name: str, value: Any, currency: str) -> str:
    """A value of a field as it reads: an amount with the currency's places, a mapping as a list, yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "unit_conversion":
        rounding = dict(Price._meta.get_field("conversion_rounding").flatchoices).get(value.get("rounding") or "none")
        return f"{'times' if value.get('op') == 'multiply' else 'divided by'} {_plain(value.get('factor'))}, {rounding}"
    if isinstance(value, EntitlementDraft):
        return f"{value.feature} {given_words(value)}"
    if is_dataclass(value):
        said = {one.name: getattr(value, one.name) for one in fields(value)}
        return value_words(name, {key: one for key, one in said.items() if one not in (None, "", (), {}, [])}, currency)
    if isinstance(value, Mapping):
        return "; ".join(f"{key.replace('_', ' ')} {value_words(key, one, currency)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        joint = "; and " if any(is_dataclass(one) or isinstance(one, Mapping) for one in value) else " or "
        return joint.join(value_words(name, one, currency) for one in value)
    try:
        number = exact(value)
    except (TypeError, ValueError):
        return str(value)
    return number_words(name, number, currency)


def number_words(name: str, number: Decimal, currency: str) -> str:
    if name.endswith("_amount") or name.startswith("per_transaction"):
        return price_figure(number, currency)
    return f"{figure(number)} %" if name.endswith("_percent") else figure(number)


def _tiers(before: PriceDraft | None, after: PriceDraft | None, currencies: tuple[str, str]) -> TierTable | None:
    old, new = (_steps(price) for price in (before, after))
    if not old and not new:
        return None
    known = {name for step in (*old, *new) for name, value in step.items() if name != "up_to" and _plain(value) != "0"}
    columns = [name for name in TIER_COLUMNS if name in known]
    columns += sorted(known - {*TIER_COLUMNS}) or ([] if columns else ["unit_amount"])
    rows = []
    for one, other in _pairs([_bound(step) for step in old], [_bound(step) for step in new]):
        before_text = () if one is None else _cells(old, one, columns, currencies[0])
        after_text = () if other is None else _cells(new, other, columns, currencies[1])
        values = (None if one is None else _tier_of(before, one), None if other is None else _tier_of(after, other))
        rows.append(TierPair(before_text, after_text, values))
    labels = tuple(capfirst(LABELS.get(name, name.removeprefix("="))) or "" for name in columns)
    return TierTable(labels, tuple(rows))


def _tier_of(price: PriceDraft | None, index: int) -> Mapping[str, Any]:
    assert price is not None
    tier: Mapping[str, Any] = price.arithmetic["tiers"][index]
    return tier


def _steps(price: PriceDraft | None) -> list[dict[str, Any]]:
    """The tiers with an amount for every value of a dimension beside the others; what says nothing is left out."""
    if price is None:
        return []
    shared = price.arithmetic.get("model") == PriceModel.GRADUATED_BY_DIMENSION
    steps = []
    for tier in price.arithmetic.get("tiers") or ():
        said = {name: value for name, value in tier.items() if value is not None and name != "unit_amounts"}
        if shared and "unit_amount" in said:
            said["=other values"] = said.pop("unit_amount")
        steps.append(said | {f"={name}": amount for name, amount in (tier.get("unit_amounts") or {}).items()})
    return steps


def _bound(step: Mapping[str, Any]) -> Any:
    return _plain(step.get("up_to"))


def _pairs(old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[int | None, int | None]]:
    """Which step stands beside which: those with the same end first, the others between them in their order."""
    for _, first, until, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield from zip_longest(range(first, until), range(start, end))


def _cells(steps: Sequence[Mapping[str, Any]], index: int, columns: Sequence[str], currency: str) -> tuple[str, ...]:
    end = steps[index].get("up_to")
    if end is not None:
        bound = f"up to {_plain(end)}"
    else:
        before = steps[index - 1].get("up_to") if index else None
        bound = "any quantity" if before is None else f"above {_plain(before)}"
    return (bound, *(_cell(steps[index], name, currency) for name in columns))


def _cell(step: Mapping[str, Any], name: str, currency: str) -> str:
    amount = f"{name}_amount" if name.startswith("=") else name
    if name not in step:
        return "-" if name == "cap_amount" or name.startswith("=") else number_words(amount, Decimal(0), currency)
    return value_words(amount, step[name], currency)
