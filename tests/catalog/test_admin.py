"""The desk of plans: drafts are edited, frozen versions are not, publishing takes two persons."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from catalog.desks import QuickPaginator
from catalog.models import Feature, Meter, Plan, PlanVersion, Price, VersionStatus
from catalog.publishing import PriceDraft, draft_version, publish, submit
from tests.factories import MeterFactory

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LIST = "/admin/catalog/planversion/"


def signed_in(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_planversion", "view_price", *permissions]))
    client = Client()
    client.force_login(user)
    return client


def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def do(client: Client, deed: str, version: PlanVersion, **asked: Any) -> Any:
    return client.post(LIST, {"action": deed, "_selected_action": version.pk, **asked}, follow=True)


def messages(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


@pytest.fixture
def version() -> PlanVersion:
    """Tokens at 0.02 each, a draft."""
    MeterFactory(key="tokens")
    price = PriceDraft("tokens", "usage", {"model": "per_unit", "unit_amount": "0.02"}, meter="tokens")
    return draft_version(Plan.objects.create(key="pro", name="Pro"), currency="USD", prices=[price], at=AT)


def form_of(version: PlanVersion, **changed: str) -> dict[str, str]:
    """The form of the draft's price as its page has it, without what is hidden."""
    price = version.prices.get()
    fields = {
        "change_reason": "",
        "key": "tokens",
        "kind": "usage",
        "model": "per_unit",
        "meter": str(price.meter_id),
        "unit_amount": "0.02",
        "included_units": "0",
        "tiers-TOTAL_FORMS": "0",
        "tiers-INITIAL_FORMS": "0",
    }
    return fields | changed


def price_page(version: PlanVersion) -> str:
    return f"/admin/catalog/price/{version.prices.get().pk}/change/"


def test_a_draft_is_edited_and_its_history_says_who_and_why(version: PlanVersion) -> None:
    changed = form_of(version, unit_amount="0.03", change_reason="Agreed with sales")
    saved = boss().post(price_page(version), changed)
    assert saved.status_code == 302 and saved.headers["Location"] == f"{LIST}{version.pk}/change/"
    price = Price.objects.get()
    assert price.unit_amount == Decimal("0.03")
    latest = price.history.latest()
    assert (latest.history_user.username, latest.history_change_reason) == ("boss", "Agreed with sales")


def test_a_published_version_is_read_only_and_says_what_to_do_instead(version: PlanVersion) -> None:
    publish(version, at=AT)
    client = boss()
    shown = client.get(f"{LIST}{version.pk}/change/").content.decode()
    assert "For other prices make a new draft from this one." in shown
    assert "0.02 USD each" in shown
    assert client.post(f"{LIST}{version.pk}/change/", {"currency": "EUR"}).status_code == 403
    assert client.post(price_page(version), form_of(version, unit_amount="0.03")).status_code == 403
    assert client.post(f"/admin/catalog/price/{version.prices.get().pk}/delete/", {"post": "yes"}).status_code == 403
    assert Price.objects.get().unit_amount == Decimal("0.02")


def test_a_price_of_a_version_in_review_goes_with_it_and_not_alone(version: PlanVersion) -> None:
    submit(version, at=AT)
    client, price = boss(), version.prices.get()
    page = f"/admin/catalog/price/{price.pk}/"
    assert f"{page}delete/" not in client.get(f"{page}change/").content.decode()
    assert client.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": price.pk, "post": "yes"}
    assert client.post("/admin/catalog/price/", chosen).status_code == 403
    assert version.prices.exists()
    assert client.post(f"{LIST}{version.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not PlanVersion.objects.exists() and not Price.objects.exists()


def test_a_price_of_a_draft_may_go_alone(version: PlanVersion) -> None:
    assert boss().post(f"/admin/catalog/price/{version.prices.get().pk}/delete/", {"post": "yes"}).status_code == 302
    assert not version.prices.exists()


def test_publishing_takes_two_persons_and_shows_prices_before_and_after(version: PlanVersion) -> None:
    publish(version, at=AT)
    dearer = PriceDraft("tokens", "usage", {"model": "per_unit", "unit_amount": "0.025"}, meter="tokens")
    following = draft_version(version.plan, currency="USD", prices=[dearer], at=AT)
    both = ("submit_planversion", "publish_planversion")
    robin, fiona = signed_in("robin", *both), signed_in("fiona", *both)
    shown = do(robin, "submit_version", following).context["cases"][0]["shown"]
    assert '<td>0.02</td><td class="changes">0.025</td>' in shown
    do(robin, "submit_version", following, confirmed="yes")
    refused = do(robin, "approve_version", following, confirmed="yes")
    assert "ask another person" in messages(refused)[0]
    assert messages(do(fiona, "approve_version", following, confirmed="yes")) == ["pro@2 is published."]
    following.refresh_from_db()
    assert following.status == VersionStatus.PUBLISHED


def test_a_deed_is_not_offered_without_its_permission(version: PlanVersion) -> None:
    clerk = signed_in("clerk")
    assert "submit_version" not in clerk.get(LIST).content.decode()
    do(clerk, "submit_version", version, confirmed="yes")
    version.refresh_from_db()
    assert version.status == VersionStatus.DRAFT


def test_a_draft_that_cannot_be_sold_says_what_is_in_the_way(version: PlanVersion) -> None:
    Price.objects.update(unit_amount=None)
    shown = do(boss(), "submit_version", version)
    assert "unit_amount" in shown.context["cases"][0]["refusal"]


def test_a_version_is_retired_with_a_reason_and_copied_to_a_draft(version: PlanVersion) -> None:
    PlanVersion.objects.update(trial_days=14)
    version.refresh_from_db()
    publish(version, at=AT)
    client = boss()
    assert do(client, "retire_version", version, confirmed="yes").context["form"].errors
    do(client, "retire_version", version, confirmed="yes", reason="Replaced")
    version.refresh_from_db()
    assert version.status == VersionStatus.RETIRED
    assert version.history.latest().history_change_reason == "Replaced"
    do(client, "copy_version", version, confirmed="yes")
    copy = PlanVersion.objects.get(number=2)
    said = (copy.status, copy.trial_days, copy.prices.get().unit_amount)
    assert said == (VersionStatus.DRAFT, 14, Decimal("0.02"))


def test_a_new_version_takes_the_next_number(version: PlanVersion) -> None:
    fields = {"plan": version.plan_id, "currency": "EUR", "tax_behavior": "inclusive", "trial_days": "0"}
    assert boss().post(f"{LIST}add/", fields).status_code == 302
    assert PlanVersion.objects.get(currency="EUR").number == 2


def test_history_cannot_be_brought_back_by_posting_it(version: PlanVersion) -> None:
    first = version.history.earliest()
    publish(version, at=AT)
    assert boss().post(f"{LIST}{version.pk}/history/{first.pk}/", form_of(version)).status_code == 403
    version.refresh_from_db()
    assert version.status == VersionStatus.PUBLISHED


def test_what_the_database_refuses_is_a_message() -> None:
    meter = Meter.objects.create(key="tokens", event_type="e", aggregation="count")
    with connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO billing_bucket (customer_id, meter_id, starts_at, "group", n, clock) '
            "VALUES (1, %s, '2026-01-01T00:00Z', '', 1, 1)",
            [meter.pk],
        )
    fields = {"key": "tokens", "event_type": "other", "aggregation": "count", "group_by": "", "filters": "{}"}
    answer = boss().post(f"/admin/catalog/meter/{meter.pk}/change/", fields, follow=True)
    assert messages(answer) == [
        "Nothing was changed. The database refused it: meter tokens has events: what it counts cannot change."
    ]
    meter.refresh_from_db()
    assert meter.event_type == "e"


def test_large_tables_are_counted_by_estimate() -> None:
    Feature.objects.bulk_create(Feature(key=f"f{n}", name="x") for n in range(10_050))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_feature")
    assert QuickPaginator(Feature.objects.order_by("pk"), 100).count == 10_050
    assert QuickPaginator(Feature.objects.filter(name="x").order_by("pk"), 100).count == 10_000  # as far as is counted
    assert QuickPaginator(Feature.objects.filter(key="f7").order_by("pk"), 100).count == 1
