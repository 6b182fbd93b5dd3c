"""Files of usage: nothing lost, nothing counted twice. Figures of real files are those of ../shared/data/README.md."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

from billing.metering.formats import Layout, UnableToRead
from billing.metering.importing import ImportReceipt, import_file
from billing.models import Bucket, Event, HeldRecord, ReceiptCount, Source
from catalog.models import Meter, Plan, PriceKind, Seller
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.drafts import LineDraft, TermsDraft
from contracts.lifecycle import approve, draft
from contracts.models import Contract, Customer, CustomerAlias

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
real_files = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real usage files are not there ({DATA})")

LLM = Layout(
    "csv", "azure", "llm.request", time="TIMESTAMP", values={"context": "ContextTokens", "generated": "GeneratedTokens"}
)


def meters(event_type: str, **values: str) -> None:
    """A count of the events, and a sum for each named property."""
    Meter.objects.create(key="requests", event_type=event_type, aggregation="count")
    for key, value in values.items():
        Meter.objects.create(key=key, event_type=event_type, aggregation="sum", value=value)


def customers(*keys: str, since: dt.date = dt.date(2015, 1, 1)) -> None:
    """Customers with a contract each, on a plan that costs nothing much."""
    seller, _ = Seller.objects.get_or_create(key="main", defaults={"name": "Watertight Inc"})
    plan, is_new = Plan.objects.get_or_create(key="base", defaults={"name": "Base"})
    if is_new:
        prices = [PriceDraft("base", PriceKind.RECURRING, {"model": "flat", "flat_amount": "20"})]
        publish(draft_version(plan, currency="USD", prices=prices, at=NOW), at=NOW)
    terms = TermsDraft(lines=(LineDraft(plan.versions.get(), starts_on=since),))
    for key in keys:
        customer = Customer.objects.create(key=key, name=key)
        contract = Contract(number=f"C-{key}", customer=customer, seller=seller, currency="USD", starts_on=since)
        approve(draft(contract, terms, at=NOW), at=NOW)


def import_text(text: str | bytes, layout: Layout) -> tuple[int, int, int, int]:
    """(received, accepted, duplicates, quarantined)"""
    total = ImportReceipt()
    stream = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    import_file(stream, layout, at=NOW, total=total)
    return total.received, total.accepted, total.duplicates, total.quarantined


def import_path(path: Path, layout: Layout) -> tuple[int, int, int, int]:
    return import_text(path.read_bytes(), layout)


def used(meter: str, **where: Any) -> Decimal:
    """The sum of a meter's buckets (their number of events for a count)."""
    buckets = Bucket.objects.filter(meter_id=Meter.objects.get(key=meter).pk, **where)
    totals = buckets.aggregate(n=Sum("n"), total=Sum("total"))
    return Decimal(totals["n"] if meter == "requests" else totals["total"])


def constant(layout: Layout, subject: str) -> Layout:
    return Layout(layout.format, layout.source, layout.type, f"={subject}", layout.time, None, layout.values)


# Real files


@real_files
@pytest.mark.parametrize(
    ("name", "requests", "context", "generated", "hours"),
    [
        ("code", 8_819, 18_059_974, 245_896, (7_717, 1_102)),
        ("conv", 19_366, 22_361_870, 4_088_665, (15_606, 3_760)),
    ],
)
def test_the_traces_of_llm_services_give_the_known_counts_and_sums(
    name: str, requests: int, context: int, generated: int, hours: tuple[int, int]
) -> None:
    meters("llm.request", context="context", generated="generated")
    customers(name)
    path = DATA / f"llm_inference_{name}.csv"
    assert import_path(path, constant(LLM, name)) == (requests, requests, 0, 0)
    assert used("requests") == requests
    assert used("context") == context
    assert used("generated") == generated
    six_pm = dt.datetime(2023, 11, 16, 18, tzinfo=dt.UTC)
    hour = dt.timedelta(hours=1)
    for place, count in enumerate(hours):
        begins = six_pm + place * hour
        assert used("requests", starts_at__gte=begins, starts_at__lt=begins + hour) == count
    assert import_path(path, constant(LLM, name)) == (requests, 0, requests, 0)
    assert used("context") == context


@real_files
def test_the_gateway_log_gives_every_request_and_byte() -> None:
    meters("http.request", bytes="bytes")
    path = DATA / "gateway_access.log"
    clients = {line.split()[0] for line in path.read_text().splitlines()}
    assert len(clients) == 1_753
    customers("66.249.73.135", "rest")
    rest = Customer.objects.get(key="rest")
    CustomerAlias.objects.bulk_create(
        CustomerAlias(customer=rest, subject=client) for client in clients - {"66.249.73.135"}
    )
    layout = Layout("clf", "gateway", "http.request")
    assert import_path(path, layout) == (10_000, 10_000, 0, 0)
    assert used("bytes") == 2_747_282_740
    customer = Customer.objects.get(key="66.249.73.135").pk
    assert used("requests", customer_id=customer) == 482
    assert used("bytes", customer_id=customer) == 75_500_527
    assert Event.objects.filter(data__contains='"status":404,').count() == 213
    # Overlapping files: the first and the last 6,000 lines.
    lines = path.read_bytes().splitlines(keepends=True)
    assert import_text(b"".join(lines[:6_000]), layout) == (6_000, 0, 6_000, 0)
    assert import_text(b"".join(lines[4_000:]), layout) == (6_000, 0, 6_000, 0)
    assert used("bytes") == 2_747_282_740


@real_files
def test_of_the_gateway_log_only_known_clients_are_counted_and_the_rest_is_held() -> None:
    meters("http.request", bytes="bytes")
    customers("66.249.73.135", "46.105.14.53", "130.237.218.86")
    layout = Layout("clf", "gateway", "http.request")
    assert import_path(DATA / "gateway_access.log", layout) == (10_000, 1_203, 0, 8_797)
    assert used("bytes") == 75_500_527 + 5_413_408 + 43_920_629
    assert set(HeldRecord.objects.values_list("reason", flat=True)) == {"unknown_customer"}
    assert HeldRecord.objects.count() == 8_797
    assert import_path(DATA / "gateway_access.log", layout) == (10_000, 0, 1_203, 8_797)
    assert HeldRecord.objects.count() == 8_797


# Names made from content


def simple(**options: Any) -> Layout:
    return Layout(**{"format": "csv", "source": "s", "type": "t", "subject": "who", "time": "at", **options})


def setting() -> None:
    meters("t", amount="amount")
    customers("a", "b")


HEADER = "who,at,amount\r\n"


def test_identical_lines_inside_a_file_stay_apart_and_the_file_again_adds_nothing() -> None:
    setting()
    text = HEADER + "a,2026-01-01T00:00:00Z,5\r\n" * 3 + "b,2026-01-01T00:00:00Z,7\r\n"
    assert import_text(text, simple()) == (4, 4, 0, 0)
    assert import_text(text, simple()) == (4, 0, 4, 0)
    assert used("amount") == 3 * 5 + 7


def test_a_file_that_overlaps_adds_what_is_new() -> None:
    setting()
    first = "a,2026-01-01T00:00:00Z,5\r\n" * 2
    assert import_text(HEADER + first, simple()) == (2, 2, 0, 0)
    assert import_text(HEADER + first + "a,2026-01-01T00:00:00Z,5\r\na,2026-01-02T00:00:00Z,1\r\n", simple()) == (
        4,
        2,
        2,
        0,
    )
    assert used("amount") == 3 * 5 + 1


def test_equal_files_of_two_customers_are_two_uses() -> None:
    setting()
    text = "at,amount\n2026-01-01T00:00:00Z,5\n"
    assert import_text(text, simple(subject="=a")) == (1, 1, 0, 0)
    assert import_text(text, simple(subject="=b")) == (1, 1, 0, 0)
    assert used("amount") == 10


def test_an_id_of_the_file_is_used_where_it_is_named() -> None:
    setting()
    text = "n,who,at,amount\n1,a,2026-01-01T00:00:00Z,5\n1,a,2026-01-01T00:00:00Z,5\n1,a,2026-01-01T00:00:00Z,6\n"
    assert import_text(text, simple(id="n", values={"amount": "amount"})) == (3, 1, 1, 1)
    assert HeldRecord.objects.get().reason == "conflict"
    assert Event.objects.get().event_id == "1"


# csv


def test_cells_are_quoted_ends_of_line_vary_and_values_are_exact() -> None:
    setting()
    text = '\ufeff"who","at","amount","note"\n"a","2026-01-01 00:00:00","0.10","said ""x"",\r\nthen left"\r\n\n'
    assert import_text(text, simple(values={"amount": "amount", "note": "note"})) == (1, 1, 0, 0)
    assert used("amount") == Decimal("0.10")
    assert json.loads(Event.objects.get().data) == {"amount": "0.10", "note": 'said "x",\r\nthen left'}


def test_without_values_every_other_column_is_a_property() -> None:
    setting()
    assert import_text("who,at,amount,model\na,2026-01-01T00:00:00Z,5,m1\n", simple()) == (1, 1, 0, 0)
    assert json.loads(Event.objects.get().data) == {"amount": "5", "model": "m1"}


def test_seven_decimals_of_a_second_are_cut_off() -> None:
    setting()
    import_text(HEADER + "a,2026-01-01 00:00:00.1234569,5\n", simple())
    assert Event.objects.get().occurred_at == dt.datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=dt.UTC)


def test_times_without_a_zone_are_of_the_named_one() -> None:
    setting()
    import_text(HEADER + "a,2026-07-01T02:00:00,5\n", simple(timezone=ZoneInfo("Europe/Berlin")))
    assert import_text(HEADER + "a,2026-01-01T00:00:00-05:00,5\n", simple()) == (1, 1, 0, 0)
    times = list(Event.objects.order_by("occurred_at").values_list("occurred_at", flat=True))
    # Berlin is at +01:00 in winter, +02:00 in summer; July is later than the import of June 1, so it is held.
    assert times == [dt.datetime(2026, 1, 1, 5, tzinfo=dt.UTC)]
    assert HeldRecord.objects.get().occurred_at == dt.datetime(2026, 7, 1, tzinfo=dt.UTC)


def test_lines_that_cannot_be_read_are_held_as_they_are_and_stop_nothing() -> None:
    setting()
    bad = b'a,2026-01-01T00:00:00Z,"5\r\n'  # a quote that never closes
    good = b"a,2026-01-01T00:00:00Z,5\r\n"
    text = HEADER.encode() + good + bad + b"a,only two\r\n" + b"a,\xff,5\r\n" + good
    assert import_text(text, simple()) == (5, 2, 0, 3)
    assert sorted(bytes(record.raw) for record in HeldRecord.objects.all()) == sorted(
        [bad.rstrip(), b"a,only two", b"a,\xff,5"]
    )
    assert set(HeldRecord.objects.values_list("reason", flat=True)) == {"malformed"}


def test_a_time_or_a_value_that_is_none_is_held_with_its_reason() -> None:
    setting()
    text = HEADER + "a,yesterday,5\na,2026-01-01T00:00:00Z,five\na,2026-01-01T00:00:00Z,\n"
    assert import_text(text, simple()) == (3, 0, 0, 3)
    assert sorted(HeldRecord.objects.values_list("reason", flat=True)) == [
        "invalid_value",
        "malformed",
        "missing_field",
    ]


def test_a_column_that_is_not_there_is_named_and_nothing_is_stored() -> None:
    setting()
    with pytest.raises(UnableToRead, match="no column 'amount'; the columns are: who, at, amnt"):
        import_text("who,at,amnt\na,2026-01-01T00:00:00Z,5\n", simple(values={"amount": "amount"}))
    assert Event.objects.count() == 0


def test_an_empty_file_has_no_records() -> None:
    setting()
    assert import_text("", simple()) == (0, 0, 0, 0)
    assert import_text(HEADER, simple()) == (0, 0, 0, 0)


# JSON lines, CloudEvents


def test_json_lines_are_read_with_paths_and_exact_numbers() -> None:
    setting()
    layout = simple(format="jsonl", values={"amount": "usage.amount"})
    text = '{"who": "a", "at": "2026-01-01T00:00:00Z", "usage": {"amount": 0.1}}\nnot json\n[1]\n'
    assert import_text(text, layout) == (3, 1, 0, 2)
    assert used("amount") == Decimal("0.1")
    other_writing = '{"usage":{"amount":0.1},"at":"2026-01-01T00:00:00Z","who":"a"}\n'
    assert import_text(other_writing, layout) == (1, 0, 1, 0)


def test_cloudevents_come_as_lines_or_as_one_array() -> None:
    setting()
    event = {"specversion": "1.0", "id": "1", "source": "own", "type": "t", "subject": "a", "data": {"amount": 5}}
    other = {"subject": "b", "data": {"amount": 7}}
    layout = Layout("cloudevents", "s", "t")
    lines = json.dumps(event) + "\n" + json.dumps(other) + "\n"
    assert import_text(lines, layout) == (2, 2, 0, 0)
    assert set(Source.objects.values_list("key", flat=True)) == {"own", "s"}
    array = json.dumps([event, other], indent=2)
    assert import_text(array, layout) == (2, 0, 2, 0)
    assert import_text(array[:-30], layout) == (2, 0, 1, 1)
    assert used("amount") == 12


def test_a_bad_element_of_an_array_costs_the_others_nothing() -> None:
    setting()
    text = b'[{"subject":"a","data":{"amount":1,"x":"]}\\""}}, {"data": NaN}, {"subject":"b","data":{"amount":2}} ]'
    assert import_text(text, Layout("cloudevents", "s", "t")) == (3, 2, 0, 1)
    assert bytes(HeldRecord.objects.get().raw) == b'{"data": NaN}'


# clf


LINE = '10.0.0.1 - - [17/May/2015:10:05:03 +0200] "GET /a?b=1 HTTP/1.1" 200 - "http://r/" "Mozilla \\"x\\""\n'


def test_an_access_log_line_becomes_an_event_of_its_client() -> None:
    meters("http.request", bytes="bytes")
    customers("10.0.0.1")
    assert import_text(LINE, Layout("clf", "gw", "http.request")) == (1, 1, 0, 0)
    stored = Event.objects.get()
    assert stored.occurred_at == dt.datetime(2015, 5, 17, 8, 5, 3, tzinfo=dt.UTC)
    assert json.loads(stored.data) == {
        "method": "GET", "path": "/a?b=1", "protocol": "HTTP/1.1", "status": 200, "bytes": 0,
        "referrer": "http://r/", "agent": 'Mozilla \\"x\\"',
    }  # fmt: skip


def test_identical_requests_of_a_log_are_each_counted() -> None:
    meters("http.request", bytes="bytes")
    customers("10.0.0.1")
    layout = Layout("clf", "gw", "http.request")
    assert import_text(LINE * 3, layout) == (3, 3, 0, 0)
    assert import_text(LINE * 2 + "garbage\n", layout) == (3, 0, 2, 1)


# The command


def test_the_command_prints_the_receipt_of_all_its_files(tmp_path: Path) -> None:
    setting()
    for name, amount in (("one.csv", 5), ("two.csv", 6)):
        (tmp_path / name).write_text(HEADER + f"a,2026-01-01T00:00:00Z,{amount}\n")
    out = io.StringIO()
    paths = [str(tmp_path / "one.csv"), str(tmp_path / "two.csv")]
    options = ["--source", "new", "--format", "csv", "--type", "t", "--subject", "who", "--time", "at"]
    call_command("import_usage", *paths, *options, "--value", "amount=amount", "--json", stdout=out)
    receipt = json.loads(out.getvalue())
    assert set(receipt) == {"receipt", "received", "accepted", "duplicates", "quarantined"}
    assert (receipt["received"], receipt["accepted"]) == (2, 2)
    assert ReceiptCount.objects.filter(source="new").count() == 2
    assert Source.objects.filter(key="new").exists()


def test_the_command_names_a_file_that_is_not_there() -> None:
    with pytest.raises(CommandError, match=r"no file nix\.csv"):
        call_command("import_usage", "nix.csv", "--source", "s", "--format", "csv", "--type", "t")


def test_the_command_asks_for_the_type(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(HEADER)
    with pytest.raises(CommandError, match="--type"):
        call_command("import_usage", str(tmp_path / "one.csv"), "--source", "s", "--format", "csv")
