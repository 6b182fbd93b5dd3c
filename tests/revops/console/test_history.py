"""The history of what people edit: who, when, why, and field by field what."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from catalog.models import Seller
from revops.api.keys import create_key

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])


@pytest.fixture
def office(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", first_name="Bo", last_name="Ss"))
    return client


def edited(client: Client, seller: Seller, **fields: str) -> None:
    page = client.get(f"/admin/catalog/seller/{seller.pk}/change/")
    form = page.context["adminform"].form
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    posted = {name: str(value) for name, value in values.items() if value not in (None, False)}
    assert client.post(page.request["PATH_INFO"], {**posted, **fields}).status_code == 302


def words(client: Client, address: str) -> str:
    page = client.get(address)
    assert page.status_code == 200
    content = page.content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", content[content.index('id="content-main"') :]).split())


def test_a_change_is_told_field_by_field_with_who_and_why(office: Client) -> None:
    seller = Seller.objects.create(key="s", name="Old", tax_id="DE1")
    edited(office, seller, name="New", tax_id="", change_reason="They moved")
    told = words(office, f"/admin/catalog/seller/{seller.pk}/history/")
    assert "Bo Ss boss" in told
    assert "They moved" in told
    assert "Name Old → New" in told
    assert "Tax id DE1 → empty" in told


def test_a_text_of_several_lines_is_not_changed_by_saving_it(office: Client) -> None:
    """Browsers send CR LF at the end of each line."""
    seller = Seller.objects.create(key="s", name="Old", address="Street 1\n10119 Berlin")
    edited(office, seller, name="New", address="Street 1\r\n10119 Berlin")
    seller.refresh_from_db()
    assert seller.address == "Street 1\n10119 Berlin"
    assert "address" not in words(office, f"/admin/catalog/seller/{seller.pk}/history/").lower()


def test_a_row_is_shown_as_it_was_and_cannot_be_edited_there(office: Client) -> None:
    seller = Seller.objects.create(key="s", name="Old")
    edited(office, seller, name="New", change_reason="Renamed")
    first = seller.history.earliest()
    address = f"/admin/catalog/seller/{seller.pk}/history/{first.pk}/"
    told = words(office, address)
    assert "Name Old" in told
    assert "New" not in told
    page = office.get(address).content.decode()
    assert 'name="name"' not in page
    assert 'name="_save"' not in page
    assert office.post(address, {"name": "Old"}).status_code == 403


def test_the_history_shows_no_more_of_a_row_than_its_page(office: Client) -> None:
    key, _ = create_key("Key", ["events:write"], at=timezone.now())
    record = key.history.get()
    address = f"/admin/revops/apikey/{key.pk}/history/{record.pk}/"
    assert "Key" in words(office, address)
    assert key.secret_hash not in office.get(address).content.decode()


def test_a_history_of_another_row_is_not_found(office: Client) -> None:
    one, other = Seller.objects.create(key="a", name="A"), Seller.objects.create(key="b", name="B")
    record = other.history.get()
    assert office.get(f"/admin/catalog/seller/{one.pk}/history/{record.pk}/").status_code == 404


def test_who_may_not_view_rows_may_not_view_their_history(client: Client) -> None:
    seller = Seller.objects.create(key="s", name="S")
    record = seller.history.get()
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    addresses = [
        f"/admin/catalog/seller/{seller.pk}/history/",
        f"/admin/catalog/seller/{seller.pk}/history/{record.pk}/",
    ]
    assert [client.get(one).status_code for one in addresses] == [403, 403]
    clerk.user_permissions.add(Permission.objects.get(content_type__app_label="catalog", codename="view_seller"))
    assert [client.get(one).status_code for one in addresses] == [200, 200]
