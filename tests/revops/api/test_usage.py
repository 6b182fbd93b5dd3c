"""Usage, events and previews over HTTP."""

import datetime as dt
from decimal import Decimal

import pytest

from billing.invoicing import bill_run
from catalog.models import TaxRate
from contracts.lifecycle import add_one_time, end
from contracts.models import Customer

from .conftest import Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

JANUARY = "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z"


@pytest.fixture
def used(api: Api, company: Company) -> Api:
    """10 and 20 tokens of m1 in one hour, 5 of m2 in another of the same day, 7 on another day."""
    sent = [
        event("e1"),
        event("e2", tokens=20, time="2026-01-10T10:59:59.999999Z"),
        event("e3", time="2026-01-10T11:00:00Z", data={"tokens": 5, "model": "m2"}),
        event("e4", tokens=7, time="2026-01-12T00:00:00Z"),
    ]
    assert api.post("events", sent).json["accepted"] == 4
    return api


def test_usage_is_read_in_windows(used: Api) -> None:
    answer = used.get(f"usage?customer=acme&meter=tokens&{JANUARY}&window=hour").json
    assert (answer["meter"], answer["unit"]) == ("tokens", "tokens")
    first = answer["windows"][0]
    assert dt.datetime.fromisoformat(first["starts_at"]) == dt.datetime(2026, 1, 10, 10, tzinfo=dt.UTC)
    assert dt.datetime.fromisoformat(first["ends_at"]) == dt.datetime(2026, 1, 10, 11, tzinfo=dt.UTC)
    # 10 + 20 up to the last microsecond of the hour, 5 from its end on
    assert [window["value"] for window in answer["windows"]] == ["30", "5", "7"]
    by_day = used.get(f"usage?customer=acme&meter=tokens&{JANUARY}&window=day").json["windows"]
    assert [window["value"] for window in by_day] == ["35", "7"]
    by_month = used.get(f"usage?customer=acme&meter=requests&{JANUARY}&window=month").json["windows"]
    assert [(window["group"], window["value"]) for window in by_month] == [({}, "4")]


def test_usage_is_grouped_by_the_meters_dimensions(used: Api) -> None:
    path = f"usage?customer=acme&meter=tokens&{JANUARY}&window=month&group_by=model"
    groups = [(window["group"], window["value"]) for window in used.get(path).json["windows"]]
    assert groups == [({"model": "m1"}, "37"), ({"model": "m2"}, "5")]
    refused = used.get(path.replace("model", "region"))
    assert refused.status == 400
    assert "model" in refused.json["detail"]


def test_days_are_those_of_the_customers_time_zone(used: Api) -> None:
    Customer.objects.update(timezone="America/New_York")
    windows = used.get(f"usage?customer=acme&meter=tokens&{JANUARY}&window=day").json["windows"]
    # 2026-01-12T00:00Z is the evening of the 11th in New York.
    assert [window["starts_at"] for window in windows] == ["2026-01-10T00:00:00-05:00", "2026-01-11T00:00:00-05:00"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("customer=nobody&meter=tokens", 404),
        ("customer=acme&meter=nothing", 404),
        ("meter=tokens", 400),
        ("customer=acme&meter=tokens&window=week", 400),
        ("customer=acme&meter=tokens&from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400),
        ("customer=acme&meter=tokens&from=2026-01-01T00:01:00Z", 400),
    ],
)
def test_usage_that_cannot_be_read_is_refused(used: Api, query: str, status: int) -> None:
    answer = used.get(f"usage?{query}")
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_usage_without_a_time_is_of_the_month_so_far(used: Api) -> None:
    now = dt.datetime.now(dt.UTC).isoformat()
    used.post("events", event("now", tokens=3, time=now))
    windows = used.get("usage?customer=acme&meter=tokens&window=month").json["windows"]
    assert [window["value"] for window in windows] == ["3"]


def test_events_come_with_their_labels(used: Api) -> None:
    shown = used.get("events?customer=acme").json["results"]
    assert [one["id"] for one in shown] == ["e1", "e2", "e3", "e4"]
    first = shown[0]
    assert {name: first[name] for name in ("source", "type", "subject", "customer", "data")} == {
        "source": "gw", "type": "llm.request", "subject": "acme", "customer": "acme",
        "data": {"tokens": 10, "model": "m1"},
    }  # fmt: skip
    assert sorted(first["meters"]) == ["requests", "tokens"]
    assert first["invoice_lines"] == []


def test_events_are_filtered(used: Api) -> None:
    def ids(query: str) -> list[str]:
        return [one["id"] for one in used.get(f"events?{query}").json["results"]]

    assert ids("from=2026-01-10T10:59:59.999999Z&to=2026-01-12T00:00:00Z") == ["e2", "e3"]
    assert ids("from=2026-01-12") == ["e4"]
    assert ids("type=llm.request&customer=acme&source=gw") == ["e1", "e2", "e3", "e4"]
    assert ids("type=other") == ids("customer=nobody") == ids("source=nix") == []
    assert ids("source=gw&id=e3") == ["e3"]
    assert ids("source=gw&id=e9") == []
    assert used.get("events?id=e3").status == 400


def test_events_are_paged_without_skips_or_repeats(used: Api) -> None:
    seen = []
    path = "events?customer=acme&limit=1"
    while path:
        page = used.get(path).json
        seen += [one["id"] for one in page["results"]]
        path = page["next"].partition("/api/v1/")[2] if page["next"] else ""
    assert seen == ["e1", "e2", "e3", "e4"]


def test_an_event_names_its_corrections_and_the_lines_it_was_billed_on(used: Api) -> None:
    bill_run.run(dt.datetime(2026, 2, 2, tzinfo=dt.UTC))
    used.post("corrections", {"kind": "void", "source": "gw", "id": "e1", "reason": "test"})
    shown = used.get("events?source=gw&id=e1").json["results"][0]
    assert [(one["kind"], one["reason"]) for one in shown["corrections"]] == [("void", "test")]
    invoice = used.get("invoices").json["results"][0]
    usage = next(line for line in invoice["lines"] if line["kind"] == "usage")
    assert [(one["invoice"], one["line"]) for one in shown["invoice_lines"]] == [(invoice["id"], usage["id"])]
    # The void brings an adjustment on the next invoice, which is behind two entries: taken back, and nothing put.
    bill_run.run(dt.datetime(2026, 3, 2, tzinfo=dt.UTC))
    later = used.get("invoices").json["results"][0]
    adjustment = next(line for line in later["lines"] if line["kind"] == "adjustment")
    behind = used.get(f"invoices/{later['id']}/lines/{adjustment['id']}/events").json
    assert (behind["count"], behind["sum"]) == (-1, "-10")
    assert [(one["id"], one["sign"]) for one in behind["results"]] == [("e1", -1)]


def test_the_events_behind_a_line_are_paged(used: Api) -> None:
    bill_run.run(dt.datetime(2026, 2, 2, tzinfo=dt.UTC))
    invoice = used.get("invoices").json["results"][0]
    usage = next(line for line in invoice["lines"] if line["kind"] == "usage")
    first = used.get(f"invoices/{invoice['id']}/lines/{usage['id']}/events?limit=3").json
    second = used.get(first["next"].partition("/api/v1/")[2]).json
    assert (first["count"], first["sum"]) == (second["count"], second["sum"]) == (4, "42")
    assert [one["id"] for one in [*first["results"], *second["results"]]] == ["e1", "e2", "e3", "e4"]
    assert second["next"] is None


def test_a_preview_is_the_next_invoice_as_it_stands(used: Api) -> None:
    now = dt.datetime.now(dt.UTC)
    used.post("events", event("now", tokens=150, time=now.isoformat()))
    previews = used.get("customers/acme/preview").json
    assert isinstance(previews, list)
    shown = previews[-1]
    assert shown["status"] == "preview"
    assert shown["number"] is None
    assert shown["contract"] == "C-1"


def test_the_time_in_the_server_is_told(used: Api) -> None:
    assert used.get("customers/acme/preview").headers["server-timing"].startswith("total;dur=")


def test_a_preview_follows_every_change_of_terms_at_once(used: Api, company: Company) -> None:
    now = dt.datetime.now(dt.UTC)

    def total() -> str:
        return str(used.get("customers/acme/preview").json[-1]["total"])

    bill_run.run(now)
    assert total() == total() == "20.00"
    TaxRate.objects.create(code="de-vat", percent=Decimal(19), country="DE")
    # 20.00 + 19 %
    assert total() == "23.80"
    day = now.date().replace(day=1)
    add_one_time(company.contract, "setup", "Set-up", Decimal(10), day, at=now)
    # 30.00 + 19 %
    assert total() == "35.70"
    company.customer.country = "FR"
    company.customer.save()
    assert total() == "30.00"
    end(company.contract, day + dt.timedelta(days=1), at=now)
    assert total() != "30.00"
