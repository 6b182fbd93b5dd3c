"""The page of a contract: what each term has billed and brings, and amendments tried before they are done."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from billing.admin.contract_terms import TermsShown, terms_shown
from billing.invoicing import bill_run
from catalog.models import PlanVersion
from contracts import lifecycle
from contracts.drafts import DiscountDraft, terms_of
from contracts.models import Contract
from revops.simulation.playing import perform, read_scenario
from revops.vocabulary.documents import read_text
from tests.billing.invoicing.console import messages, page, questions, signed_in, words
from tests.revops.console.test_today import clerk

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

AT = dt.datetime(2026, 2, 15, tzinfo=dt.UTC)

# January: the fee of 100.00 less 10.00, 1,000 tokens for 10.00, setup 25.00, less 50.00 of credit: 75.00, and closed.
# February so far: the fee is 80.00 by its override, 500 tokens 5.00, the discount has 2.00 left of its 12.00: 83.00.
WORLD = """
currency: EUR
meters: [{key: tokens, event_type: llm.request, aggregation: sum, value: tokens}]
plans:
  - key: pro
    versions:
      - prices:
          - {key: base, name: Base fee, kind: recurring, model: flat, flat_amount: "100.00"}
          - {key: tokens, name: Tokens, kind: usage, meter: tokens, model: per_unit, unit_amount: "0.01"}
  - key: care
    versions: [{prices: [{key: care, kind: recurring, model: flat, flat_amount: "28.00"}]}]
customers: [{key: acme, name: Acme GmbH}]
contracts:
  - number: C-1
    customer: acme
    starts_on: 2026-01-01
    ends_on: 2027-01-01
    lines: [{plan: pro, overrides: [{price: base, flat_amount: "80.00", from: 2026-02-01}]}]
    discounts: [{key: welcome, kind: percent, value: "10", applies_to: [base], total: "12.00"}]
    commitments: [{key: yearly, kind: minimum, amount: "2400.00", interval: year}]
    credits:
      - {key: hello, kind: promotional, amount: "50.00", name: Welcome credit}
      - {key: paid, kind: prepaid, amount: "100.00", name: Deposit}
    one_time: [{key: setup, description: Setup, amount: "25.00", on: 2026-01-05}]
steps:
  - {at: 2026-01-20T00:00:00Z, events: [
      {id: a, source: gw, type: llm.request, subject: acme, time: 2026-01-19T00:00:00Z, data: {tokens: 1000}}]}
  - {at: 2026-02-02T00:00:00Z, bill_run: true}
  - {at: 2026-02-10T00:00:00Z, events: [
      {id: b, source: gw, type: llm.request, subject: acme, time: 2026-02-09T00:00:00Z, data: {tokens: 500}}]}
"""


@pytest.fixture
def contract(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Contract:
    """C-1 on the fifteenth of February."""
    assert perform(read_scenario(read_text(WORLD)))["mismatches"] == []
    monkeypatch.setattr("django.utils.timezone.now", lambda: AT)
    return Contract.objects.get()


@pytest.fixture
def ann(contract: Contract) -> Client:
    return signed_in("amend_contract", "renew_contract", "end_contract")


def amounts(shown: TermsShown) -> dict[str, tuple[str, str]]:
    return {term.title: (f"{term.billed:.2f}", f"{term.coming:.2f}") for term in shown.terms if not term.is_head}


def test_each_term_says_what_it_has_billed_and_what_it_brings(contract: Contract) -> None:
    shown = terms_shown(contract, AT)
    assert amounts(shown) == {
        "Base fee": ("100.00", "80.00"),
        "of it with an override": ("0.00", "80.00"),
        "Tokens": ("10.00", "5.00"),
        "Discount from 2026-01-01": ("-10.00", "-2.00"),
        "Minimum spend from 2026-01-01": ("0.00", "0.00"),
        "Welcome credit from 2026-01-01": ("-50.00", "0.00"),
        "Deposit from 2026-01-01": ("0.00", "0.00"),
        "Setup, once on 2026-01-05": ("25.00", "0.00"),
    }
    assert (shown.billed, shown.coming, shown.unnamed) == (75, 83, None)
    carried = {term.title: term.carries for term in shown.terms if term.carries}
    assert carried == {
        "Discount from 2026-01-01": "12.00 EUR taken off, 0.00 EUR left",
        # January 90.00 + 10.00, February 78.00 + 5.00
        "Minimum spend from 2026-01-01": "since 2026-01-01: 183.00 EUR spent, 2,217.00 EUR to go",
        "Welcome credit from 2026-01-01": "50.00 EUR spent, 0.00 EUR left",
        # January's 75.00 are paid of it.
        "Deposit from 2026-01-01": "75.00 EUR drawn, 25.00 EUR left, open",
    }
    said = {term.title: term.words for term in shown.terms}
    assert said["of it with an override"] == "instead 80.00 EUR, from 2026-02-01"
    assert said["Discount from 2026-01-01"] == "10 % off base; it runs out after 12.00 EUR"
    assert said["Minimum spend from 2026-01-01"] == "at least 2,400.00 EUR each year"


def test_what_was_replaced_stays_readable_with_when_and_why(contract: Contract) -> None:
    june = dt.date(2026, 6, 1)
    discount = DiscountDraft("percent", Decimal(20), dt.date(2026, 1, 1), june, ("base",), "welcome", Decimal(12))
    lifecycle.amend(contract, discounts=[discount], at=AT, reason="Twice as much, until June")
    shown = terms_shown(contract, AT)
    [old] = shown.replaced
    assert (old.title, old.words, old.billed) == (
        "Discount from 2026-01-01", "10 % off base; it runs out after 12.00 EUR", 0,
    )  # fmt: skip
    assert old.replaced == "2026-02-15: Twice as much, until June"
    # What it has billed goes with the discount of its key that is in force now.
    assert amounts(shown)["Discount from 2026-01-01 until 2026-06-01"][0] == "-10.00"
    assert shown.billed == 75


def test_what_a_term_that_is_gone_has_billed_is_not_lost(contract: Contract) -> None:
    lifecycle.amend(contract, discounts=[], one_time=[], at=AT, reason="Off")
    shown = terms_shown(contract, AT)
    gone = {term.title: (term.billed, term.coming) for term in shown.replaced}
    assert gone == {"Discount from 2026-01-01": (-10, 10), "Setup, once on 2026-01-05": (25, -25)}
    assert (shown.billed, shown.unnamed) == (75, None)


def test_the_page_shows_it_and_asks_no_more_for_more_periods(contract: Contract, ann: Client) -> None:
    address = f"/admin/contracts/contract/{contract.pk}/change/"
    text = words(page(ann, address))
    assert "Acme GmbH, from 2026-01-01 until 2027-01-01; ends on 2027-01-01 unless it is renewed" in text
    assert "the next invoice is for Feb 2026" in text
    few = questions(ann, address)
    for month in range(3, 7):
        bill_run.run(dt.datetime(2026, month, 2, tzinfo=dt.UTC))
    assert questions(ann, address) <= few


def test_who_may_not_see_invoices_sees_the_terms_in_words(contract: Contract, client: Client) -> None:
    client.force_login(clerk("contracts.view_contract"))
    text = words(page(client, f"/admin/contracts/contract/{contract.pk}/change/"))
    assert "10 % off base; it runs out after 12.00 EUR" in text
    assert "Billed so far" not in text


def asking(contract: Contract, name: str) -> str:
    return f"/admin/contracts/contract/{contract.pk}/amend/{name}/"


def changes(answer: Any) -> dict[str, tuple[str, str]]:
    [case] = answer.context["cases"]
    return {one.subject: (one.before, one.after) for one in case["changes"]}


def test_an_amendment_is_tried_before_it_is_done(contract: Contract, ann: Client) -> None:
    menu = page(ann, f"/admin/contracts/contract/{contract.pk}/amend/")
    assert asking(contract, "add_discount") in menu and asking(contract, "end_commitment") in menu
    asked = {
        "key": "more", "kind": "percent", "value": "10", "applies_to": "tokens", "on": "2026-01-01",
        "reason": "Agreed with Jo",
    }  # fmt: skip
    assert "Show what changes" in page(ann, asking(contract, "add_discount"))
    shown = changes(ann.post(asking(contract, "add_discount"), {**asked, "tried": "yes"}))
    # 10 % of January's 10.00 comes back, and of February's 5.00.
    assert shown == {
        "Discount more": ("-", "10 % off tokens, from 2026-01-01"),
        "Next invoice, before tax": ("83.00 EUR for Feb 2026", "81.50 EUR for Feb 2026"),
        "Next invoice, with tax": ("83.00 EUR", "81.50 EUR"),
        "On it: Discount 10 % on Tokens, Feb 2026": ("-", "-0.50 EUR"),
        "Adjusted: Discount 10 % on Tokens, Jan 2026": ("-", "-1.00 EUR"),
    }
    contract.refresh_from_db()
    assert (contract.revision, contract.discounts.count()) == (0, 1)
    done = ann.post(asking(contract, "add_discount"), {**asked, "origin": "row", "confirmed": "yes"}, follow=True)
    assert messages(done) == ["C-1 has the discount more from 2026-01-01."]
    row = contract.discounts.get(key="more")
    assert row.history.get().history_change_reason == "Agreed with Jo"


def test_what_cannot_be_is_said_when_it_is_tried(contract: Contract, ann: Client) -> None:
    asked = {"key": "welcome", "kind": "percent", "value": "10", "on": "2026-01-01", "reason": "x", "tried": "yes"}
    [case] = ann.post(asking(contract, "add_discount"), asked).context["cases"]
    assert "the key welcome is there twice" in case["refusal"]
    missing = ann.post(asking(contract, "add_discount"), {"tried": "yes"})
    assert set(missing.context["form"].errors) == {"key", "kind", "value", "on", "reason"}


AMENDMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("change_quantity", {"line": "pro", "quantity": "3"}, "C-1 has 3 of pro from 2026-03-01."),
    ("add_line", {"version": "care", "quantity": "2"}, "C-1 has care@1 from 2026-03-01."),
    ("move_line", {"line": "pro", "version": "care"}, "C-1 has care@1 in place of pro from 2026-03-01."),
    ("override_price", {"price": "pro/tokens", "unit_amount": "0.005"},
     "C-1 has another price for pro/tokens from 2026-03-01."),
    ("end_override", {"term": "pro/base"}, "C-1 has its own price for pro/base until 2026-03-01."),
    ("end_discount", {"term": "welcome"}, "C-1 has the discount welcome until 2026-03-01."),
    ("add_commitment", {"key": "cap", "kind": "cap", "amount": "500", "true_up": "on", "prorate": "on"},
     "C-1 has the commitment cap from 2026-03-01."),
    ("end_commitment", {"term": "yearly"}, "C-1 has the commitment yearly until 2026-03-01."),
    ("set_renewal", {"auto": "on", "months": "6", "notice_days": "10", "uplift_percent": "3"},
     "C-1 renews by itself."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "asked", "said"), AMENDMENTS, ids=[name for name, _, _ in AMENDMENTS])
def test_every_amendment_is_made_from_a_day_on(
    contract: Contract, ann: Client, name: str, asked: dict[str, Any], said: str
) -> None:
    before = terms_of(contract)
    if "version" in asked:
        asked = {**asked, "version": PlanVersion.objects.get(plan__key=asked["version"]).pk}
    sent = {**asked, "on": "2026-03-01", "reason": "Agreed"}
    tried = ann.post(asking(contract, name), {**sent, "tried": "yes"})
    assert "refusal" not in tried.context["cases"][0], tried.context["cases"]
    assert changes(tried)
    done = ann.post(asking(contract, name), {**sent, "origin": "row", "confirmed": "yes"}, follow=True)
    assert messages(done) == [said]
    contract.refresh_from_db()
    assert terms_of(contract) != before or contract.renewal_auto
    assert contract.revision == (0 if name == "set_renewal" else 1)


def test_a_plan_is_taken_off_and_its_money_comes_back(contract: Contract, ann: Client) -> None:
    version = PlanVersion.objects.get(plan__key="care")
    asked = {"version": version.pk, "quantity": "1", "on": "2026-02-01", "reason": "Care"}
    ann.post(asking(contract, "add_line"), {**asked, "confirmed": "yes"})
    off = {"line": "care", "on": "2026-02-15", "reason": "No care", "tried": "yes"}
    shown = changes(ann.post(asking(contract, "remove_line"), off))
    # 28.00 for February, or 14.00 for 14 of its 28 days.
    assert shown["Next invoice, before tax"] == ("111.00 EUR for Feb 2026", "97.00 EUR for Feb 2026")


@pytest.mark.parametrize(
    ("text", "tiers"),
    [
        ("1000 0.02\nabove 0.01", [("1000", "0.02", None), (None, "0.01", None)]),
        ("10, 1, 5\nAbove 0.5 2", [("10", "1", "5"), (None, "0.5", "2")]),
    ],
)
def test_tiers_of_an_override_are_typed_line_by_line(
    contract: Contract, ann: Client, text: str, tiers: list[tuple[str | None, str, str | None]]
) -> None:
    sent = {"price": "pro/tokens", "tiers": text, "on": "2026-03-01", "reason": "Agreed"}
    form = ann.post(asking(contract, "override_price"), {**sent, "tried": "yes"}).context["form"]
    read = form.cleaned_data["changes"]["tiers"]
    assert [(tier["up_to"], tier["unit_amount"], tier.get("flat_amount")) for tier in read] == tiers


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"tiers": "1000"}, "“1000” is no tier; write “1000 0.002”, or “above 0.001”."),
        ({"tiers": "ten 1"}, "“ten” is not a number."),
        ({}, "Say at least one number that is to be otherwise."),
    ],
)
def test_an_override_that_cannot_be_read_says_why(
    contract: Contract, ann: Client, sent: dict[str, str], message: str
) -> None:
    asked = {"price": "pro/tokens", "on": "2026-03-01", "reason": "Agreed", "tried": "yes", **sent}
    assert message in words(ann.post(asking(contract, "override_price"), asked).content.decode())


def test_only_who_may_amend_does_and_only_what_is_approved(contract: Contract) -> None:
    reader, ann = signed_in(), signed_in("amend_contract")
    assert reader.get(f"/admin/contracts/contract/{contract.pk}/amend/").status_code == 403
    assert reader.post(asking(contract, "add_discount"), {"confirmed": "yes"}).status_code == 403
    assert ann.get(asking(contract, "nix")).status_code == 404
    assert "/amend/" not in page(reader, f"/admin/contracts/contract/{contract.pk}/change/")
    Contract.objects.update(status="draft")
    assert ann.get(asking(contract, "add_discount")).status_code == 404


LIST = "/admin/contracts/contract/"


def test_a_contract_is_renewed_with_before_and_after(contract: Contract, ann: Client) -> None:
    chosen = {"action": "renew_contract", "_selected_action": contract.pk, "origin": "row"}
    asked = {"months": "12", "uplift_percent": "5", "reason": "Signed"}
    shown = changes(ann.post(LIST, {**chosen, **asked, "tried": "yes"}))
    assert shown["It runs"] == ("from 2026-01-01 until 2027-01-01", "from 2026-01-01 until 2028-01-01")
    assert shown["Line pro"] == (
        "pro@1, 1 from 2026-01-01",
        "pro@1, 1 from 2026-01-01 until 2027-01-01; then pro@1, 1 from 2027-01-01, all prices 5 % more",
    )
    assert shown["Next invoice, before tax"][0] == shown["Next invoice, before tax"][1]
    done = ann.post(LIST, {**chosen, **asked, "confirmed": "yes"}, follow=True)
    assert messages(done) == ["C-1 runs until 2028-01-01."]


def test_an_end_shows_what_comes_back(contract: Contract, ann: Client) -> None:
    chosen = {"action": "end_contract", "_selected_action": contract.pk, "origin": "row"}
    shown = changes(ann.post(LIST, {**chosen, "on": "2026-02-15", "reason": "Leaving", "tried": "yes"}))
    # 14 of 28 days: the fee is 40.00, less the 2.00 that the discount has left, tokens 5.00. The minimum of the year
    # is 2400 x 45 / 365 = 295.89; 100.00 of January and 43.00 are spent, so 152.89 are missing.
    assert shown["Next invoice, before tax"] == ("83.00 EUR for Feb 2026", "195.89 EUR for 1 Feb to 14 Feb 2026")
