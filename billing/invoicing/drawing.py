"""Drawing credit: what prepaid grants and credit notes pay of documents, once, at their issue; never recomputed.

A grant pays documents of its contract on the days it may be spent; one for some prices pays at most what lies on these
with tax. Grants come first, by priority, expiry and place, because they may expire; then the credit notes of the
customer, with any contract of the same seller and currency, the oldest first.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Sum

from billing.models import CreditUse, Invoice, InvoiceLine
from billing.rating.credits import Credit, Payable, pay_document, turn
from catalog.money import ZERO, exact_sum
from catalog.periods import local_date
from contracts.models import CreditGrant, GrantKind

PREPAID = "Prepaid credit"

ByPrice = Mapping[str, Decimal]
"""Price -> what lies on it on a document, with tax."""


@dataclass
class OpenCredit:
    """A prepaid grant, or a credit note, and what is left of it."""

    left: Decimal
    grant: CreditGrant | None = None
    note: Invoice | None = None

    def may_pay(self, on: dt.date) -> bool:
        grant = self.grant
        return grant is None or (grant.starts_on <= on and (grant.expires_on is None or on < grant.expires_on))

    def as_credit(self) -> Credit:
        scope = frozenset(self.grant.applies_to) if self.grant and self.grant.applies_to else None
        return Credit("", self.left, scope)

    def spent_on(self, document: Invoice, amount: Decimal, at: dt.datetime) -> CreditUse:
        """What was spent, as a row not yet stored."""
        self.left -= amount
        use = CreditUse(credit_note=self.note, invoice=document, amount=amount, remaining=self.left, used_at=at)
        if self.grant is not None:
            use.contract_id, use.grant_key = self.grant.contract_id, self.grant.key
            use.description = self.grant.name or PREPAID
        return use


def draw_credit(
    documents: Sequence[Invoice], at: dt.datetime, *, unlocked: Sequence[Iterable[InvoiceLine]] | None = None
) -> list[list[CreditUse]]:
    """Spend open credit on each document; returns what was drawn for each, not yet stored.

    Sets what is credited and what is due then. At issue the caller has locked the contracts, which no other then draws
    from. With `unlocked`, the lines of each document, it shows what an issue now would draw, also of documents that are
    not stored.
    """
    charged = [document for document in documents if document.total > 0]
    grants = open_grants({document.contract_id for document in charged})
    notes = _open_notes({document.customer_id for document in charged}, lock=unlocked is None)
    if not any(one.grant and one.grant.applies_to for found in grants.values() for one in found):
        by_price: list[ByPrice] = [{} for _ in documents]
    elif unlocked is not None:
        by_price = [_of_lines(lines) for lines in unlocked]
    else:
        by_price = _of_stored(documents)
    drawn = []
    for document, parts in zip(documents, by_price, strict=True):
        day = local_date(at, ZoneInfo(document.contract.timezone_name()))
        mine = notes.get((document.customer_id, document.seller_id, document.currency), [])
        credits = [one for one in (*grants.get(document.contract_id, ()), *mine) if one.may_pay(day)]
        drawn.append(_draw(document, parts, credits, at))
    return drawn


def _draw(document: Invoice, parts: ByPrice, credits: Sequence[OpenCredit], at: dt.datetime) -> list[CreditUse]:
    due = max(document.total, ZERO)
    payable = [Payable(price, amount) for price, amount in parts.items()]
    paid = pay_document(due, payable, [one.as_credit() for one in credits])
    document.credited = exact_sum(paid)
    document.amount_due = due - document.credited
    return [one.spent_on(document, amount, at) for one, amount in zip(credits, paid, strict=True) if amount]


def _of_lines(lines: Iterable[InvoiceLine]) -> ByPrice:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        found[line.price] += line.amount + line.tax_amount
    return found


def _of_stored(documents: Sequence[Invoice]) -> list[ByPrice]:
    found: dict[int, dict[str, Decimal]] = defaultdict(dict)
    lines = InvoiceLine.objects.filter(invoice__in=[document.pk for document in documents]).order_by()
    sums = lines.values_list("invoice", "price").annotate(net=Sum("amount"), tax=Sum("tax_amount"))
    for pk, price, net, tax in sums:
        found[pk][price] = net + tax
    return [found[document.pk] for document in documents]


def open_grants(contracts: Iterable[int]) -> dict[int, list[OpenCredit]]:
    """Contract id -> its prepaid grants with something left, whenever they may be spent, in the order of drawing."""
    ids = set(contracts)
    rows = list(CreditGrant.objects.in_force().filter(contract__in=ids, kind=GrantKind.PREPAID)) if ids else []
    if not rows:
        return {}
    uses = CreditUse.objects.standing().filter(contract__in={row.contract_id for row in rows}).order_by()
    spent = {(pk, key): sum for pk, key, sum in uses.values_list("contract", "grant_key").annotate(sum=Sum("amount"))}
    found: dict[int, list[OpenCredit]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: turn(row.priority, row.expires_on)):
        left = row.amount - spent.get((row.contract_id, row.key), ZERO)
        if left > 0:
            found[row.contract_id].append(OpenCredit(left, grant=row))
    return found


_LEFT = """
    SELECT note.id, -note.total - coalesce(spent.amount, 0)
    FROM billing_invoice note
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS amount FROM billing_credituse WHERE credit_note_id = note.id AND returned_at IS NULL
    ) spent
    WHERE note.customer_id = ANY(%s) AND note.document = 'credit_note' AND note.status = 'issued'
      AND -note.total > coalesce(spent.amount, 0)
"""


def _open_notes(customers: set[int], *, lock: bool) -> dict[tuple[int, int, str], list[OpenCredit]]:
    """(customer, seller, currency) -> issued credit notes with something left, the oldest first."""
    found: dict[tuple[int, int, str], list[OpenCredit]] = defaultdict(list)
    if not customers:
        return found
    if lock:
        notes = Invoice.objects.credit_notes().issued().filter(customer__in=customers)
        list(notes.select_for_update().order_by("pk").values_list("pk"))
    with connection.cursor() as cursor:
        # A statement after the locks: what others have spent before they let go is seen.
        cursor.execute(_LEFT, [list(customers)])
        left: dict[int, Decimal] = dict(cursor.fetchall())
    documents = Invoice.objects.in_bulk(left)
    for pk in sorted(left):
        note = documents[pk]
        found[note.customer_id, note.seller_id, note.currency].append(OpenCredit(left[pk], note=note))
    return found
