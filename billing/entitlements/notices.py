"""Telling customers how much of an allowance is used: every threshold that is reached, once.

The row comes first, and the database refuses a second for the same contract, feature, period and threshold. Looking is
repeatable: after a batch at what it touched, and by the clock at every customer whose use or terms moved since it was
last looked over, from the first instant that moved on, however long ago. So what is missing is found, whoever died
when; and what was given stays, whatever is voided, sent again or raised later.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from billing.entitlements.access import Question, Standing, agreed_by, answered, question
from billing.entitlements.delivering import address
from billing.entitlements.rollover import INSTANT, Agreed
from billing.metering.decoding import datetime_of
from billing.metering.ingestion import Touched
from billing.models import Notice
from catalog.money import ZERO

CHUNK = 200  # customers looked over together
LOOKED_OVER_EVERY = dt.timedelta(hours=1)
"""How long a customer is left alone where nothing moved but time: an agreement may begin, or a period."""

log = logging.getLogger(__name__)


def tell(touched: Mapping[int, Touched], at: dt.datetime) -> None:
    """Give the notices that a batch is the reason for. The batch is in: what fails here is done by the next look."""
    if not touched:
        return
    try:
        since = {customer: datetime_of(one.earliest) for customer, one in touched.items()}
        given = _Look(since, at)
        with transaction.atomic():
            given.write()
            _mark_batch(touched, given.fullest)
    except Exception:
        # Whatever is wrong with one customer's terms, it must not cost the sender the answer to a stored batch.
        log.exception("customers were not told about their allowances; they are looked over again")


def look_again(customers: Iterable[int], at: dt.datetime) -> None:
    """Look customers over after a deed that is done, whatever becomes of this."""
    try:
        look_over(at, customers)
    except Exception:
        log.exception("customers were not told about their allowances; they are looked over again")


def look_over(at: dt.datetime, customers: Iterable[int] | None = None) -> int:
    """Give every notice that is due and not there: of these customers, or of all whose use, terms or hour moved.

    Returns how many were given.
    """
    due = _due(at, None if customers is None else list(customers))
    count = 0
    for start in range(0, len(due), CHUNK):
        some = due[start : start + CHUNK]
        given = _Look(_moved_since(some, at), at)
        with transaction.atomic():
            count += given.write()
            _mark(some, given.fullest, at)
    return count


class _Look:
    """What of some customers has reached which threshold, from an instant each on to `at`."""

    def __init__(self, since: Mapping[int, dt.datetime], at: dt.datetime) -> None:
        self.at = at
        asked = [one for pk, agreed in agreed_by(sorted(since)) for one in questions(pk, agreed, since[pk], at)]
        standings = answered(asked, with_rollover=False)
        self.fullest = _fullest(standings, at)
        self.reached = _reached(asked, standings)

    def write(self) -> int:
        """Store the notices that are not there yet, and to whom they go; returns how many."""
        rows = [(standing, threshold) for standing, thresholds in self.reached for threshold in thresholds]
        new = _store(rows, self.at) if rows else []
        if new:
            address(new)
        return len(new)


def questions(customer: int, agreed: Agreed, since: dt.datetime, at: dt.datetime) -> Iterator[Question]:
    """Every allowance with thresholds of a customer, in every period from that of `since` to that of `at`."""
    begins = min(since, at)
    features = {name for instant in (begins, at) for _, one in agreed for name in one.entitlements(instant)}
    for feature in sorted(features):
        for found in _periods(customer, agreed, feature, begins, at):
            terms = found.given.terms
            if terms.limit is not None and terms.thresholds and found.period is not None:
                yield found


def _periods(customer: int, agreed: Agreed, feature: str, begins: dt.datetime, at: dt.datetime) -> Iterator[Question]:
    """A feature period by period, each as agreed at its end, the running one as agreed now."""
    while begins <= at:
        found = question(customer, agreed, feature, begins)
        if found is None or found.period is None:
            running = (
                one for _, one in agreed if one.starts_at <= begins and (one.ends_at is None or begins < one.ends_at)
            )
            later = [one.period_at(begins).ends_at for one in running]
            begins = min((one for one in later if one > begins), default=at) if begins < at else at + INSTANT
            continue
        last = question(customer, agreed, feature, min(found.period.ends_at - INSTANT, at))
        if last is not None:
            yield last
        begins = found.period.ends_at


def _fullest(standings: Sequence[Standing], at: dt.datetime) -> dict[int, Decimal]:
    """The highest part of a running allowance that is used, in percent."""
    found: dict[int, Decimal] = {}
    for one in standings:
        if one.period is not None and one.period.contains(at):
            found[one.customer_id] = max(found.get(one.customer_id, ZERO), one.percent or ZERO)
    return found


Reached = list[tuple[Standing, list[int]]]


def _reached(asked: Sequence[Question], standings: Sequence[Standing]) -> Reached:
    """The thresholds that are reached and not told yet.

    What rolled over only raises a limit, so it is worked out only where a threshold of the limit without it is reached.
    """
    near = [(one, standing) for one, standing in zip(asked, standings, strict=True) if _thresholds(standing)]
    known = _told([standing for _, standing in near])
    missing = [one for one, standing in near if set(_thresholds(standing)) - known.get(_place(standing), set())]
    found = [(standing, _thresholds(standing)) for standing in answered(missing)]
    return [
        (one, left)
        for one, reached in found
        if (left := [n for n in reached if n not in known.get(_place(one), set())])
    ]


def _thresholds(standing: Standing) -> list[int]:
    return sorted(one for one in standing.terms.thresholds if standing.has_reached(one))


Place = tuple[int, str, dt.datetime]


def _place(standing: Standing) -> Place:
    assert standing.period is not None
    return standing.contract_id, standing.terms.feature, standing.period.starts_at


_TOLD = """
    SELECT contract_id, feature, period_starts_at, threshold FROM billing_notice
    JOIN unnest(%s::bigint[], %s::text[], %s::timestamptz[]) AS asked (contract_id, feature, period_starts_at)
        USING (contract_id, feature, period_starts_at)
"""


def _told(standings: Sequence[Standing]) -> dict[Place, set[int]]:
    if not standings:
        return {}
    places = [_place(one) for one in standings]
    known: dict[Place, set[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_TOLD, [list(column) for column in zip(*places, strict=True)])
        for contract, feature, starts_at, threshold in cursor.fetchall():
            known.setdefault((contract, feature, starts_at), set()).add(threshold)
    return known


_STORE = """
    INSERT INTO billing_notice (
        contract_id, feature, threshold, period_starts_at, period_ends_at, used, "limit", unit, on_limit, at
    )
    SELECT *, %s::timestamptz FROM unnest(
        %s::bigint[], %s::text[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::numeric[], %s::numeric[],
        %s::text[], %s::text[]
    )
    ON CONFLICT DO NOTHING RETURNING id
"""
"""In the order of their keys, so that two that tell the same wait for each other in one direction."""


def _store(rows: Sequence[tuple[Standing, int]], at: dt.datetime) -> list[int]:
    ordered = sorted(rows, key=lambda row: (*_place(row[0]), row[1]))
    columns: list[list[Any]] = [
        [one.contract_id for one, _ in ordered],
        [one.terms.feature for one, _ in ordered],
        [threshold for _, threshold in ordered],
        [one.period.starts_at for one, _ in ordered if one.period],
        [one.period.ends_at for one, _ in ordered if one.period],
        [one.used for one, _ in ordered],
        [one.limit for one, _ in ordered],
        [one.terms.unit for one, _ in ordered],
        [one.terms.on_limit for one, _ in ordered],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [at, *columns])
        return [pk for (pk,) in cursor.fetchall()]


_MARK_BATCH = """
    INSERT INTO billing_allowancemark AS mark (customer_id, clock, terms, looked_at, fullest)
    SELECT customer_id, clock, 0, 'epoch', fullest
    FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[]) AS seen (customer_id, clock, fullest)
    WHERE clock = 1 OR EXISTS (SELECT FROM billing_allowancemark known WHERE known.customer_id = seen.customer_id)
    ORDER BY customer_id
    ON CONFLICT (customer_id) DO UPDATE SET
        clock = CASE WHEN mark.clock = excluded.clock - 1 THEN excluded.clock ELSE mark.clock END,
        fullest = greatest(mark.fullest, excluded.fullest)
"""
"""The mark moves only from the stamp before the batch's own: another batch in between has looked at its own use alone,
or died before it did."""


def _mark_batch(touched: Mapping[int, Touched], fullest: Mapping[int, Decimal]) -> None:
    customers = sorted(touched)
    columns: list[list[Any]] = [
        customers,
        [touched[pk].clock for pk in customers],
        [fullest.get(pk, ZERO) for pk in customers],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_MARK_BATCH, columns)


@dataclass(frozen=True, slots=True)
class _Due:
    """A customer to look over: the stamp of its clock and the state of its terms now, and the stamp of its mark."""

    customer: int
    clock: int
    terms: int
    marked: int


_DUE = """
    SELECT limited.customer_id, coalesce(clock.clock, 0), limited.terms, coalesce(mark.clock, 0)
    FROM (
        SELECT contract.customer_id, sum(contract.revision + 1) AS terms
        FROM contracts_contract contract
        WHERE contract.status = 'approved' AND (%(all)s OR contract.customer_id = ANY(%(customers)s))
        GROUP BY contract.customer_id
        HAVING bool_or(
            EXISTS (
                SELECT FROM contracts_contractline line
                JOIN catalog_entitlement given ON given.version_id = line.plan_version_id AND given.kind = 'metered'
                WHERE line.contract_id = contract.id AND line.superseded_at IS NULL
            ) OR EXISTS (
                SELECT FROM contracts_allowanceterm term
                WHERE term.contract_id = contract.id AND term.superseded_at IS NULL
            )
        )
    ) limited
    LEFT JOIN billing_usageclock clock ON clock.customer_id = limited.customer_id
    LEFT JOIN billing_allowancemark mark ON mark.customer_id = limited.customer_id
    WHERE NOT %(all)s OR mark.customer_id IS NULL OR mark.clock < clock.clock OR mark.terms <> limited.terms
        OR mark.looked_at <= %(before)s
    ORDER BY limited.customer_id
"""


def _due(at: dt.datetime, customers: list[int] | None) -> list[_Due]:
    asked: dict[str, Any] = {"all": customers is None, "customers": customers or [], "before": at - LOOKED_OVER_EVERY}
    with connection.cursor() as cursor:
        cursor.execute(_DUE, asked)
        return [_Due(*row) for row in cursor.fetchall()]


_MOVED_SINCE = """
    SELECT seen.customer_id, min(bucket.starts_at)
    FROM unnest(%s::bigint[], %s::bigint[]) AS seen (customer_id, clock)
    JOIN billing_bucket bucket ON bucket.customer_id = seen.customer_id AND bucket.clock > seen.clock
    GROUP BY seen.customer_id
"""


def _moved_since(due: Sequence[_Due], at: dt.datetime) -> dict[int, dt.datetime]:
    """Customer -> from when on it is looked over: the first use after its mark, else now."""
    moved = [one for one in due if one.marked < one.clock]
    since = {one.customer: at for one in due}
    if moved:
        with connection.cursor() as cursor:
            cursor.execute(_MOVED_SINCE, [[one.customer for one in moved], [one.marked for one in moved]])
            since |= dict(cursor.fetchall())
    return since


_MARK = """
    INSERT INTO billing_allowancemark AS mark (customer_id, clock, terms, looked_at, fullest)
    SELECT customer_id, clock, terms, %s, fullest
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[]) AS seen (customer_id, clock, terms, fullest)
    ORDER BY customer_id
    ON CONFLICT (customer_id) DO UPDATE SET
        clock = greatest(mark.clock, excluded.clock), terms = excluded.terms, looked_at = excluded.looked_at,
        fullest = excluded.fullest
"""


def _mark(due: Sequence[_Due], fullest: Mapping[int, Decimal], at: dt.datetime) -> None:
    columns: list[list[Any]] = [
        [one.customer for one in due],
        [one.clock for one in due],
        [one.terms for one in due],
        [fullest.get(one.customer, ZERO) for one in due],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [at, *columns])


def notices_in_order() -> list[Notice]:
    """All that were given, in the order they came to be."""
    return list(Notice.objects.select_related("contract__customer").order_by("at", "pk"))
