"""Check 3: the buckets hold what the accepted events come to, net of corrections, counted again by the pure fold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import fields

from billing.metering.aggregation import Latest, Partial
from billing.metering.directory import meter_plan
from billing.metering.recount import CustomerMonth, Difference, recount_month
from catalog.models import Meter
from catalog.money import quantity_text
from contracts.models import Customer
from revops.reconciliation.report import Check
from revops.reconciliation.snapshot import rows

MOST_NAMED = 3  # of the distinct values in which a bucket differs

_FIGURES = """
    SELECT (SELECT count(*) FROM billing_event),
        (SELECT count(DISTINCT key) FROM billing_correction WHERE kind = 'void'),
        (SELECT count(DISTINCT key) FROM billing_correction WHERE kind = 'amend'),
        (SELECT count(*) FROM billing_bucket), (SELECT count(*) FROM billing_distinctvalue)
"""

_ORPHANS = """
    SELECT correction.kind, source.key, correction.event_id
    FROM billing_correction correction LEFT JOIN billing_source source ON source.id = correction.source_id
    WHERE NOT EXISTS (
        SELECT 1 FROM billing_event event WHERE event.customer_id = correction.customer_id
            AND event.occurred_at = correction.occurred_at AND event.key = correction.key
    )
"""


def prove_counted(months: list[CustomerMonth], advance: Callable[[int], object]) -> Check:
    """Recount these months of customers, which are all; `advance` hears of each one done."""
    check = Check(3, "buckets")
    meters = Meter.objects.in_bulk()
    plans = {pk: meter_plan(meter) for pk, meter in meters.items()}
    for month in months:
        for difference in recount_month(month, plans):
            _name(check, difference, meters)
        advance(1)
    for kind, source, event_id in rows(_ORPHANS):
        where = {"source": source or "", "id": event_id}
        check.leak(f"a correction ({kind}) of no event", where, "an event", "none")
    events, voided, amended, buckets, values = rows(_FIGURES)[0]
    standing = events - voided
    check.figures = {
        "events": events,
        "voided": voided,
        "amended": amended,
        "standing": standing,
        "buckets": buckets,
        "distinct_values": values,
        "differences": check.leaked,
    }
    check.sentence = (
        f"{events:,} events - {voided:,} voided = {standing:,} standing ({amended:,} amended), recounted into"
        f" {buckets:,} buckets: {check.leaked:,} differ"
    )
    return check


def _name(check: Check, difference: Difference, meters: dict[int, Meter]) -> None:
    customer = Customer.objects.filter(pk=difference.customer_id).values_list("key", flat=True).first()
    meter = meters.get(difference.meter_id)
    where: dict[str, str | int] = {
        "customer": customer or difference.customer_id,
        "meter": meter.key if meter else difference.meter_id,
        "quarter": difference.starts_at.astimezone(dt.UTC).isoformat(),
    }
    if difference.group:
        where["group"] = difference.group
    expected, found = difference.expected, difference.found
    unlike = [one.name for one in fields(Partial) if getattr(expected, one.name) != getattr(found, one.name)]
    sides = _said(expected, found, unlike), _said(found, expected, unlike)
    check.leak("a bucket is not what its events come to", where, *sides)


def _said(partial: Partial, other: Partial, names: list[str]) -> str:
    """The values in which a partial differs from the other; of distinct values, how many, and which are only here."""
    said = []
    for name in names:
        value = getattr(partial, name)
        if isinstance(value, frozenset):
            only = sorted(partial.values - other.values)
            more = f" and {len(only) - MOST_NAMED} more" if len(only) > MOST_NAMED else ""
            value = f"{len(value)}" + (f" (only here {', '.join(only[:MOST_NAMED])}{more})" if only else "")
        elif isinstance(value, Latest):
            value = f"{quantity_text(value.value)} at {value.at.isoformat()} (clock {value.clock})"
        elif hasattr(value, "normalize"):
            value = quantity_text(value)
        said.append(f"{name} {'none' if value is None else value}")
    return ", ".join(said)
