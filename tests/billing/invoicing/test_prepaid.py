"""Prepaid grants: drawn once at issue, returned by a void, never spent twice, whoever asks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction

from billing.invoicing import bill_run
from billing.invoicing.balances import balance_of, grants
from billing.invoicing.crediting import discard_draft, void_invoice
from billing.invoicing.granting import demand_covered
from billing.invoicing.issuing import UnableToIssue, issue
from billing.invoicing.movements import history_of, movements
from billing.models import CreditUse, Invoice, InvoiceStatus
from contracts.drafts import GrantDraft
from contracts.lifecycle import UnableToAmend, amend, grant_credit
from contracts.models import Contract
from tests.billing.invoicing.conftest import BASE, START, Shop, instant

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]


def prepaid(amount: str, key: str = "pack", **fields: Any) -> GrantDraft:
    return GrantDraft("prepaid", Decimal(amount), START, key=key, **fields)


def signed(shop: Shop, *credits: GrantDraft) -> Contract:
    """99.00 a month in advance: for January, February and so on."""
    return shop.sign(shop.customer("acme"), shop.version(BASE), credits=credits)


def standing(at: str = "2026-06-01", key: str = "pack") -> dict[str, Any]:
    balance = balance_of(grants().get(key=key), instant(at))
    return {name: getattr(balance, name) for name in ("drawn", "returned", "left", "expired", "withdrawn", "state")}


def told(key: str = "pack", at: str = "2026-06-01") -> list[tuple[str, Decimal, Decimal | None]]:
    return [(one.kind, one.amount, one.left) for one in history_of(grants().get(key=key), instant(at))]


def at_once(*deeds: Callable[[], object]) -> list[object]:
    """What each answers, or the error it raises, when all start together."""
    start = Barrier(len(deeds))

    def take(deed: Callable[[], object]) -> object:
        try:
            start.wait(timeout=30)
            return deed()
        except (UnableToIssue, UnableToAmend, IntegrityError) as refused:
            return refused
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(take, deeds))


def test_a_draft_draws_nothing_until_it_is_issued_and_a_discarded_one_never(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    signed(shop, prepaid("150.00", name="Starter pack"))
    [shown] = bill_run.run(instant("2026-01-01"), dry_run=True).invoices
    assert (shown["credits"], shown["amount_due"]) == ([{"grant": "pack", "amount": "99.00"}], "0.00")
    bill_run.run(instant("2026-01-01"))
    draft = Invoice.objects.get()
    assert (draft.credited, draft.amount_due, CreditUse.objects.count()) == (0, 99, 0)
    discard_draft(draft, at=instant("2026-01-02"))
    assert standing()["left"] == 150
    bill_run.run(instant("2026-01-03"))
    issued = issue(Invoice.objects.get(), at=instant("2026-01-04"))
    assert (issued.credited, issued.amount_due) == (99, 0)
    use = CreditUse.objects.get()
    assert (use.name, use.words, use.remaining) == ("pack", "Starter pack", 51)
    assert str(use) == "pack on INV-000001: 99.0000"


def test_what_is_drawn_left_and_expired_is_what_was_granted(shop: Shop) -> None:
    signed(shop, prepaid("250.00", expires_on=dt.date(2026, 4, 1)))
    for at in ("2026-01-01", "2026-02-02", "2026-03-02"):
        bill_run.run(instant(at))
    # 99.00, 99.00 and the last 52.00
    nothing = {"returned": 0, "expired": 0, "withdrawn": 0}
    assert standing() == {**nothing, "drawn": 250, "left": 0, "state": "used up"}
    void_invoice(Invoice.objects.get(number="INV-000003"), reason="wrong", at=instant("2026-03-05"))
    assert standing("2026-03-31") == {**nothing, "drawn": 198, "returned": 52, "left": 52, "state": "open"}
    assert standing("2026-04-01") == {**nothing, "drawn": 198, "returned": 52, "left": 0, "expired": 52} | {
        "state": "expired"
    }
    # what comes back after the last day has expired with it
    void_invoice(Invoice.objects.get(number="INV-000002"), reason="wrong", at=instant("2026-04-10"))
    [again, _] = bill_run.run(instant("2026-04-11")).invoices
    assert again["credits"] == []
    assert standing() == {"drawn": 99, "returned": 151, "left": 0, "expired": 151, "withdrawn": 0, "state": "expired"}
    assert told() == [
        ("granted", 250, 250),
        ("drawn", -99, 151),
        ("drawn", -99, 52),
        ("drawn", -52, 0),
        ("returned", 52, 52),
        ("expired", -52, 0),
        ("returned", 99, 99),
        ("expired", -99, 0),
    ]


def test_movements_come_the_latest_first_and_page_by_page(shop: Shop) -> None:
    contract = signed(shop, prepaid("250.00"))
    for at in ("2026-01-01", "2026-02-02"):
        bill_run.run(instant(at))
    void_invoice(Invoice.objects.get(number="INV-000001"), reason="wrong", at=instant("2026-02-02"))
    whole = movements([contract.pk])
    assert [(one.kind, one.number) for one in whole] == [
        ("drawn", "INV-000002"),
        ("returned", "INV-000001"),
        ("drawn", "INV-000001"),
    ]
    for place, one in enumerate(whole):
        assert movements([contract.pk], before=(one.at, one.place), limit=1) == whole[place + 1 : place + 2]


def test_an_amendment_keeps_a_grant_its_uses(shop: Shop) -> None:
    contract = signed(shop, prepaid("150.00"))
    bill_run.run(instant("2026-01-01"))
    amend(contract, credits=[prepaid("120.00")], at=instant("2026-01-10"))
    assert (standing()["drawn"], standing()["left"]) == (99, 21)
    amend(contract, credits=[], at=instant("2026-01-20"))
    assert standing() == {"drawn": 99, "returned": 0, "left": 0, "expired": 0, "withdrawn": 21, "state": "withdrawn"}
    assert told() == [("granted", 150, 150), ("drawn", -99, 51), ("amended", -30, 21), ("withdrawn", -21, 0)]
    [february] = bill_run.run(instant("2026-02-02")).invoices
    assert february["credits"] == []


def test_a_grant_cannot_become_less_than_is_spent_of_it(shop: Shop) -> None:
    contract = signed(shop, prepaid("150.00"))
    bill_run.run(instant("2026-01-01"))
    promotional = GrantDraft("promotional", Decimal(150), START, key="pack")
    for grant, path in ((prepaid("98.99"), "credits[0].amount"), (promotional, "credits[0].kind")):
        with pytest.raises(UnableToAmend, match=r"99\.00 EUR of pack is spent") as refused, transaction.atomic():
            amend(contract, credits=[grant], at=instant("2026-01-10"))
            demand_covered(contract)
        assert [error.path for error in refused.value.errors] == [path]
    # whoever does not ask is refused when the transaction ends
    with pytest.raises(IntegrityError, match=r"99\.0000 of grant pack is spent"):
        amend(contract, credits=[prepaid("98.99")], at=instant("2026-01-10"))
    assert standing()["left"] == 51


def test_a_grant_takes_a_key_that_none_ever_had(shop: Shop) -> None:
    contract = signed(shop, GrantDraft("prepaid", Decimal(10), START), GrantDraft("prepaid", Decimal(20), START))
    amend(contract, credits=[GrantDraft("prepaid", Decimal(10), START)], at=instant("2026-01-02"))
    row = grant_credit(contract, GrantDraft("prepaid", Decimal(5), START), at=instant("2026-01-03"), reason="Outage")
    assert (row.key, row.history.get().history_change_reason) == ("credit-3", "Outage")
    with pytest.raises(UnableToAmend) as refused:
        grant_credit(contract, prepaid("5", key="credit-2"), at=instant("2026-01-03"))
    assert [(error.path, error.code) for error in refused.value.errors] == [("key", "taken")]
    with pytest.raises(UnableToAmend) as refused:
        grant_credit(contract, prepaid("-5", applies_to=("seats",)), at=instant("2026-01-03"))
    assert [(error.path, error.code) for error in refused.value.errors] == [
        ("amount", "invalid"),
        ("applies_to", "unknown"),
    ]


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE billing_credituse SET amount = 150.01", "grant pack has 150.0000, and 150.0100 of it would be spent"),
        ("UPDATE billing_credituse SET grant_key = 'other'", "grant other has 0"),
        ("UPDATE contracts_creditgrant SET amount = 98", "99.0000 of grant pack is spent"),
        ("UPDATE contracts_creditgrant SET kind = 'promotional'", "99.0000 of grant pack is spent"),
        ("DELETE FROM contracts_creditgrant", "99.0000 of grant pack is spent"),
        (
            "INSERT INTO billing_credituse (invoice_id, contract_id, grant_key, description, amount, used_at)"
            " SELECT id, contract_id, 'pack', '', 51.01, now() FROM billing_invoice WHERE number = 'INV-000002'",
            "grant pack has 150.0000, and 150.0100 of it would be spent",
        ),
        (
            "INSERT INTO billing_credituse (invoice_id, contract_id, grant_key, description, amount, used_at)"
            " SELECT id, contract_id, '', '', 1, now() FROM billing_invoice WHERE number = 'INV-000002'",
            "credit_use_of_one",
        ),
        (
            "INSERT INTO billing_credituse (invoice_id, contract_id, grant_key, description, amount, used_at)"
            " SELECT id, contract_id, 'pack', '', 1, now() FROM billing_invoice WHERE number = 'INV-000001'",
            "credit_use_of_grant_once",
        ),
        (
            "INSERT INTO billing_credituse (invoice_id, contract_id, grant_key, description, amount, used_at)"
            " SELECT invoice.id, contract.id, 'pack', '', 1, now() FROM billing_invoice invoice, contracts_contract"
            " contract WHERE invoice.number = 'INV-000002' AND contract.number = 'C-beta'",
            "a grant pays invoices of its own contract only",
        ),
    ],
)
def test_the_database_refuses_to_overdraw(shop: Shop, statement: str, refusal: str) -> None:
    signed(shop, prepaid("150.00", expires_on=dt.date(2026, 1, 2)))
    shop.sign(shop.customer("beta"), shop.version(BASE, plan="other"), number="C-beta", credits=[prepaid("9.00")])
    bill_run.run(instant("2026-01-01"), customers=["acme"])
    bill_run.run(instant("2026-02-02"), customers=["acme"])
    if "contracts_creditgrant" in statement:
        statement += " WHERE contract_id = (SELECT id FROM contracts_contract WHERE number = 'C-acme')" + (
            " AND key = 'pack'"
        )
    with pytest.raises(IntegrityError, match=refusal), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_credit_note_cannot_be_overspent_by_statement(shop: Shop) -> None:
    contract = signed(shop, prepaid("5.00"))
    bill_run.run(instant("2026-01-01"))
    amend(contract, discounts=[], credits=[], at=instant("2026-01-05"))
    from_note = (
        "INSERT INTO billing_credituse (invoice_id, credit_note_id, grant_key, description, amount, used_at)"
        " SELECT id, id, '', '', 1, now() FROM billing_invoice WHERE number = 'INV-000001'"
    )
    with pytest.raises(IntegrityError, match=r"credit note INV-000001 has -99"), connection.cursor() as cursor:
        cursor.execute(from_note)


def test_two_issues_at_once_share_what_a_grant_has(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    signed(shop, prepaid("150.00"))
    for at in ("2026-01-01", "2026-02-02", "2026-03-02", "2026-04-02"):
        bill_run.run(instant(at))
    drafts = list(Invoice.objects.drafts().order_by("pk"))
    assert len(drafts) == 4
    at_once(*(lambda draft=one: issue(draft, at=instant("2026-04-03")) for one in drafts))
    assert sorted(Invoice.objects.issued().values_list("credited", flat=True)) == [0, 0, 51, 99]
    assert (standing()["drawn"], standing()["left"]) == (150, 0)


def test_two_runs_at_once_draw_a_grant_once(shop: Shop) -> None:
    signed(shop, prepaid("150.00"))
    at_once(*(lambda: bill_run.run(instant("2026-02-02")) for _ in range(3)))
    assert [one.credited for one in Invoice.objects.order_by("pk")] == [99, 51]


def test_a_grant_is_not_taken_away_while_it_is_spent(shop: Shop) -> None:
    """Either the amendment comes first and 50.00 are drawn, or the issue, and then the amendment is refused."""
    contract = signed(shop, prepaid("99.00"))

    def less() -> Contract:
        mine = Contract.objects.get(pk=contract.pk)
        with transaction.atomic():
            amend(mine, credits=[prepaid("50.00")], at=instant("2026-01-01"))
            demand_covered(mine)
        return mine

    amended, _ = at_once(less, lambda: bill_run.run(instant("2026-01-01")))
    expected = 99 if isinstance(amended, UnableToAmend) else 50
    assert Invoice.objects.get(status=InvoiceStatus.ISSUED).credited == expected
    assert standing()["left"] == 0
