"""What a check of the books says: figures, leaks, what is pending, findings. As JSON and as text."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from catalog.money import money_text, quantity_text

MOST_LISTED = 100  # leaks (or findings) of one kind; all of them are counted

Where = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that is not as it must be: where, what was expected there and what was found."""

    check: int
    what: str
    where: Where
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        return f"leak in {self.check}: {self.what}: {_said(self.where)}; expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Pending:
    """Money that the next bill run will move: net of tax, in the contract's currency, and why it waits."""

    contract: str
    period_start: str
    amount: str
    currency: str
    why: str

    def __str__(self) -> str:
        return f"pending: {self.contract} from {self.period_start}: {self.amount} {self.currency}: {self.why}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something somebody should look at. Not a leak: the books account for it."""

    check: int
    what: str
    where: Where
    found: str

    def __str__(self) -> str:
        return f"finding in {self.check}: {self.what}: {_said(self.where)}: {self.found}"


@dataclass
class Check:
    """One of the proofs, while it is made and after. Of many leaks of one kind the first are listed, all counted."""

    number: int
    title: str
    sentence: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    leaks: list[Leak] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    leaked: int = 0
    _seen: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        return not self.leaks

    @property
    def not_listed(self) -> int:
        """Leaks and findings beyond those that are listed."""
        return sum(max(0, n - MOST_LISTED) for n in self._seen.values())

    def leak(self, what: str, where: Where, expected: object, found: object) -> None:
        self.leaked += 1
        self._seen[what] += 1
        if self._seen[what] <= MOST_LISTED:
            self.leaks.append(Leak(self.number, what, where, _text(expected), _text(found)))

    def find(self, what: str, where: Where, found: object) -> None:
        self._seen[what] += 1
        if self._seen[what] <= MOST_LISTED:
            self.findings.append(Finding(self.number, what, where, str(found)))

    def as_json(self) -> dict[str, Any]:
        figures = {**self.figures, "not_listed": self.not_listed} if self.not_listed else self.figures
        return {"check": self.number, "title": self.title, "ok": self.ok, "figures": figures}

    def __str__(self) -> str:
        return f"{self.number} {self.title}: {self.sentence}  {'ok' if self.ok else 'LEAK'}"


@dataclass(frozen=True)
class Report:
    """The books at an instant."""

    at: dt.datetime
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def leaks(self) -> list[Leak]:
        return [leak for check in self.checks for leak in check.leaks]

    @property
    def pending(self) -> list[Pending]:
        return [pending for check in self.checks for pending in check.pending]

    @property
    def findings(self) -> list[Finding]:
        return [finding for check in self.checks for finding in check.findings]

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "ok": self.ok,
            "checks": [check.as_json() for check in self.checks],
            "leaks": [asdict(leak) for leak in self.leaks],
            "pending": [asdict(pending) for pending in self.pending],
            "findings": [asdict(finding) for finding in self.findings],
        }

    def as_text(self) -> str:
        """A line for each check, then one for each leak, pending amount and finding."""
        lines: list[object] = [*self.checks, *self.leaks, *self.pending, *self.findings]
        not_listed = sum(check.not_listed for check in self.checks)
        if not_listed:
            lines.append(f"and {not_listed:,} more of the same kinds")
        return "\n".join(str(line) for line in lines)


def money(amount: Decimal, currency: str) -> str:
    """The amount with the currency's places; one that should never have come to be, as it is."""
    try:
        return money_text(amount, currency)
    except ValueError:
        return quantity_text(amount)


def _said(where: Where) -> str:
    return ", ".join(f"{name} {value}" for name, value in where.items())


def _text(value: object) -> str | None:
    return None if value is None else str(value)
