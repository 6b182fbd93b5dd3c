"""How customers stand, for a page of the list: what they owe, when they last used something, what is held.

Each is one query for all customers of the page; use is read from the ends of its index, never counted.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum

from billing.models import CreditUse, HeldRecord, HeldStatus, Invoice
from contracts.models import Customer, CustomerAlias


@dataclass(slots=True)
class Standing:
    """`owed` and `overdue` by currency; `held` counts open records that name the customer."""

    owed: dict[str, Decimal] = field(default_factory=dict)
    overdue: dict[str, Decimal] = field(default_factory=dict)
    last_use: dt.datetime | None = None
    held: int = 0


def standing_of(customers: Sequence[Customer], today: dt.date, *, with_held: bool) -> dict[int, Standing]:
    """Customer id -> how it stands. Six queries, however many customers; three without what is held."""
    found = {customer.pk: Standing() for customer in customers}
    for pk, currency, owed, overdue in open_amounts(found, today):
        found[pk].owed[currency] = owed
        if overdue:
            found[pk].overdue[currency] = overdue
    for pk, last_use in last_uses(found):
        found[pk].last_use = last_use
    for pk, held in held_of(customers).items() if with_held else ():
        found[pk].held = held
    return found


def open_amounts(customers: Iterable[int], today: dt.date) -> list[tuple[int, str, Decimal, Decimal | None]]:
    """(customer id, currency, what is due, the part that is overdue)."""
    due = Invoice.objects.invoices().issued().filter(customer__in=list(customers), amount_due__gt=0)
    sums = (
        due.order_by()
        .values("customer", "currency")
        .annotate(owed=Sum("amount_due"), overdue=Sum("amount_due", filter=Q(due_on__lt=today)))
    )
    return list(sums.order_by("currency").values_list("customer", "currency", "owed", "overdue"))


def credit_left(customer: Customer) -> list[tuple[str, Decimal]]:
    """(currency, what is left of the customer's credit notes), where something is."""
    left: dict[str, Decimal] = defaultdict(Decimal)
    notes = Invoice.objects.credit_notes().issued().filter(customer=customer)
    for currency, total in notes.order_by().values_list("currency").annotate(total=Sum("total")):
        left[currency] -= total
    uses = CreditUse.objects.standing().filter(credit_note__in=notes).order_by()
    for currency, spent in uses.values_list("credit_note__currency").annotate(spent=Sum("amount")):
        left[currency] -= spent
    return [(currency, amount) for currency, amount in sorted(left.items()) if amount > 0]


_LAST_USE = """
    SELECT asked.customer_id, max(latest.starts_at)
    FROM unnest(%s::bigint[]) AS asked (customer_id)
    CROSS JOIN catalog_meter AS meter
    CROSS JOIN LATERAL (
        SELECT starts_at FROM billing_bucket AS bucket
        WHERE bucket.customer_id = asked.customer_id AND bucket.meter_id = meter.id
        ORDER BY starts_at DESC LIMIT 1
    ) AS latest
    GROUP BY asked.customer_id
"""


def last_uses(customers: Iterable[int]) -> list[tuple[int, dt.datetime]]:
    """(customer id, start of the last quarter of an hour with use), where there was any."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_USE, [list(customers)])
        return list(cursor.fetchall())


def held_of(customers: Sequence[Customer]) -> dict[int, int]:
    """Customer id -> open records whose subject is one of its names, or that are most likely its own."""
    names = names_of(customers)
    keys = {customer.key: customer.pk for customer in customers}
    found: dict[int, int] = defaultdict(int)
    for subject, records in _counted("subject", named(names)):
        found[names[subject]] += records
    for key, records in _counted("estimate__customer", guessed(keys, names)):
        found[keys[key]] += records
    return found


def _counted(name: str, rows: QuerySet[HeldRecord]) -> list[tuple[str, int]]:
    return list(rows.order_by().values(name).annotate(records=Count("pk")).values_list(name, "records"))


def named(names: Iterable[str]) -> QuerySet[HeldRecord]:
    """Open records with one of these subjects."""
    return HeldRecord.objects.filter(status=HeldStatus.OPEN, subject__in=list(names))


def guessed(keys: Iterable[str], names: Iterable[str]) -> QuerySet[HeldRecord]:
    """Open records with another subject that are most likely of one of these customers."""
    likely = HeldRecord.objects.filter(status=HeldStatus.OPEN, estimate__customer__in=list(keys))
    return likely.exclude(subject__in=list(names))


def names_of(customers: Sequence[Customer]) -> dict[str, int]:
    """Every name under which events of these customers arrive -> the customer's id."""
    aliases = CustomerAlias.objects.filter(customer__in=[customer.pk for customer in customers])
    return dict(aliases.values_list("subject", "customer")) | {customer.key: customer.pk for customer in customers}
