"""The export of a list: what is filtered, to who may see it, with nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from catalog.desks import Desk
from contracts.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

ADDRESS = "/admin/contracts/customer/export/"


@pytest.fixture
def office(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


def rows(client: Client, **asked: str) -> list[list[str]]:
    answer = client.get(ADDRESS, asked)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.reader(io.StringIO(text, newline="")))


def names(client: Client, **asked: str) -> list[str]:
    return [row[0] for row in rows(client, **asked)[1:]]


def test_all_rows_are_exported_not_only_a_page(office: Client) -> None:
    Customer.objects.bulk_create(
        [Customer(key=f"c{n}", name=f"Customer {n:03d}") for n in range(Desk.list_per_page + 5)]
    )
    assert len(names(office)) == Desk.list_per_page + 5
    assert len(names(office, p="2")) == Desk.list_per_page + 5


def test_filters_search_and_order_of_the_list_count(office: Client) -> None:
    for key, country in [("a", "DE"), ("b", "DE"), ("z", "FR")]:
        Customer.objects.create(key=key, name=f"Customer {key}", country=country)
    assert names(office, country="DE", o="-1") == ["Customer b", "Customer a"]
    assert names(office, q="Customer z") == ["Customer z"]


def test_a_name_that_is_a_formula_is_text_in_the_file(office: Client) -> None:
    Customer.objects.create(key="evil", name='=HYPERLINK("http://evil.example";"click")')
    assert names(office) == ['\'=HYPERLINK("http://evil.example";"click")']


def test_a_filter_that_is_none_leads_back_to_the_list(office: Client) -> None:
    answer = office.get(ADDRESS, {"nonsense": "1"})
    assert answer.status_code == 302
    assert answer["Location"] == "../?e=1"


def test_only_who_may_view_the_list_may_export_it(client: Client) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    assert client.get(ADDRESS).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_customer", content_type__app_label="contracts"))
    assert client.get(ADDRESS).status_code == 200


def test_nobody_exports_without_signing_in(client: Client) -> None:
    answer = client.get(ADDRESS)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_the_list_links_to_the_export_with_its_filters(office: Client) -> None:
    Customer.objects.create(key="a", name="A", country="DE")
    page = office.get("/admin/contracts/customer/", {"country": "DE"}).content.decode()
    assert 'href="/admin/contracts/customer/export/?country=DE"' in page
