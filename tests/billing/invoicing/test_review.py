"""Drafts before they are issued: what differs from the document before, and issuing or discarding many at once."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from billing.invoicing import bill_run
from billing.invoicing.comparing import compare, percent_of_change
from billing.invoicing.issuing import issue
from billing.models import Invoice, InvoiceLine
from contracts.lifecycle import add_one_time
from contracts.models import Contract
from tests.billing.invoicing.conftest import TOKENS, Shop, instant
from tests.billing.invoicing.console import LIST, do, messages, page, questions, signed_in, use, words

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

REVIEW = f"{LIST}review/"


def line(price: str, amount: str, kind: str = "usage", term: str = "pro@1") -> InvoiceLine:
    return InvoiceLine(
        kind=kind,
        entry_kind=kind,
        contract_line="pro",
        price=price,
        term=term,
        description=price,
        amount=Decimal(amount),
    )


def chosen(client: Client, deed: str, drafts: list[Invoice], **asked: Any) -> Any:
    """A deed on drafts of the queue; with `confirmed` done."""
    body = {"action": deed, "_selected_action": [draft.pk for draft in drafts], **asked}
    return client.post(REVIEW, body, follow=True)


@pytest.fixture
def held(shop: Shop) -> Contract:
    """January is issued at 100.00 (10,000 tokens at 0.01); February's draft has 130.00 and a setup of 200.00."""
    shop.seller.review_drafts = True
    shop.seller.save()
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS))
    use("one", 10_000, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    bill_run.run(instant("2026-02-02"))
    issue(Invoice.objects.get(), at=instant("2026-02-03"))
    use("two", 13_000, "2026-02-10T10:00:00Z", "2026-02-10T10:01:00")
    use("late", 500, "2026-01-11T10:00:00Z", "2026-02-11T10:00:00")
    add_one_time(contract, "setup", "Setup", Decimal(200), dt.date(2026, 2, 20), at=instant("2026-02-20"))
    bill_run.run(instant("2026-03-02"))
    return contract


def test_charges_are_compared_by_what_they_are_for() -> None:
    before = [line("tokens", "100.00"), line("seats", "40.00"), line("tokens", "-10.00", "discount", "tenth")]
    now = [
        line("tokens", "130.00"),
        line("tokens", "-13.00", "discount", "tenth"),
        line("setup", "200.00", "one_time"),
        line("tokens", "5.00", "adjustment"),
    ]
    found = compare(now, Invoice(pk=1), before)
    # 130 - 13 + 200 against 100 + 40 - 10: 317 against 130, 143.8 % more.
    assert (found.before, found.now, found.percent) == (Decimal("130.00"), Decimal("317.00"), Decimal("143.8"))
    assert [(one.description, one.before, one.now, one.percent) for one in found.moved] == [
        ("tokens", Decimal("100.00"), Decimal("130.00"), Decimal("30.0")),
        ("tokens", Decimal("-10.00"), Decimal("-13.00"), Decimal("-30.0")),
    ]
    assert [one.description for one in found.added] == ["setup"]
    assert [one.description for one in found.gone] == ["seats"]
    assert (found.adjustments, found.adjusted, found.is_large) == (1, Decimal("5.00"), True)


@pytest.mark.parametrize(
    ("now", "adjusted", "is_large"),
    [
        ("124.99", "0", False),
        ("125.00", "0", True),
        ("75.01", "0", False),
        ("75.00", "0", True),
        ("100.00", "-24.99", False),
        ("100.00", "-25.00", True),
    ],
)
def test_a_quarter_more_or_less_asks_for_a_second_look(now: str, adjusted: str, is_large: bool) -> None:
    lines = [line("tokens", now), *([line("tokens", adjusted, "adjustment")] if adjusted != "0" else [])]
    assert compare(lines, Invoice(pk=1), [line("tokens", "100.00")]).is_large == is_large


def test_a_first_document_has_nothing_to_be_compared_with() -> None:
    found = compare([line("tokens", "100.00")], None, [])
    assert (found.percent, found.added, found.is_large) == (None, (), False)
    assert percent_of_change(Decimal(0), Decimal(5)) is None


def test_the_queue_says_what_differs_from_the_document_before(held: Contract) -> None:
    text = words(page(signed_in(), REVIEW))
    # 130.00 + 200.00 against 100.00 is 230 % more; 500 late tokens are 5.00.
    assert "330.00 100.00 +230 % look twice new: Setup, 200.00 1 adjustment, 5.00 1 charge moved 335.00 EUR" in text
    draft = Invoice.objects.get(status="draft")
    text = words(page(signed_in(), f"{LIST}{draft.pk}/change/"))
    assert "INV-000001 for 2026-01-01 until 2026-02-01: 100.00 before tax; this one 330.00 (+230 %)" in text
    assert "Tokens 100.00 130.00 30.00 +30 %" in text
    assert "Draft , made 2 Mar 2026, 00:00." in text


def test_a_draft_is_issued_from_the_queue_with_the_money_before_and_after(held: Contract) -> None:
    finance = signed_in("issue_invoice")
    draft = Invoice.objects.get(status="draft")
    shown = chosen(finance, "issue_invoice", [draft])
    case = shown.context["cases"][0]
    assert case["title"] == f"draft {draft.pk}, Acme, contract C-acme, Feb 2026"
    assert [(one.subject, one.before, one.after) for one in case["changes"]] == [
        ("Number", "none", "the next"),
        ("Total", "not billed", "335.00 EUR"),
        ("Credit notes left", "0.00 EUR", "0.00 EUR"),
        ("Amount due", "nothing", "335.00 EUR"),
        ("The customer owes", "100.00 EUR", "435.00 EUR"),
    ]
    done = chosen(finance, "issue_invoice", [draft], confirmed="yes")
    assert done.redirect_chain == [(REVIEW, 302)]
    assert messages(done)[0].startswith("INV-000002 is issued; 335.00 EUR due on ")
    assert "No drafts wait." in done.content.decode()


def test_many_are_issued_at_once_in_the_order_they_were_made(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    version = shop.version(TOKENS)
    for number in range(3):
        shop.sign(shop.customer(f"acme-{number}"), version)
        use(f"one-{number}", 1_000, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00", subject=f"acme-{number}")
    bill_run.run(instant("2026-02-02"))
    drafts = list(Invoice.objects.order_by("-pk"))
    finance = signed_in("issue_invoice")
    assert chosen(finance, "issue_invoice", drafts).context["overall"] == "3 documents, 30.00 EUR with tax."
    chosen(finance, "issue_invoice", drafts, confirmed="yes")
    numbers = list(Invoice.objects.order_by("pk").values_list("number", flat=True))
    assert numbers == ["INV-000001", "INV-000002", "INV-000003"]
    assert set(Invoice.objects.values_list("issued_by", flat=True)) == {"user0"}


def test_a_discarded_draft_is_made_anew_by_the_next_run(held: Contract) -> None:
    finance = signed_in("delete_invoice")
    chosen(finance, "discard_draft", [Invoice.objects.get(status="draft")], confirmed="yes")
    assert not Invoice.objects.filter(status="draft").exists()
    bill_run.run(instant("2026-03-03"))
    assert Invoice.objects.get(status="draft").total == Decimal("335.00")


def test_nothing_chosen_is_said(held: Contract) -> None:
    assert messages(chosen(signed_in("issue_invoice"), "issue_invoice", [])) == [
        "No draft is chosen. Tick the ones to work on."
    ]


def test_an_auditor_sees_the_queue_and_cannot_act(held: Contract) -> None:
    auditor = signed_in()
    assert "checkbox" not in page(auditor, REVIEW).partition("content-main")[2]
    draft = Invoice.objects.get(status="draft")
    assert chosen(auditor, "issue_invoice", [draft], confirmed="yes").status_code == 403
    assert chosen(signed_in("issue_invoice"), "discard_draft", [draft], confirmed="yes").status_code == 403
    do(auditor, "issue_invoice", draft, confirmed="yes")
    assert Invoice.objects.filter(status="draft").exists()


def test_the_queue_needs_the_right_to_see_invoices(held: Contract) -> None:
    stranger = Client()
    assert stranger.get(REVIEW).status_code == 302
    stranger.force_login(User.objects.create_user("stranger", is_staff=True))
    assert stranger.get(REVIEW).status_code == 403


def test_the_queue_asks_as_many_questions_for_30_drafts_as_for_3(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    version = shop.version(TOKENS)
    finance = signed_in("issue_invoice")
    counts = []
    for numbers in (range(3), range(3, 30)):
        for number in numbers:
            key = f"acme-{number}"
            shop.sign(shop.customer(key), version)
            use(f"one-{number}", 1_000, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00", subject=key)
            use(f"two-{number}", 1_000, "2026-02-10T10:00:00Z", "2026-02-10T10:01:00", subject=key)
        bill_run.run(instant("2026-03-02"))
        counts.append(questions(finance, REVIEW))
    assert Invoice.objects.drafts().count() == 60
    assert counts[0] == counts[1]
