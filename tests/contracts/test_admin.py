"""The desk of contracts: drafts are edited with their terms; what counts is amended, ended, credited by deeds."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.test import Client

from contracts.drafts import LineDraft
from contracts.lifecycle import submit
from contracts.models import Contract, ContractLine, ContractStatus
from tests.contracts.conftest import AT, START, Desk

pytestmark = pytest.mark.django_db

LIST = "/admin/contracts/contract/"


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def do(client: Client, deed: str, contract: Contract, **asked: Any) -> Any:
    chosen = {"action": deed, "_selected_action": contract.pk, "origin": "row", **asked}
    return client.post(LIST, chosen, follow=True)


def messages(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def form_of(contract: Contract, **changed: str) -> dict[str, str]:
    """The draft's form as the page has it, with one line."""
    line = contract.lines.get()
    fields = {
        "number": contract.number,
        "customer": str(contract.customer_id),
        "seller": str(contract.seller_id),
        "starts_on": "2026-01-01",
        "anchor": "start",
        "currency": "USD",
        "payment_terms_days": "30",
        "renewal_months": "12",
        "renewal_notice_days": "30",
        "renewal_uplift_percent": "0",
        "lines-TOTAL_FORMS": "1",
        "lines-INITIAL_FORMS": "1",
        "lines-0-id": str(line.pk),
        "lines-0-contract": str(contract.pk),
        "lines-0-plan_version": str(line.plan_version_id),
        "lines-0-key": line.key,
        "lines-0-quantity": "1",
        "lines-0-uplift_percent": "0",
        "lines-0-starts_on": "2026-01-01",
    }
    for name in ("overrides", "discounts", "commitments", "credits", "one_time_terms"):
        fields |= {f"{name}-TOTAL_FORMS": "0", f"{name}-INITIAL_FORMS": "0"}
    return fields | changed


def test_a_draft_is_edited_with_its_lines(desk: Desk, boss: Client) -> None:
    contract = desk.draft(LineDraft(desk.version(), START))
    changed = form_of(contract, **{"lines-0-quantity": "3", "change_reason": "Three sites"})
    assert boss.post(f"{LIST}{contract.pk}/change/", changed).status_code == 302
    line = ContractLine.objects.get()
    assert line.quantity == 3
    assert line.history.latest().history_change_reason == "Three sites"


def test_a_line_of_a_contract_in_review_goes_with_it_and_not_alone(desk: Desk, boss: Client) -> None:
    contract = desk.draft(LineDraft(desk.version(), START))
    submit(contract, at=AT)
    line = f"/admin/contracts/contractline/{contract.lines.get().pk}/delete/"
    assert boss.post(line, {"post": "yes"}).status_code == 403
    assert contract.lines.exists()
    assert boss.post(f"{LIST}{contract.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Contract.objects.exists() and not ContractLine.objects.exists()


def test_an_approved_contract_is_read_only_and_says_amend_it(desk: Desk, boss: Client) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    shown = boss.get(f"{LIST}{contract.pk}/change/").content.decode()
    assert "amend it" in shown
    assert "30.00 USD" in shown
    assert boss.post(f"{LIST}{contract.pk}/change/", form_of(contract, currency="EUR")).status_code == 403
    assert boss.post(f"{LIST}{contract.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Contract.objects.get().currency == "USD"


def test_many_contracts_cannot_be_deleted_where_one_is_approved(desk: Desk, boss: Client) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    do(boss, "delete_selected", contract, post="yes")
    assert Contract.objects.filter(pk=contract.pk).exists()


def test_a_draft_is_deleted_with_its_terms(desk: Desk, boss: Client) -> None:
    contract = desk.draft(LineDraft(desk.version(), START))
    assert boss.post(f"{LIST}{contract.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Contract.objects.exists()


def test_approval_takes_another_person_and_shows_what_will_be_billed(desk: Desk, boss: Client) -> None:
    contract = desk.draft(LineDraft(desk.version(), START))
    shown = do(boss, "submit_contract", contract)
    assert [(one.before, one.after) for one in shown.context["cases"][0]["changes"]] == [
        ("not billed", "30.00 USD"),
        ("not billed", "1.00 USD each"),
    ]
    do(boss, "submit_contract", contract, confirmed="yes")
    assert "another person" in messages(do(boss, "approve_contract", contract, confirmed="yes"))[0]
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    assert messages(do(other, "approve_contract", contract, confirmed="yes")) == ["C-1 is approved."]
    assert Contract.objects.get().status == ContractStatus.APPROVED


def test_a_contract_that_cannot_count_says_why(desk: Desk, boss: Client) -> None:
    contract = desk.draft(LineDraft(desk.version(published=False), START))
    assert "publish it" in do(boss, "submit_contract", contract).context["cases"][0]["refusal"]


def test_a_contract_is_ended_moved_and_credited(desk: Desk, boss: Client) -> None:
    version = desk.version()
    following = desk.version()
    contract = desk.signed(LineDraft(version, START))
    do(boss, "move_to_version", contract, confirmed="yes", version=following.pk, on="2026-02-01")
    spans = contract.lines.in_force().values_list("plan_version__number", "starts_on", "ends_on")
    assert list(spans) == [(1, START, dt.date(2026, 2, 1)), (2, dt.date(2026, 2, 1), None)]
    credit = {"key": "goodwill", "description": "Goodwill", "amount": "-5.00", "on": "2026-02-03"}
    assert messages(do(boss, "add_one_time", contract, confirmed="yes", **credit)) == [
        "-5.00 USD on 2026-02-03: Goodwill."
    ]
    assert contract.one_time_terms.get().amount == Decimal(-5)
    refused = do(boss, "end_contract", contract, confirmed="yes", on="2026-02-02", reason="Leaving")
    assert "is not a day of the contract" in messages(refused)[0]
    do(boss, "end_contract", contract, confirmed="yes", on="2026-03-01", reason="Leaving")
    contract.refresh_from_db()
    assert (contract.ends_on, contract.history.latest().history_change_reason) == (dt.date(2026, 3, 1), "Leaving")


def test_the_zone_of_a_customer_is_bound_by_its_contracts(desk: Desk, boss: Client) -> None:
    address = f"/admin/contracts/customer/{desk.customer.pk}/change/"
    assert "timezone" in boss.get(address).context["adminform"].form.fields
    desk.signed(LineDraft(desk.version(), START))
    assert "timezone" not in boss.get(address).context["adminform"].form.fields


def test_the_page_of_a_customer_leads_to_its_contracts(desk: Desk, boss: Client) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    page = boss.get(f"/admin/contracts/customer/{desk.customer.pk}/change/").content.decode()
    assert contract.number in page and f"/admin/contracts/contract/{contract.pk}/change/" in page


def test_a_customer_says_why_it_pays_no_tax_and_has_a_vat_id_that_is_one(desk: Desk, boss: Client) -> None:
    address = f"/admin/contracts/customer/{desk.customer.pk}/change/"
    form = {"name": "Acme", "key": "acme", "country": "DE", "tax_id": "DE129274203", "tax_exempt": "on"}
    for inline in ("aliases", "contacts", "contracts"):
        form |= {f"{inline}-TOTAL_FORMS": "0", f"{inline}-INITIAL_FORMS": "0"}
    errors = boss.post(address, form).context["adminform"].form.errors
    assert errors["tax_id"] == ["DE129274203 is not a VAT id of DE. The number's checksum or check digit is invalid."]
    form["tax_id"] = "DE129274202"
    errors = boss.post(address, form).context["adminform"].form.errors
    assert errors["tax_exempt_reason"] == ["Say why the customer pays no tax."]
    form["tax_exempt_reason"] = "Hospital"
    assert boss.post(address, form).status_code == 302
    desk.customer.refresh_from_db()
    assert (desk.customer.tax_id, desk.customer.tax_exempt) == ("DE129274202", True)
    with pytest.raises(IntegrityError, match="customer_exempt_for_a_reason"), connection.cursor() as cursor:
        cursor.execute("UPDATE contracts_customer SET tax_exempt_reason = ''")
