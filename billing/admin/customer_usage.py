"""What a customer uses: its meters by month, and the events that came last."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from billing.metering.lineage import lines_of
from billing.metering.usage import windows
from billing.models import Bucket, Event, Source
from catalog.models import Meter
from catalog.periods import Period
from contracts.models import Customer

MONTHS = 4
LATEST_EVENTS = 50


def usage_of(customer: Customer, at: dt.datetime) -> dict[str, Any]:
    """Everything the page of a customer's use shows, as of an instant."""
    zone = ZoneInfo(customer.timezone or "UTC")
    months = last_months(at, zone)
    return {
        "customer": customer,
        "zone": zone.key,
        "months": [f"{month.starts_at.astimezone(zone):%B %Y}" for month in months],
        "meters": [(meter, by_month(customer, meter, months, zone)) for meter in meters_of(customer, months)],
        "events": latest_events(customer),
    }


def last_months(at: dt.datetime, zone: ZoneInfo) -> list[Period]:
    """The current month of a time zone and those before it, the oldest first."""
    first = at.astimezone(zone).date().replace(day=1)
    starts = [first]
    for _ in range(MONTHS - 1):
        starts.append((starts[-1] - dt.timedelta(days=1)).replace(day=1))
    ends = [(first + dt.timedelta(days=32)).replace(day=1), *starts]
    return [Period(midnight(start, zone), midnight(end, zone)) for start, end in zip(starts, ends, strict=False)][::-1]


def midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


def meters_of(customer: Customer, months: list[Period]) -> list[Meter]:
    """The meters that counted something of the customer in these months."""
    used = Bucket.objects.filter(
        customer_id=customer.pk, starts_at__gte=months[0].starts_at, starts_at__lt=months[-1].ends_at
    )
    return list(Meter.objects.filter(pk__in=used.values("meter_id").distinct()).order_by("key"))


def by_month(customer: Customer, meter: Meter, months: list[Period], zone: ZoneInfo) -> list[Any]:
    """The meter's value in each month, None where nothing was used."""
    whole = Period(months[0].starts_at, months[-1].ends_at)
    found = {window.starts_at: window.value for window in windows(customer.pk, meter, whole, "month", zone)}
    return [found.get(month.starts_at) for month in months]


def latest_events(customer: Customer) -> list[dict[str, Any]]:
    """The events that occurred last, with their source and the invoice lines they were billed on."""
    events = list(Event.objects.filter(customer_id=customer.pk).order_by("-occurred_at")[:LATEST_EVENTS])
    sources = dict(Source.objects.filter(pk__in={event.source_id for event in events}).values_list("pk", "key"))
    lines = lines_of(events) if events else {}
    return [
        {
            "event": event,
            "source": sources.get(event.source_id, f"#{event.source_id}"),
            "lines": lines[event.key],
        }
        for event in events
    ]
