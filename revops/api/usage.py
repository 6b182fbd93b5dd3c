"""What was used: meters over time, and the next invoices."""

from __future__ import annotations

import datetime as dt
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from billing.invoicing.preview import UnableToPreview, previews
from billing.metering.usage import UnableToMeasure, windows
from catalog.models import Meter
from catalog.money import quantity_text
from catalog.periods import Period
from contracts.models import Customer
from revops.api.door import Door, answer
from revops.api.problems import Fault, Problem, invalid
from revops.api.reading import Nothing, Query, query
from revops.models import Scope

LAST_YEAR = 9990  # calendars look a period ahead
QUARTER = dt.timedelta(minutes=15)


class Preview(Door):
    """The next invoice of each contract as it stands, with the use so far."""

    scopes = {"GET": Scope.USAGE_READ}

    def get(self, request: Request, key: str) -> HttpResponse:
        at = timezone.now()
        query(request, Nothing)
        try:
            return answer(previews(found_customer(key), at))
        except UnableToPreview as error:
            raise Problem(409, str(error), [Fault("", "unable_to_preview", str(error))]) from error


class UsageQuery(Query, frozen=True, kw_only=True):
    """`from` and `to` are quarters of an hour; without them, the month so far."""

    customer: str
    meter: str
    starts_at: dt.datetime | None = msgspec.field(name="from", default=None)
    ends_at: dt.datetime | None = msgspec.field(name="to", default=None)
    window: Literal["hour", "day", "month"] = "day"
    group_by: list[str] = []


class Usage(Door):
    """A meter of a customer, per hour, day or month of the customer's time zone. Windows without use are left out."""

    scopes = {"GET": Scope.USAGE_READ}

    def get(self, request: Request) -> HttpResponse:
        at = timezone.now()
        asked = query(request, UsageQuery)
        customer = found_customer(asked.customer)
        meter = Meter.objects.filter(key=asked.meter).first()
        if meter is None:
            raise Problem(404, f"There is no meter {asked.meter!r}.")
        zone = ZoneInfo(zone_of(customer))
        try:
            used = windows(customer.pk, meter, stretch(asked, at, zone), asked.window, zone, asked.group_by)
        except UnableToMeasure as error:
            raise invalid("", "unable_to_measure", str(error)) from error
        shown = [
            {
                "starts_at": window.starts_at.astimezone(zone),
                "ends_at": window.ends_at.astimezone(zone),
                "group": window.group,
                "value": quantity_text(window.value),
            }
            for window in used
        ]
        return answer({"meter": meter.key, "unit": meter.unit, "windows": shown})


def stretch(asked: UsageQuery, at: dt.datetime, zone: ZoneInfo) -> Period:
    """What is asked for; by default from the first of the month to the end of the quarter of an hour."""
    month = at.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    starts_at = asked.starts_at or month.astimezone(dt.UTC)
    ends_at = asked.ends_at or at - (at - dt.datetime.min.replace(tzinfo=dt.UTC)) % QUARTER + QUARTER
    if ends_at <= starts_at:
        raise invalid("to", "invalid", "`to` must be later than `from`.")
    if ends_at.year > LAST_YEAR:
        raise invalid("to", "invalid", f"`to` is later than the year {LAST_YEAR}.")
    return Period(starts_at, ends_at)


def zone_of(customer: Customer) -> str:
    """Where the customer's days begin: as its contracts say, else as it says itself."""
    contract = customer.contracts.select_related("customer", "seller").order_by("pk").first()
    return contract.timezone_name() if contract else customer.timezone or "UTC"


def found_customer(key: str) -> Customer:
    customer = Customer.objects.filter(key=key).first()
    if customer is None:
        raise Problem(404, f"There is no customer {key!r}.")
    return customer
