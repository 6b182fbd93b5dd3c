"""What was used: meters over time, and the next invoices."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from billing.invoicing.preview import UnableToPreview, previews
from billing.metering.usage import UnableToMeasure, windows
from catalog.models import Meter
from catalog.money import quantity_text
from catalog.periods import Period
from contracts.models import Customer
from revops.api.calls import call
from revops.api.door import Door, answer
from revops.api.invoice_shapes import PREVIEW
from revops.api.invoice_shapes import Preview as PreviewShape
from revops.api.problems import Fault, Problem, invalid
from revops.api.reading import INSTANT, Query
from revops.api.shapes import Instant, Quantity, Shown
from revops.models import Scope

LAST_YEAR = 9990  # calendars look a period ahead
QUARTER = dt.timedelta(minutes=15)


CustomerKey = Annotated[str, Meta(description="The customer's key.", examples=["globex"])]
NO_CUSTOMER = Problem(404, "There is no customer 'globex'.")


def not_previewed(detail: str) -> Problem:
    return Problem(409, detail, [Fault("", "unable_to_preview", detail)])


class Preview(Door):
    tag = "Usage and previews"

    @call(
        Scope.USAGE_READ,
        "Preview the next invoices",
        answers=list[PreviewShape],
        example=[PREVIEW],
        refuses=[NO_CUSTOMER, not_previewed("The currency of contract 'G-1' is not the currency of its plan.")],
    )
    def get(self, request: Request, key: CustomerKey) -> HttpResponse:
        """The next invoice of each approved contract as it stands now, with the use so far. What comes after an
        invoice of this period would be an adjustment; until then this is exactly what the invoice will say. Reading
        it costs the same however many events there are.
        """
        at = timezone.now()
        try:
            return answer(previews(found_customer(key), at))
        except UnableToPreview as error:
            raise not_previewed(str(error)) from error


class UsageQuery(Query, frozen=True, kw_only=True):
    """`from` and `to` are quarters of an hour; without them, the month so far."""

    customer: CustomerKey
    meter: Annotated[str, Meta(description="The meter's key.", examples=["words"])]
    starts_at: Annotated[
        dt.datetime | None,
        Meta(
            description="The first instant, a quarter of an hour; a date is its midnight in UTC. By default the first "
            "of the month in the customer's time zone.",
            extra_json_schema=INSTANT,
            examples=["2026-02-01T00:00:00Z"],
        ),
    ] = msgspec.field(name="from", default=None)
    ends_at: Annotated[
        dt.datetime | None,
        Meta(
            description="The instant after the last, also a quarter of an hour. By default now.",
            extra_json_schema=INSTANT,
            examples=["2026-03-01T00:00:00Z"],
        ),
    ] = msgspec.field(name="to", default=None)
    window: Annotated[Literal["hour", "day", "month"], Meta(description="How long a window is.")] = "day"
    group_by: Annotated[
        list[str],
        Meta(description="Some of the meter's `group_by` properties, separated by commas.", examples=[["language"]]),
    ] = []


class UsageWindow(Shown, kw_only=True):
    """What was used from `starts_at` up to, and without, `ends_at`."""

    starts_at: Instant
    ends_at: Instant
    group: Annotated[
        dict[str, str | None], Meta(description="A value for each name in `group_by`; null: events without it.")
    ]
    value: Quantity


class Used(Shown, kw_only=True):
    """A meter over time."""

    meter: str
    unit: str
    windows: Annotated[list[UsageWindow], Meta(description="Windows without use are left out.")]


USED = {
    "meter": "words",
    "unit": "words",
    "windows": [
        {
            "starts_at": "2026-02-03T00:00:00+01:00",
            "ends_at": "2026-02-04T00:00:00+01:00",
            "group": {"language": "de"},
            "value": "1250",
        }
    ],
}


class Usage(Door):
    tag = "Usage and previews"

    @call(
        Scope.USAGE_READ,
        "Read what a customer used",
        answers=Used,
        example=USED,
        refuses=[
            invalid("to", "invalid", "`to` must be later than `from`."),
            Problem(404, "There is no meter 'words'."),
        ],
    )
    def get(self, request: Request, asked: UsageQuery) -> HttpResponse:
        """One meter of one customer, in windows of an hour, a day or a month of the customer's time zone. An event
        counts here as soon as it is accepted.
        """
        at = timezone.now()
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
