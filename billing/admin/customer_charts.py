"""A customer's use over time, a chart for each meter: drawn from buckets by hours or days of its time zone."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from django.db import connection

from billing.metering.usage import window_starts, windows
from catalog.models import ADDITIVE, Aggregation, Meter
from catalog.money import exact_sum
from catalog.periods import Period
from contracts.models import Customer

MOST_CHARTS = 8
QUARTER = dt.timedelta(minutes=15)

_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time the charts may show, and the windows it is cut into."""

    name: str
    label: str
    size: Literal["hour", "day"]


SPANS = (
    Span("30d", "30 days", "day"),
    Span("period", "Current period", "day"),
    Span("7d", "7 days, by hour", "hour"),
    Span("48h", "48 hours, by hour", "hour"),
)


@dataclass(frozen=True, slots=True)
class Chart:
    """One meter: what the theme's Chart.js draws, and the same as rows for who does not see it."""

    meter: Meter
    data: str
    options: str
    rows: list[tuple[str, Decimal]]
    total: Decimal | None


def charts_of(
    customer: Customer, at: dt.datetime, zone: ZoneInfo, asked: str, current: Period | None
) -> dict[str, Any]:
    """The charts of the meters used in a span, the busiest meters first; a query for each chart, eight at most."""
    spans = [span for span in SPANS if span.name != "period" or current is not None]
    span = next((one for one in spans if one.name == asked), spans[0])
    period = stretch(span, at, zone, current)
    used = meters_used(customer, period)
    drawn = used[:MOST_CHARTS]
    return {
        "spans": spans,
        "span": span,
        "charts": [chart_of(customer, meter, period, span, zone) for meter in drawn],
        "other_meters": used[MOST_CHARTS:],
    }


def stretch(span: Span, at: dt.datetime, zone: ZoneInfo, current: Period | None) -> Period:
    """The time a span means at an instant. Days are whole local days; it ends with the quarter of an hour that runs."""
    ends_at = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0) + QUARTER
    if span.name == "period" and current is not None and current.starts_at < ends_at:
        return Period(current.starts_at, min(current.ends_at, ends_at))
    if span.size == "hour":
        hours = 48 if span.name == "48h" else 7 * 24
        return Period(ends_at.replace(minute=0) - dt.timedelta(hours=hours - 1), ends_at)
    first = at.astimezone(zone).date() - dt.timedelta(days=29)
    return Period(dt.datetime.combine(first, dt.time(), zone).astimezone(dt.UTC), ends_at)


_USED = """
    SELECT meter.id
    FROM catalog_meter AS meter
    CROSS JOIN LATERAL (
        SELECT starts_at FROM billing_bucket AS bucket
        WHERE bucket.customer_id = %s AND bucket.meter_id = meter.id
            AND bucket.starts_at >= %s AND bucket.starts_at < %s
        LIMIT 1
    ) AS used
"""


def meters_used(customer: Customer, period: Period) -> list[Meter]:
    """The meters that counted something of the customer in a stretch of time, by key."""
    with connection.cursor() as cursor:
        cursor.execute(_USED, [customer.pk, period.starts_at, period.ends_at])
        ids = [pk for (pk,) in cursor.fetchall()]
    return list(Meter.objects.filter(pk__in=ids).order_by("key"))


def chart_of(customer: Customer, meter: Meter, period: Period, span: Span, zone: ZoneInfo) -> Chart:
    """A bar for each window; one without use is nothing, or empty where nothing is no value of the meter."""
    found = {one.starts_at: one.value for one in windows(customer.pk, meter, period, span.size, zone)}
    nothing = Decimal(0) if meter.aggregation in (*ADDITIVE, Aggregation.UNIQUE_COUNT) else None
    starts = window_starts(period, span.size, zone)
    values = [found.get(start, nothing) for start in starts]
    labels = [label_of(start, span, zone) for start in starts]
    data = {
        "labels": labels,
        "datasets": [{"data": values, "backgroundColor": "var(--color-primary-600)", "maxBarThickness": 28}],
    }
    return Chart(
        meter=meter,
        data=_encode(data).decode(),
        options=_encode(options_of(meter)).decode(),
        rows=[(label_of(start, span, zone), found[start]) for start in sorted(found)],
        total=exact_sum(found.values()) if meter.aggregation in ADDITIVE else None,
    )


def label_of(start: dt.datetime, span: Span, zone: ZoneInfo) -> str:
    local = start.astimezone(zone)
    return f"{local.day} {local:%b}" if span.size == "day" else f"{local.day} {local:%b} {local:%H:%M}"


def options_of(meter: Meter) -> dict[str, Any]:
    """Axes that can be read: few labels, short numbers, the unit beside them."""
    return {
        "responsive": True,
        "maintainAspectRatio": False,
        "animation": False,
        "locale": "en",
        "plugins": {"legend": {"display": False}},
        "scales": {
            "x": {"grid": {"display": False}, "ticks": {"maxTicksLimit": 8, "maxRotation": 0, "color": "#6b7280"}},
            "y": {
                "beginAtZero": True,
                "grid": {},
                "ticks": {"maxTicksLimit": 5, "color": "#6b7280", "format": {"notation": "compact"}},
                "title": {"display": bool(meter.unit), "text": meter.unit, "color": "#6b7280"},
            },
        },
    }
