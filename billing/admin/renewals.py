"""Contracts that come to their end: by when one can say no, what becomes of them, and what is at stake.

Three queries, however many contracts there are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import QuerySet

from catalog.periods import local_date
from contracts.extending import next_end, notice_day
from contracts.models import Contract

AHEAD_DAYS = 90
SHOWN = 500

_LAST_PERIODS = """
    WITH latest AS (
        SELECT DISTINCT ON (contract_id) contract_id, starts_at, ends_at FROM billing_periodclose
        WHERE contract_id = ANY(%s) AND reopened_at IS NULL
        ORDER BY contract_id, starts_at DESC
    )
    SELECT latest.contract_id, latest.starts_at, latest.ends_at, coalesce(sum(line.amount), 0)
    FROM latest
    LEFT JOIN (
        billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
            AND invoice.status <> 'voided'
    ) ON line.contract_id = latest.contract_id AND line.period_starts_at = latest.starts_at
    GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Coming:
    """A contract near its end. `value` is what its last closed period came to before tax; None: none is closed yet."""

    contract: Contract
    notice_on: dt.date
    runs_until: dt.date
    tone: str
    state: str
    value: Decimal | None = None
    value_after: Decimal | None = None
    period_start: dt.date | None = None
    period_end: dt.date | None = None


def renewals(at: dt.datetime, *, with_money: bool) -> list[Coming]:
    """The contracts that end within so many days, and those that should have been renewed, the nearest first."""
    contracts = list(ending(at)[:SHOWN])
    values = _last_periods(contracts) if with_money else {}
    return [_coming(contract, at, values.get(contract.pk)) for contract in contracts]


def ending(at: dt.datetime) -> QuerySet[Contract]:
    """Approved contracts that end soon, or have ended although they renew by themselves."""
    until = at.date() + dt.timedelta(days=AHEAD_DAYS)
    rows = Contract.objects.approved().filter(ends_on__lte=until).select_related("customer", "seller")
    gone = rows.filter(ends_on__lt=at.date(), renewal_auto=False).values("pk")
    return rows.exclude(pk__in=gone).order_by("ends_on", "number")


def _coming(contract: Contract, at: dt.datetime, last: tuple[dt.datetime, dt.datetime, Decimal] | None) -> Coming:
    zone = ZoneInfo(contract.timezone_name())
    today, end, notice = local_date(at, zone), contract.ends_on, notice_day(contract)
    assert end is not None and notice is not None, "contracts near their end have one"
    tone, state = _state(contract, today, end, notice)
    found = Coming(contract, notice, next_end(contract, contract.renewal_months), tone, state)
    if last is None:
        return found
    starts_at, ends_at, value = last
    return replace(
        found,
        value=value,
        value_after=value * (100 + contract.renewal_uplift_percent) / 100,
        period_start=local_date(starts_at, zone),
        period_end=local_date(ends_at, zone),
    )


def _state(contract: Contract, today: dt.date, end: dt.date, notice: dt.date) -> tuple[str, str]:
    """(tone, words) of what becomes of it."""
    if contract.renewal_auto:
        if end <= today:
            return "bad", "has ended and was not renewed"
        if notice <= today:
            return "warn", "renews with the next bill run"
        days = (notice - today).days
        return "good", f"renews by itself in {days} day{'' if days == 1 else 's'}"
    days = (end - today).days
    if days <= 0:
        return "bad", "ends today"
    return "warn", f"ends in {days} day{'' if days == 1 else 's'} unless it is renewed"


def _last_periods(contracts: Iterable[Contract]) -> dict[int, tuple[dt.datetime, dt.datetime, Decimal]]:
    with connection.cursor() as cursor:
        cursor.execute(_LAST_PERIODS, [[contract.pk for contract in contracts]])
        return {pk: (starts_at, ends_at, value) for pk, starts_at, ends_at, value in cursor.fetchall()}
