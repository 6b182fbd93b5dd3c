"""Customers and contracts over HTTP: added, changed, submitted, approved by another key, discarded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contracts.models import Contract, ContractStatus, Customer, CustomerAlias
from revops.api.contracts import ContractList, ContractShelf

from .conftest import Api, Company, event
from .test_catalog_writing import fault

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

GLOBEX = {
    "key": "globex", "name": "Globex Corp", "country": "DE", "timezone": "Europe/Berlin", "tax_id": "DE129274202",
    "tax_exempt": False, "tax_exempt_reason": "", "billing_address": "Musterweg 1",
    "subjects": ["globex-eu", "globex-prod"],
    "contacts": [{"email": "bills@globex.example", "name": "Bills", "receives_invoices": True}],
}  # fmt: skip
TERMS: dict[str, Any] = {
    "lines": [{"plan": "pro", "quantity": "2", "until": "2026-07-01"}],
    "discounts": [{"kind": "percent", "value": "10", "applies_to": ["base"], "until": "2026-03-01"}],
    "commitments": [{"kind": "minimum", "amount": "50", "interval": "quarter", "true_up": False}],
    "credits": [{"kind": "promotional", "amount": "12.5", "expires_on": "2026-06-01", "name": "Welcome"}],
    "one_time": [{"key": "setup", "description": "Setup", "amount": "25.50", "on": "2026-01-15"}],
}
G_1 = {"number": "G/2026-1", "customer": "globex", "starts_on": "2026-01-15", "ends_on": "2027-01-15", **TERMS}
EVERYTHING: dict[str, Any] = {
    "bill_day": 5,
    "lines": [
        {
            "plan": "pro", "until": "2026-07-01", "trial_days": 14,
            "overrides": [{"price": "tokens", "unit_amount": "0.005", "minimum_amount": "3"}],
        },
        {
            "plan": "pro", "from": "2026-07-01", "uplift_percent": "3.5",
            "overrides": [
                {"price": "tokens", "model": "graduated", "from": "2026-08-01", "until": "2026-09-01",
                 "tiers": [{"up_to": "100", "unit_amount": "0.01"}, {"unit_amount": "0.004"}]},
                {"price": "base", "flat_amount": "12"},
            ],
        },
    ],
    "discounts": [{"kind": "quantity", "value": "100", "applies_to": ["tokens"], "total": "40"}],
    "commitments": [
        {"kind": "minimum", "amount": "1200", "interval": "year", "overage_factor": "1.25"},
        {"kind": "quantity", "quantity": "5000", "applies_to": ["tokens"], "prorate": False},
        {"kind": "cap", "amount": "900", "interval": "term", "from": "2026-02-01", "until": "2026-12-01"},
    ],
    "credits": [{"kind": "prepaid", "amount": "100", "priority": 2, "applies_to": ["base"], "from": "2026-02-01"}],
}  # fmt: skip


@pytest.fixture
def other(api: Api, key) -> Api:
    return api.as_key(key("contracts:write"))


@pytest.fixture
def draft(api: Api, company: Company) -> Iterator[Api]:
    """globex and its contract G/2026-1, a draft."""
    assert api.post("customers", GLOBEX).status == 201
    made = api.post("contracts", G_1)
    assert made.status == 201, made.json
    assert made.headers["location"].endswith("/api/v1/contracts/G/2026-1")
    return api


def test_a_customer_is_answered_as_it_is_read(api: Api) -> None:
    assert api.post("customers", GLOBEX).json == GLOBEX
    assert api.get("customers/globex").json == GLOBEX
    assert fault(api.post("customers", GLOBEX)) == (409, "key", "exists")


def test_a_change_of_a_customer_replaces_lists_whole(api: Api) -> None:
    api.post("customers", GLOBEX)
    changed = api.call("PATCH", "customers/globex", {"subjects": ["globex-prod", "globex-us"], "tax_id": None})
    assert changed.json == {**GLOBEX, "subjects": ["globex-prod", "globex-us"], "tax_id": ""}
    assert api.call("PATCH", "customers/globex", {"name": "Globex"}).json["subjects"] == ["globex-prod", "globex-us"]
    second = {"email": "cfo@globex.example", "receives_invoices": False}
    contacts = api.call("PATCH", "customers/globex", {"contacts": [second]}).json["contacts"]
    assert contacts == [{**second, "name": ""}]
    none = api.call("PATCH", "customers/globex", {"contacts": None, "subjects": [], "country": None}).json
    assert (none["contacts"], none["subjects"], none["country"]) == ([], [], "")
    gone = CustomerAlias.history.filter(history_type="-", subject="globex-eu").get()
    assert gone.history_change_reason == "Sent over the API (API key test)"


def test_a_subject_belongs_to_one_customer(api: Api, company: Company) -> None:
    taken = api.post("customers", {**GLOBEX, "subjects": ["globex-eu", "acme-eu"]})
    assert fault(taken) == (409, "subjects[1]", "taken")
    assert taken.json["detail"] == "The subject acme-eu belongs to the customer acme."
    assert fault(api.post("customers", {"key": "initech", "subjects": ["acme"]})) == (409, "subjects[0]", "taken")
    assert Customer.objects.count() == 1


def test_events_of_a_subject_that_was_taken_away_are_held(api: Api, company: Company) -> None:
    api.post("events", [event("e1", subject="acme-eu")])
    api.call("PATCH", "customers/acme", {"subjects": []})
    assert api.post("events", [event("e2", subject="acme-eu")]).json["quarantined"] == 1
    assert api.get("events?customer=acme").json["results"][0]["id"] == "e1"


def test_the_zone_that_contracts_are_billed_by_is_frozen(api: Api, company: Company) -> None:
    for zone in ("Europe/Berlin", None):
        answer = api.call("PATCH", "customers/acme", {"timezone": zone})
        assert answer.status == (409 if zone else 200)
    assert fault(api.call("PATCH", "customers/acme", {"timezone": "Asia/Tokyo"})) == (409, "timezone", "frozen")


@pytest.mark.parametrize(
    ("body", "where", "code"),
    [
        ({"key": "a/b"}, "key", "invalid"),
        ({"key": "a", "country": "de"}, "country", "invalid"),
        ({"key": "a", "timezone": "Mars"}, "timezone", "invalid"),
        ({"key": "a", "tax_id": "x" * 41}, "tax_id", "invalid"),
        ({"key": "a", "country": "DE", "tax_id": "DE123"}, "tax_id", "invalid"),
        ({"key": "a", "tax_exempt": True}, "tax_exempt_reason", "invalid"),
        ({"key": "a", "reverse_charge": True}, "reverse_charge", "unsupported"),
        ({"key": "a", "subjects": ["x" * 256]}, "subjects[0].subject", "invalid"),
        ({"key": "a", "contacts": [{"email": "nobody"}]}, "contacts[0].email", "invalid"),
        ({"key": "a", "contacts": [{"name": "Nobody"}]}, "contacts[0].email", "missing"),
        ({"key": "a", "currency": "EUR"}, "currency", "unsupported"),
        ({"key": "a", "colour": "red"}, "colour", "unknown"),
    ],
)
def test_a_customer_that_does_not_hold_is_refused(api: Api, body: dict[str, Any], where: str, code: str) -> None:
    assert fault(api.post("customers", body)) == (400, where, code)
    assert not Customer.objects.exists()


def test_customers_are_found_by_subject_and_country(api: Api, company: Company) -> None:
    api.post("customers", GLOBEX)
    found = {
        asked: [one["key"] for one in api.get(f"customers?{asked}").json["results"]]
        for asked in ("subject=acme-eu", "subject=globex", "country=DE&subject=nobody", "country=FR")
    }
    assert list(found.values()) == [["acme"], ["globex"], [], []]


def test_a_contract_is_drafted_in_the_words_of_a_file_and_read_back(draft: Api) -> None:
    read = draft.get("contracts/G/2026-1").json
    assert read == {
        "number": "G/2026-1", "customer": "globex", "seller": "main", "status": "draft", "currency": "USD",
        "starts_on": "2026-01-15", "ends_on": "2027-01-15", "anchor": "start", "bill_day": None,
        "payment_terms_days": 30,
        "purchase_order": "", "timezone": "Europe/Berlin", "tolerance_window": None, "revision": 0,
        "renewal": {"auto": False, "months": 12, "notice_days": 30, "uplift_percent": "0"},
        "submitted_by": None, "approved_by": None,
        "lines": [
            {"key": "pro", "plan": "pro", "version": 1, "quantity": "2", "from": "2026-01-15", "until": "2026-07-01",
             "uplift_percent": "0", "trial_days": None, "overrides": []}
        ],
        "discounts": [
            {"key": "discount-1", "kind": "percent", "value": "10", "total": None, "applies_to": ["base"],
             "from": "2026-01-15", "until": "2026-03-01"}
        ],
        "commitments": [
            {"key": "commitment-1", "kind": "minimum", "amount": "50.00", "quantity": None, "interval": "quarter",
             "overage_factor": None, "true_up": False, "prorate": True, "applies_to": [], "from": "2026-01-15",
             "until": None}
        ],
        "credits": [
            {"key": "credit-1", "name": "Welcome", "kind": "promotional", "amount": "12.50", "priority": 1,
             "applies_to": [], "from": "2026-01-15", "expires_on": "2026-06-01"}
        ],
        "one_time": [{"key": "setup", "description": "Setup", "amount": "25.50", "on": "2026-01-15"}],
        "entitlements": [],
    }  # fmt: skip


def test_every_term_is_read_as_it_was_sent_and_may_be_sent_again(draft: Api, other: Api) -> None:
    made = draft.call("PATCH", "contracts/G/2026-1", EVERYTHING).json
    first, second = made["lines"]
    assert (made["bill_day"], first["trial_days"], second["uplift_percent"]) == (5, 14, "3.5")
    assert first["overrides"] == [
        {"price": "tokens", "unit_amount": "0.005", "minimum_amount": "3.00", "from": "2026-01-15",
         "until": "2026-07-01"},
    ]  # fmt: skip
    assert second["overrides"] == [
        {"price": "base", "flat_amount": "12.00", "from": "2026-07-01", "until": None},
        {"price": "tokens", "model": "graduated", "from": "2026-08-01", "until": "2026-09-01",
         "tiers": [{"up_to": "100", "unit_amount": "0.01"}, {"up_to": None, "unit_amount": "0.004"}]},
    ]  # fmt: skip
    [discount], commitments, [credit] = made["discounts"], made["commitments"], made["credits"]
    assert (discount["kind"], discount["value"], discount["total"]) == ("quantity", "100", "40.00")
    assert [(one["kind"], one["amount"], one["quantity"], one["interval"]) for one in commitments] == [
        ("minimum", "1200.00", None, "year"), ("quantity", None, "5000", None), ("cap", "900.00", None, "term"),
    ]  # fmt: skip
    assert (commitments[0]["overage_factor"], commitments[1]["prorate"]) == ("1.25", False)
    assert (credit["kind"], credit["amount"], credit["priority"], credit["from"]) == (
        "prepaid", "100.00", 2, "2026-02-01",
    )  # fmt: skip
    other.post("contracts/G/2026-1/submit")
    assert draft.post("contracts/G/2026-1/approve").json["status"] == "approved"
    lists = {name: made[name] for name in ("lines", "discounts", "commitments", "credits", "one_time")}
    again = draft.post("contracts/G/2026-1/amend", lists).json
    assert (again["revision"], {name: again[name] for name in lists}) == (0, lists)


def test_a_change_of_one_word_of_a_draft_leaves_its_overrides_alone(draft: Api) -> None:
    before = draft.call("PATCH", "contracts/G/2026-1", EVERYTHING).json
    assert draft.call("PATCH", "contracts/G/2026-1", {"purchase_order": "PO-1"}).json == {
        **before, "purchase_order": "PO-1",
    }  # fmt: skip


def test_a_list_of_contracts_takes_as_many_queries_for_many_terms_as_for_one(draft: Api) -> None:
    with CaptureQueriesContext(connection) as few:
        [ContractShelf.render(ContractList(), row) for row in ContractList().rows()]
    draft.call("PATCH", "contracts/G/2026-1", EVERYTHING)
    with CaptureQueriesContext(connection) as many:
        [ContractShelf.render(ContractList(), row) for row in ContractList().rows()]
    assert len(many) == len(few)


def test_all_of_a_draft_changes_and_what_is_not_named_stays(draft: Api) -> None:
    before = draft.get("contracts/G/2026-1").json
    changed = draft.call("PATCH", "contracts/G/2026-1", {"purchase_order": "PO-1", "ends_on": None, "discounts": None})
    assert changed.json == {**before, "purchase_order": "PO-1", "ends_on": None, "discounts": []}
    lines = [{"plan": "pro", "from": "2026-02-01"}]
    moved = draft.call("PATCH", "contracts/G/2026-1", {"lines": lines, "anchor": "calendar", "timezone": "UTC"}).json
    assert (moved["lines"][0]["from"], moved["lines"][0]["quantity"]) == ("2026-02-01", "1")
    assert (moved["anchor"], moved["timezone"], moved["one_time"]) == ("calendar", "UTC", before["one_time"])
    zone = draft.call("PATCH", "contracts/G/2026-1", {"timezone": None}).json["timezone"]
    assert zone == "Europe/Berlin"
    assert Contract.objects.get(number="G/2026-1").timezone == ""


def test_two_keys_approve_and_one_cannot(draft: Api, other: Api) -> None:
    assert fault(draft.post("contracts/G/2026-1/approve")) == (409, "status", "invalid")
    submitted = draft.post("contracts/G/2026-1/submit").json
    assert (submitted["status"], submitted["submitted_by"][:4]) == ("review", "key:")
    assert fault(draft.post("contracts/G/2026-1/approve")) == (409, "by", "same_person")
    waiting = draft.call("PATCH", "contracts/G/2026-1", {"purchase_order": "PO-2"})
    assert fault(waiting) == (409, "status", "review")
    approved = other.post("contracts/G/2026-1/approve").json
    assert (approved["status"], approved["revision"]) == ("approved", 0)
    assert approved["approved_by"] != approved["submitted_by"]
    assert fault(other.post("contracts/G/2026-1/approve")) == (409, "status", "invalid")


def test_of_an_approved_contract_only_what_its_terms_are_not_changes(api: Api, company: Company) -> None:
    changed = api.call(
        "PATCH", "contracts/C-1", {"payment_terms_days": 14, "purchase_order": "PO-9", "tolerance_window": "72h"}
    )
    assert changed.status == 200
    shown = {name: changed.json[name] for name in ("payment_terms_days", "purchase_order", "tolerance_window")}
    assert shown == {"payment_terms_days": 14, "purchase_order": "PO-9", "tolerance_window": "72h"}
    back = api.call("PATCH", "contracts/C-1", {name: None for name in shown}).json
    assert {name: back[name] for name in shown} == {
        "payment_terms_days": 30, "purchase_order": "", "tolerance_window": None,
    }  # fmt: skip
    for name, value in (("lines", []), ("ends_on", "2026-12-31"), ("currency", "EUR"), ("starts_on", "2026-02-01")):
        answer = api.call("PATCH", "contracts/C-1", {name: value, "purchase_order": "PO-0"})
        assert answer.status == 409, answer.json
        assert fault(answer) == (409, name, "frozen")
        assert answer.json["detail"] == "C-1 is approved; its terms change by `amend`, its end by `end`."
    assert api.get("contracts/C-1").json["purchase_order"] == ""
    assert fault(api.call("DELETE", "contracts/C-1")) == (409, "status", "frozen")


def test_a_draft_is_neither_amended_nor_ended_but_discarded(draft: Api) -> None:
    assert fault(draft.post("contracts/G/2026-1/amend", {"one_time": []})) == (409, "status", "invalid")
    assert fault(draft.post("contracts/G/2026-1/end", {"on": "2026-05-01", "reason": "x"})) == (
        409, "status", "invalid",
    )  # fmt: skip
    draft.post("contracts/G/2026-1/submit")
    assert draft.call("DELETE", "contracts/G/2026-1").status == 204
    assert draft.get("contracts/G/2026-1").status == 404
    assert Contract.history.filter(number="G/2026-1").latest("history_id").history_type == "-"


def test_what_lacks_an_approval_is_said_at_submission(api: Api, company: Company) -> None:
    api.post("plans/pro/versions", {"prices": []})
    body = {"number": "C-2", "customer": "acme", "starts_on": "2026-01-01", "lines": [{"plan": "pro", "version": 2}]}
    assert api.post("contracts", body).status == 201
    refused = api.post("contracts/C-2/submit")
    assert fault(refused) == (409, "lines[0].version", "unsold")
    api.call("PATCH", "contracts/C-2", {"lines": [{"plan": "pro", "version": 1}]})
    twice = api.post("contracts/C-2/submit")
    assert fault(twice) == (409, "lines[0].plan", "billed_twice")


def test_how_a_contract_renews_is_said_and_amended(draft: Api, other: Api) -> None:
    renewal = {"auto": True, "months": 6, "uplift_percent": "2.5"}
    said = draft.call("PATCH", "contracts/G/2026-1", {"renewal": renewal}).json["renewal"]
    assert said == {**renewal, "notice_days": 30}
    other.post("contracts/G/2026-1/submit")
    assert draft.post("contracts/G/2026-1/approve").json["renewal"] == said
    frozen = draft.call("PATCH", "contracts/G/2026-1", {"renewal": {"auto": False}})
    assert fault(frozen) == (409, "renewal", "frozen")
    amended = draft.post("contracts/G/2026-1/amend", {"renewal": {"auto": False}, "reason": "Cancelled"}).json
    assert (amended["renewal"], amended["revision"]) == ({**said, "auto": False}, 0)


def test_a_contract_is_renewed_once_however_often_the_call_is_repeated(api: Api, company: Company) -> None:
    assert fault(api.post("contracts/C-1/renew", {})) == (400, "ends_on", "missing")
    year_end = {"ends_on": "2099-01-01", "renewal": {"uplift_percent": "3"}}
    assert api.post("contracts/C-1/amend", year_end).json["ends_on"] == "2099-01-01"
    assert fault(api.post("contracts/C-1/renew", {"months": 0})) == (400, "months", "invalid")
    once = {"Idempotency-Key": "renew-c-1"}
    for _ in range(2):
        renewed = api.post("contracts/C-1/renew", {"months": 12, "reason": "Signed"}, headers=once).json
    assert (renewed["ends_on"], renewed["revision"]) == ("2100-01-01", 2)
    assert [(line["from"], line["until"], line["uplift_percent"]) for line in renewed["lines"]] == [
        ("2026-01-01", "2099-01-01", "0"), ("2099-01-01", "2100-01-01", "3"),
    ]  # fmt: skip


def test_an_end_needs_a_day_and_a_reason(api: Api, company: Company) -> None:
    assert fault(api.post("contracts/C-1/end", {"on": "2026-05-01"})) == (400, "reason", "missing")
    early = api.post("contracts/C-1/end", {"on": "2025-05-01", "reason": "x"})
    assert (early.status, early.json["errors"][0]["path"]) == (400, "ends_on")
    assert fault(api.post("contracts/C-1/end", {"on": "soon", "reason": "x"})) == (400, "on", "invalid")
    assert Contract.objects.get().ends_on is None


@pytest.mark.parametrize(
    ("change", "where", "code"),
    [
        ({"customer": "nobody"}, "customer", "unknown"),
        ({"seller": "nobody"}, "seller", "unknown"),
        ({"lines": [{"plan": "nix"}]}, "lines[0].plan", "unknown"),
        ({"lines": [{"plan": "pro", "version": 7}]}, "lines[0].version", "unknown"),
        ({"lines": [{"plan": "pro", "quantity": "-1"}]}, "lines[0].quantity", "invalid"),
        ({"lines": [{"plan": "pro", "quantity": "1" * 15}]}, "lines[0].quantity", "invalid"),
        ({"lines": [{"plan": "pro"}, {"plan": "pro"}]}, "lines[1]", "overlap"),
        ({"lines": [{"plan": "pro", "key": "a b"}]}, "lines[0].key", "invalid"),
        ({"ends_on": "2026-01-15"}, "ends_on", "order"),
        ({"ends_on": "9999-12-31"}, "ends_on", "invalid"),
        ({"starts_on": "0001-01-01"}, "starts_on", "invalid"),
        ({"number": "x" * 81}, "number", "invalid"),
        ({"number": ""}, "number", "invalid"),
        ({"purchase_order": "x" * 81}, "purchase_order", "invalid"),
        ({"payment_terms_days": 99999}, "payment_terms_days", "invalid"),
        ({"payment_terms_days": -1}, "payment_terms_days", "invalid"),
        ({"discounts": [{"kind": "percent", "value": "101"}]}, "discounts[0].value", "invalid"),
        ({"discounts": [{"kind": "amount", "value": "1" * 19}]}, "discounts[0].value", "invalid"),
        ({"commitments": [{"kind": "minimum"}]}, "commitments[0].amount", "invalid"),
        ({"credits": [{"kind": "prepaid", "amount": "0"}]}, "credits[0].amount", "invalid"),
        ({"bill_day": 32}, "bill_day", "invalid"),
        (
            {"lines": [{"plan": "pro", "overrides": [{"price": "base", "flat_amount": "-1"}]}]},
            "overrides[0].flat_amount",
            "invalid",
        ),
        ({"discounts": [{"kind": "gift", "value": "1"}]}, "discounts[0].kind", "invalid"),
        ({"one_time": [{**TERMS["one_time"][0], "amount": "1" * 21}]}, "one_time[0].amount", "invalid"),
        ({"one_time": [{**TERMS["one_time"][0], "description": "x" * 201}]}, "one_time[0].description", "invalid"),
        ({"currency": "usd"}, "currency", "invalid"),
        ({"renewal": {"auto": True}}, "renewal.auto", "invalid"),
        ({"renewal": {"months": 0}}, "renewal.months", "invalid"),
        ({"spend_cap": {"amount": "1"}}, "spend_cap", "unsupported"),
        ({"status": "approved"}, "status", "unknown"),
    ],
)
def test_a_contract_that_does_not_hold_is_refused_where_it_is_wrong(
    api: Api, company: Company, change: dict[str, Any], where: str, code: str
) -> None:
    answer = api.post("contracts", {**G_1, "customer": "acme", "ends_on": None, **change})
    assert answer.status == 400, answer.json
    assert (where, code) in {(one["path"], one["code"]) for one in answer.json["errors"]}
    assert Contract.objects.count() == 1


def test_without_a_seller_nobody_can_sign(api: Api) -> None:
    api.post("customers", {"key": "globex"})
    answer = api.post("contracts", {**G_1, "lines": []})
    assert fault(answer) == (409, "seller", "missing")


def test_what_is_not_there_is_404(api: Api, company: Company) -> None:
    for method, path, body in (
        ("PATCH", "customers/nix", {}), ("PATCH", "contracts/nix", {}), ("DELETE", "contracts/nix", None),
        ("POST", "contracts/nix/submit", None), ("POST", "contracts/nix/approve", None),
        ("POST", "contracts/nix/amend", {}), ("POST", "contracts/nix/end", {"on": "2026-01-01", "reason": "x"}),
        ("POST", "contracts/nix/renew", {}), ("POST", "contracts/C-1/extend", {}),
    ):  # fmt: skip
        assert api.call(method, path, body).status in (404, 405), path
    assert api.call("DELETE", "customers/acme").status == 405


def test_contracts_are_found_by_plan_state_and_customer(draft: Api) -> None:
    found = {
        asked: [one["number"] for one in draft.get(f"contracts?{asked}").json["results"]]
        for asked in ("plan=pro", "plan=nix", "status=draft", "customer=acme&currency=USD", "seller=main&currency=EUR")
    }
    assert list(found.values()) == [["C-1", "G/2026-1"], [], ["G/2026-1"], ["C-1"], []]


def test_the_same_contract_made_by_many_at_once_is_made_once(api: Api, company: Company) -> None:
    api.post("customers", GLOBEX)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post("contracts", G_1), range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert Contract.objects.filter(number="G/2026-1").count() == 1


def test_many_who_approve_at_once_approve_once(draft: Api, other: Api) -> None:
    draft.post("contracts/G/2026-1/submit")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: other.post("contracts/G/2026-1/approve"), range(6)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    approvals = Contract.history.filter(number="G/2026-1", status=ContractStatus.APPROVED)
    assert approvals.count() == 1
