"""Allowances on the console: bars, who is about to run out, agreements for one contract, endpoints and secrets."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.entitlements.access import access
from billing.entitlements.notices import look_over
from billing.models import Delivery, DeliveryStatus, WebhookEndpoint
from catalog.entitling import EntitlementDraft
from catalog.models import PlanVersion
from catalog.publishing import draft_version, submit
from contracts.models import Contract
from tests.billing.entitlements.conftest import Office, tokens, use
from tests.billing.invoicing.console import messages, questions, words

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def robin(office: Office) -> Client:
    user = User.objects.create_user("robin", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    client = Client()
    client.force_login(user)
    return client


def lately() -> str:
    return f"{timezone.now() - dt.timedelta(minutes=1):%Y-%m-%dT%H:%M}"


def used(contract: Contract, amount: int) -> None:
    use(contract.customer, amount, lately())


def overview(contract: Contract) -> str:
    return reverse("admin:contracts_customer_overview", args=[contract.customer_id])


def full(client: Client) -> str:
    return words(client.get(reverse("admin:billing_notice_full")).content.decode())


def test_the_page_of_a_customer_shows_what_it_may_use(office: Office, robin: Client) -> None:
    given = [tokens("1000"), EntitlementDraft("sso"), EntitlementDraft("seats", "static", value=5)]
    contract = office.sign(office.version(*given))
    used(contract, 940)
    html = robin.get(overview(contract)).content.decode()
    assert "tokens 940 1,000 60" in words(html)
    assert 'aria-valuenow="94"' in html
    used(contract, 100)
    assert "tokens no access 1,040 1,000 0" in words(robin.get(overview(contract)).content.decode())


def test_the_bars_cost_the_same_for_many_features(office: Office, robin: Client) -> None:
    one = office.sign(office.version(tokens("1000")))
    three = office.sign(
        office.version(tokens("1000"), EntitlementDraft("sso"), EntitlementDraft("seats", "static", value=5))
    )
    used(one, 1)
    used(three, 1)
    assert questions(robin, overview(one)) == questions(robin, overview(three))


def test_who_is_above_90_percent_is_listed_the_fullest_first(office: Office, robin: Client) -> None:
    version = office.version(tokens("1000", on_limit="bill"))
    few, much, more = (office.sign(version) for _ in range(3))
    for contract, amount in ((few, 500), (much, 950), (more, 1200)):
        used(contract, amount)
    text = full(robin)
    assert few.customer.name not in text
    assert text.index(more.customer.name) < text.index(much.customer.name)
    assert "1,200 1,000 120" in text


def test_who_got_more_is_above_no_longer(office: Office, robin: Client) -> None:
    contract = office.sign(office.version(tokens("1000")))
    used(contract, 950)
    change(robin, contract, extra="1000")
    assert contract.customer.name not in full(robin)
    look_over(timezone.now())
    assert contract.customer.name not in full(robin)


def change(client: Client, contract: Contract, **asked: Any) -> Any:
    said = {"feature": "tokens", "starts_on": f"{timezone.now():%Y-%m-%d}", "reason": "Launch week", **asked}
    begun = {"action": "change_allowance", "_selected_action": contract.pk, "origin": "row", "confirmed": "yes"}
    return client.post("/admin/contracts/contract/", {**begun, **said}, follow=True)


def test_an_allowance_is_changed_with_a_reason_and_an_end(office: Office, robin: Client) -> None:
    contract = office.sign(office.version(tokens("1000")))
    answer = change(robin, contract, limit="5000", thresholds="80, 100 %", on_limit="warn", ends_on="2099-01-01")
    assert "is as agreed from" in messages(answer)[0]
    found = access(contract.customer.key, "tokens", timezone.now())
    assert found is not None
    assert (found.limit, found.terms.on_limit, found.terms.thresholds) == (5000, "warn", (80, 100))
    said = contract.entitlements.get()
    assert (said.reason, said.ends_on, said.limit) == ("Launch week", dt.date(2099, 1, 1), Decimal(5000))
    page = words(robin.get(reverse("admin:contracts_contract_change", args=[contract.pk])).content.decode())
    assert "5,000; then access, with a warning; told at 80, 100 %" in page
    assert "until 2099-01-01" in page
    assert "(Launch week)" in page


def test_an_allowance_that_contradicts_the_plan_is_refused(office: Office, robin: Client) -> None:
    contract = office.sign(office.version(tokens("1000")))
    answer = change(robin, contract, value="5")
    assert "tokens has a limit, no value" in messages(answer)[0]
    assert not contract.entitlements.exists()


def test_an_endpoints_secret_is_shown_once(robin: Client) -> None:
    added = {"name": "Theirs", "url": "https://hooks.example.com/x", "is_active": "on"}
    answer = robin.post("/admin/billing/webhookendpoint/add/", added, follow=True)
    endpoint = WebhookEndpoint.objects.get()
    assert any(endpoint.secret in one for one in messages(answer))
    for address in ("change", "history"):
        page = robin.get(reverse(f"admin:billing_webhookendpoint_{address}", args=[endpoint.pk]))
        assert endpoint.secret not in page.content.decode()
    assert not hasattr(WebhookEndpoint.history.get(), "secret")
    before = endpoint.secret
    begun = {"action": "rotate_webhookendpoint", "_selected_action": endpoint.pk, "confirmed": "yes"}
    answer = robin.post("/admin/billing/webhookendpoint/", begun, follow=True)
    endpoint.refresh_from_db()
    assert endpoint.secret != before
    assert any(endpoint.secret in one for one in messages(answer))


def test_a_delivery_is_sent_again(office: Office, robin: Client) -> None:
    WebhookEndpoint.objects.create(name="Theirs", url="https://hooks.example.com/x")
    contract = office.sign(office.version(tokens("1000", thresholds=(90,))))
    used(contract, 950)
    Delivery.objects.update(status=DeliveryStatus.FAILED)
    delivery = Delivery.objects.get()
    begun = {"action": "replay_delivery", "_selected_action": delivery.pk, "confirmed": "yes"}
    robin.post("/admin/billing/delivery/", begun, follow=True)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.PENDING


def a_draft(office: Office) -> PlanVersion:
    published = office.version(tokens("1000"))
    return draft_version(published.plan, currency="USD", prices=[], at=timezone.now())


def test_an_entitlement_is_added_to_a_draft_and_frozen_with_it(office: Office, robin: Client) -> None:
    version = a_draft(office)
    form = {
        "version": version.pk, "feature": office.version(tokens("1")).entitlements.get().feature_id, "kind": "metered",
        "meter": office.meter.pk, "limit": "100", "reset": "month", "on_limit": "warn", "thresholds": "50,100",
        "rollover_periods": "1", "position": "0",
    }  # fmt: skip
    answer = robin.post("/admin/catalog/entitlement/add/", form, follow=True)
    assert "100 each month, then access, with a warning; told at 50, 100 %" in words(answer.content.decode())
    submit(version, at=timezone.now())
    page = robin.get(reverse("admin:catalog_entitlement_change", args=[version.entitlements.get().pk]))
    assert "stays as it is" in words(page.content.decode())
