"""Every fault of a file is found, with its path; what is not supported yet is refused by name."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from revops.vocabulary.decoding import InvalidDocument, decode
from revops.vocabulary.documents import read_text
from revops.vocabulary.words import CatalogWords, ContractsWords, FileWords, ScenarioWords, StepWords


def faults(kind: type[Any], text: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as error:
        decode(kind, read_text(text))
    return [(one.path, one.code) for one in error.value.errors]


def test_words_are_typed_values() -> None:
    words = decode(
        ContractsWords,
        read_text(
            """
            currency: EUR
            tolerance_window: 1d12h
            customers: [{key: acme, country: NO, timezone: Europe/Oslo}]
            contracts:
              - {number: 7, customer: acme, starts_on: 2026-01-15, lines: [{plan: p, quantity: 2.5, from: 2026-02-01}]}
            """
        ),
    )
    contract = words.contracts[0]
    assert words.tolerance_window == dt.timedelta(days=1, hours=12)
    assert (contract.number, contract.starts_on, contract.ends_on) == ("7", dt.date(2026, 1, 15), None)
    assert (contract.lines[0].quantity, contract.lines[0].from_) == (Decimal("2.5"), dt.date(2026, 2, 1))
    assert words.customers[0].country == "NO"


def test_all_faults_are_found_with_their_paths() -> None:
    text = """
        currency: EURO
        tolerance_window: 24 hours
        meters: [{key: "a b", event_type: x, aggregation: median}]
        plans:
          - key: pro
            interval: fortnight
            versions:
              - effective_from: 2026-02-30
                prices: [{kind: usage, model: flat, flat_amount: much}, {key: b, kind: usage, model: flat, tiers: 5}]
        surprise: 1
    """
    assert faults(CatalogWords, text) == [
        ("surprise", "unknown"),
        ("currency", "invalid"),
        ("tolerance_window", "invalid"),
        ("meters[0].key", "invalid"),
        ("meters[0].aggregation", "invalid"),
        ("plans[0].interval", "invalid"),
        ("plans[0].versions[0].effective_from", "invalid"),
        ("plans[0].versions[0].prices[0].key", "missing"),
        ("plans[0].versions[0].prices[0].flat_amount", "invalid"),
        ("plans[0].versions[0].prices[1].tiers", "invalid"),
    ]


@pytest.mark.parametrize(
    ("text", "path", "detail"),
    [
        (
            "contracts: [{number: a, customer: b, starts_on: 2026-01-01, lines: [], spend_cap: {amount: 1}}]",
            "contracts[0].spend_cap",
            "spend cap is not supported yet",
        ),
        (
            "contracts: [{number: a, customer: b, starts_on: 2026-01-01, lines: [{plan: p, discounts: [{kind: x}]}]}]",
            "contracts[0].lines[0].discounts",
            "discounts are not supported yet",
        ),
        (
            "plans: [{key: p, interval_count: 2}]",
            "plans[0].interval_count",
            "interval count is not supported yet",
        ),
        (
            "plans: [{key: p, versions: [{commitments: [{kind: minimum}]}]}]",
            "plans[0].versions[0].commitments",
            "commitments are not supported yet",
        ),
    ],
)
def test_what_is_not_supported_yet_is_refused_by_name(text: str, path: str, detail: str) -> None:
    with pytest.raises(InvalidDocument) as error:
        decode(ScenarioWords, read_text(text))
    [fault] = error.value.errors
    assert (fault.path, fault.code, fault.detail) == (path, "unsupported", detail)


def test_how_a_contract_renews_is_said_in_words() -> None:
    text = "contracts: [{number: a, customer: b, starts_on: 2026-01-01, lines: [], renewal: {auto: true, months: 6}}]"
    renewal = decode(ContractsWords, read_text(text)).contracts[0].renewal
    assert renewal is not None
    assert (renewal.auto, renewal.months, renewal.notice_days, renewal.uplift_percent) == (True, 6, None, None)


def test_a_commitment_runs_for_an_interval_or_for_the_term() -> None:
    commitments = "[{kind: cap, interval: %s}]"
    text = f"contracts: [{{number: a, customer: b, starts_on: 2026-01-01, lines: [], commitments: {commitments}}}]"
    for interval in ("half_year", "term"):
        [contract] = decode(ContractsWords, read_text(text % interval)).contracts
        assert contract.commitments is not None and contract.commitments[0].interval == interval
    assert faults(ContractsWords, text % "decade") == [("contracts[0].commitments[0].interval", "invalid")]


def test_an_empty_list_of_what_is_not_supported_says_nothing() -> None:
    assert decode(ScenarioWords, read_text("plans: [{key: p, versions: [{commitments: []}]}]")).plans[0].key == "p"


def test_a_catalog_file_names_the_command_for_contracts() -> None:
    with pytest.raises(InvalidDocument, match="load_contracts takes them"):
        decode(CatalogWords, read_text("customers: [{key: a}]"))


@pytest.mark.parametrize(
    ("written", "read"),
    [("24h", 86400), ("30m", 1800), ("2d", 172800), ("1w", 604800), ("0", 0), ("1.5h", 5400), ("90s", 90)],
)
def test_durations(written: str, read: int) -> None:
    assert decode(FileWords, {"tolerance_window": written}).tolerance_window == dt.timedelta(seconds=read)


@pytest.mark.parametrize("written", ["24", "-1h", "h", "24 h", "", True, ["24h"]])
def test_no_durations(written: object) -> None:
    with pytest.raises(InvalidDocument, match="a duration such as 24h"):
        decode(FileWords, {"tolerance_window": written})


@pytest.mark.parametrize("written", ["no", 1, {}, []])
def test_what_is_no_switch_is_refused(written: object) -> None:
    meter = {"key": "a", "event_type": "x", "aggregation": "count", "allow_negative": written}
    with pytest.raises(InvalidDocument, match="true or false is expected"):
        decode(CatalogWords, {"meters": [meter]})


@pytest.mark.parametrize("written", ["1899-12-31", "3000-01-01", "9999-12-31", "0001-01-01"])
def test_days_that_no_period_can_be_reckoned_from_are_refused(written: str) -> None:
    with pytest.raises(InvalidDocument, match="between the years 1900 and 2999"):
        decode(CatalogWords, {"plans": [{"key": "p", "versions": [{"effective_from": written}]}]})


@pytest.mark.parametrize("written", ["3661d", "99999999999w", "9" * 40 + "s"])
def test_durations_beyond_ten_years_are_refused(written: str) -> None:
    with pytest.raises(InvalidDocument, match="at most 3660 days"):
        decode(FileWords, {"tolerance_window": written})


@pytest.mark.parametrize("written", ["a\0b", "\ud800"])
def test_text_that_no_column_can_hold_is_refused(written: str) -> None:
    with pytest.raises(InvalidDocument, match="text cannot hold"):
        decode(CatalogWords, {"features": [{"key": "a", "name": written}]})


def test_instants_are_utc() -> None:
    for written in ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00"):
        assert decode(StepWords, {"at": written}).at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert faults(StepWords, "at: soon") == [("at", "invalid")]


def test_a_bill_run_is_a_switch_or_names_its_customer() -> None:
    at = "2026-01-01T00:00:00Z"
    assert decode(StepWords, {"at": at, "bill_run": True}).bill_run is True
    named = decode(StepWords, {"at": at, "bill_run": {"customer": "acme"}}).bill_run
    assert getattr(named, "customer", None) == "acme"
    assert faults(StepWords, "{at: 2026-01-01T00:00:00Z, bill_run: acme}") == [("bill_run", "invalid")]


@pytest.mark.parametrize("document", [None, [], "text", 5])
def test_a_document_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidDocument):
        decode(ScenarioWords, document)


@pytest.mark.parametrize(("said", "meant"), [("50%", "50"), ("12.5 %", "12.5"), ("50", "50")])
def test_a_share_is_said_with_or_without_its_sign(said: str, meant: str) -> None:
    text = f"plans: [{{key: p, versions: [{{entitlements: [{{feature: x, rollover: {{unused: '{said}'}}}}]}}]}}]"
    rollover = decode(CatalogWords, read_text(text)).plans[0].versions[0].entitlements[0].rollover
    assert rollover is not None
    assert rollover.unused == Decimal(meant)


def test_what_a_catalog_says_twice_is_refused() -> None:
    text = """
        tax_rates:
          - {code: vat, percent: "19", country: DE}
          - {code: vat, percent: "20", country: DE, effective_from: 2026-02-01}
        meters:
          - {key: a, event_type: a, aggregation: count}
          - {key: b, event_type: a, aggregation: count}
          - {key: a, event_type: b, aggregation: count}
        plans: [{key: p, versions: []}, {key: p, interval: year}]
    """
    assert faults(CatalogWords, text) == [
        ("tax_rates[1].code", "duplicate"),
        ("meters[2].key", "duplicate"),
        ("plans[1].key", "duplicate"),
    ]
