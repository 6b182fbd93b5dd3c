"""What grants and credit notes have: drawn, come back, left, expired. Set-based.

Of a prepaid grant, what its uses say; of a promotional one, what the lines of standing documents took off, drafts too.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db.models import Case, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Sum, When

from billing.models import CreditUse, Invoice, InvoiceLine, InvoiceStatus, LineKind, PeriodClose
from catalog.money import ZERO
from catalog.periods import local_midnight
from contracts.models import ContractStatus, CreditGrant, GrantKind

State = Literal["draft", "withdrawn", "expired", "used up", "not begun", "open"]


@dataclass(frozen=True, slots=True)
class GrantBalance:
    """A grant at an instant: its amount is what is drawn, left, expired and withdrawn.

    `returned` is what of all that was ever drawn came back.
    """

    grant: CreditGrant
    drawn: Decimal
    returned: Decimal
    left: Decimal
    expired: Decimal
    withdrawn: Decimal
    state: State


def grants() -> QuerySet[Any]:
    """Every grant of every contract once, as it is in force or was last, with what `balance_of` reads."""
    same = CreditGrant.objects.filter(contract=OuterRef("contract"), key=OuterRef("key"))
    later = Q(superseded_at__gt=OuterRef("superseded_at")) | Q(
        superseded_at=OuterRef("superseded_at"), pk__gt=OuterRef("pk")
    )
    newer = same.filter(Q(superseded_at__isnull=True) | later).exclude(pk=OuterRef("pk"))
    closed = PeriodClose.objects.standing().filter(contract=OuterRef("contract")).order_by()
    found: QuerySet[Any] = (
        CreditGrant.objects.filter(~Exists(newer))
        .select_related("contract__customer", "contract__seller")
        .annotate(
            drawn=_sum_of(Q(returned_at__isnull=True), ~Q(invoice__status=InvoiceStatus.VOIDED)),
            returned=_sum_of(
                Q(returned_at__isnull=False),
                Q(invoice__status=InvoiceStatus.VOIDED, amount__lt=0),
                Q(amount__gt=0) & ~Q(invoice__status=InvoiceStatus.VOIDED),
            ),
            closed_until=Subquery(closed.values("contract").annotate(until=Max("ends_at")).values("until")),
        )
    )
    return found


def _sum_of(of_uses: Q, of_lines: Q, of_lines_back: Q | None = None) -> Case:
    """The sum of a grant's uses where it is prepaid, of its lines (which are below zero) where it is promotional.

    Lines above zero, of `of_lines_back`, count as they are.
    """
    uses = CreditUse.objects.filter(contract=OuterRef("contract"), grant_key=OuterRef("key")).order_by()
    lines = promotional_lines().filter(contract=OuterRef("contract"), term=OuterRef("key")).order_by()
    taken = -Sum("amount", filter=of_lines, default=ZERO)
    if of_lines_back is not None:
        taken += Sum("amount", filter=of_lines_back, default=ZERO)
    return Case(
        When(
            kind=GrantKind.PREPAID,
            then=Subquery(uses.values("grant_key").annotate(sum=Sum("amount", filter=of_uses)).values("sum")),
        ),
        default=Subquery(lines.values("term").annotate(sum=taken).values("sum")),
    )


def promotional_lines() -> QuerySet[InvoiceLine]:
    """The lines that promotional grants have on documents; their term is the grant's key."""
    return InvoiceLine.objects.filter(entry_kind=LineKind.CREDIT, entry_key__startswith="grant/")


def balance_of(grant: Any, at: dt.datetime) -> GrantBalance:
    """How a grant of `grants` stands at an instant."""
    drawn, returned = grant.drawn or ZERO, grant.returned or ZERO
    unspent = max(grant.amount - drawn, ZERO)
    state = _state(grant, unspent, at)
    return GrantBalance(
        grant=grant,
        drawn=drawn,
        returned=returned,
        left=ZERO if state in ("expired", "withdrawn") else unspent,
        expired=unspent if state == "expired" else ZERO,
        withdrawn=unspent if state == "withdrawn" else ZERO,
        state=state,
    )


def _state(grant: Any, unspent: Decimal, at: dt.datetime) -> State:
    contract = grant.contract
    if contract.status != ContractStatus.APPROVED:
        return "draft"
    if grant.superseded_at is not None:
        return "withdrawn"
    if not unspent:
        return "used up"
    if has_expired(grant, at):
        return "expired"
    return "not begun" if at < begins_at(grant) else "open"


def has_expired(grant: Any, at: dt.datetime) -> bool:
    """Whether the days of a grant are over.

    A promotional one lowers the periods that its days touch, and so lives on until these are closed.
    """
    ends_at = expires_at(grant)
    if ends_at is None or at < ends_at:
        return False
    return grant.kind == GrantKind.PREPAID or (grant.closed_until is not None and grant.closed_until >= ends_at)


def begins_at(grant: CreditGrant) -> dt.datetime:
    return local_midnight(grant.starts_on, _zone(grant))


def expires_at(grant: CreditGrant) -> dt.datetime | None:
    return None if grant.expires_on is None else local_midnight(grant.expires_on, _zone(grant))


def _zone(grant: CreditGrant) -> ZoneInfo:
    return ZoneInfo(grant.contract.timezone_name())


def credit_notes() -> QuerySet[Any]:
    """Issued credit notes, with what is spent of each and what is left."""
    spent = CreditUse.objects.standing().filter(credit_note=OuterRef("pk")).order_by()
    sums = Subquery(spent.values("credit_note").annotate(sum=Sum("amount")).values("sum"))
    notes = Invoice.objects.credit_notes().issued().select_related("contract")
    return notes.annotate(spent=sums).annotate(granted=-F("total"))
