"""What a contract says once it runs on past its end: for how long and at which prices, and how that is agreed."""

from __future__ import annotations

import datetime as dt
import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction

from catalog.money import quantize
from catalog.periods import clamped
from contracts.drafts import CommitmentDraft, LineDraft, OverrideDraft, TermsDraft
from contracts.models import Contract

UPLIFT_PLACES = 6
LONGEST_RENEWAL = 120  # months
LONGEST_NOTICE = 1000  # days


@dataclass(frozen=True, slots=True)
class Renewal:
    """How a contract runs on at its end. `auto`: by itself, unless it is cancelled before the notice day."""

    auto: bool = False
    months: int = 12
    notice_days: int = 30
    uplift_percent: Decimal = Decimal(0)

    @classmethod
    def of(cls, contract: Contract) -> Renewal:
        return cls(**{one.name: getattr(contract, f"renewal_{one.name}") for one in fields(cls)})

    def columns(self) -> dict[str, object]:
        """The columns of a contract that say it."""
        return {f"renewal_{one.name}": getattr(self, one.name) for one in fields(self)}

    def put(self, contract: Contract) -> None:
        for name, value in self.columns().items():
            setattr(contract, name, value)


RENEWAL_COLUMNS = tuple(Renewal().columns())


def notice_day(contract: Contract) -> dt.date | None:
    """The first day on which a contract that renews by itself does; None where it has no end."""
    return contract.ends_on and contract.ends_on - dt.timedelta(days=contract.renewal_notice_days)


def next_end(contract: Contract, months: int) -> dt.date:
    """The end so many months on, as counted from the contract's start: an end on the last of a month does not drift.

    An end that is no day of the contract's own grid keeps its number, or stays on the last of the month.
    """
    before = contract.ends_on
    assert before is not None, "a contract without an end has no next one"
    last = monthrange(before.year, before.month)[1]
    own = [day for day in (contract.bill_day, contract.starts_on.day) if day and min(day, last) == before.day]
    day = own[0] if own else 31 if before.day == last else before.day
    return clamped(before.year, before.month - 1 + months, day)


def compounded(uplift: Decimal, more: Decimal) -> Decimal:
    """One percentage on top of another, to six decimals: 3 and 3 are 6.09."""
    factor = (1 + Fraction(uplift) / 100) * (1 + Fraction(more) / 100)
    return quantize((factor - 1) * 100, UPLIFT_PLACES)


def extended(terms: TermsDraft, before: dt.date, until: dt.date, uplift: Decimal) -> TermsDraft:
    """The terms of a contract that ended on a day and now ends on a later one.

    Lines that ran to the end run on, with an uplift as lines of their own from the old end. Overrides and commitments
    that ran to it run on too; a commitment for the whole term begins anew. Discounts and grants keep their days.
    """
    return replace(
        terms,
        lines=tuple(one for line in terms.lines for one in _lines(line, before, until, uplift)),
        overrides=tuple(_override(one, before, until) for one in terms.overrides),
        commitments=tuple(new for one in terms.commitments for new in _commitments(one, before, until)),
    )


def runs_to_end(line: LineDraft, end: dt.date) -> bool:
    return line.starts_on < end and (line.ends_on is None or line.ends_on >= end)


def _lines(line: LineDraft, before: dt.date, until: dt.date, uplift: Decimal) -> Iterator[LineDraft]:
    if not runs_to_end(line, before):
        yield line
        return
    ends_on = None if line.ends_on is None else until
    if not uplift:
        yield replace(line, ends_on=ends_on)
        return
    yield replace(line, ends_on=before)
    raised = compounded(line.uplift_percent, uplift)
    yield replace(line, starts_on=before, ends_on=ends_on, uplift_percent=raised)


def _override(override: OverrideDraft, before: dt.date, until: dt.date) -> OverrideDraft:
    return replace(override, ends_on=until) if override.ends_on == before else override


def _commitments(one: CommitmentDraft, before: dt.date, until: dt.date) -> Iterator[CommitmentDraft]:
    if one.starts_on >= before or (one.ends_on is not None and one.ends_on < before):
        yield one
    elif one.interval == "term":
        yield replace(one, ends_on=before)
        ends_on = None if one.ends_on is None else until
        yield replace(one, key=_key_from(one.key, before), starts_on=before, ends_on=ends_on)
    else:
        yield replace(one, ends_on=None if one.ends_on is None else until)


def _key_from(key: str, day: dt.date) -> str:
    """The key of a term that begins anew on a day: that of the one before, and the day."""
    root = re.sub(r"\.\d{4}-\d{2}-\d{2}$", "", key)
    return f"{root[:69]}.{day}"
