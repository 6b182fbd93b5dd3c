"""The sidebar and the way to a page: in the order of the work, and to each what they may see."""

from __future__ import annotations

import re
import uuid

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from billing.models import HeldRecord
from catalog.models import Seller
from contracts.models import Customer
from revops.console.navigation import AREAS

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])


@pytest.fixture
def office(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


def clerk(client: Client, *permissions: str) -> None:
    user = User.objects.create_user("clerk", is_staff=True)
    for name in permissions:
        app, _, codename = name.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client.force_login(user)


def areas(client: Client, address: str = "/admin/") -> list[str]:
    return [area["title"] for area in client.get(address).context["sidebar_navigation"]]


def test_the_areas_are_in_the_order_of_the_work(office: Client) -> None:
    assert areas(office) == [
        "Today",
        "Quarantine",
        "Customers",
        "Contracts",
        "Catalog",
        "Usage",
        "Invoices",
        "Settings",
    ]


def test_every_desk_has_its_place_in_the_sidebar() -> None:
    placed = {page.model for area in AREAS for page in area.pages}
    assert {model._meta.label for model in admin.site._registry} <= placed


def test_who_may_see_nothing_sees_no_area(client: Client) -> None:
    clerk(client)
    assert areas(client) == ["Today"]


def test_an_area_shows_only_the_pages_a_person_may_view(client: Client) -> None:
    clerk(client, "contracts.view_contact", "billing.view_invoice")
    shown = client.get("/admin/contracts/contact/").context["sidebar_navigation"]
    assert [(area["title"], [page["title"] for page in area["items"]]) for area in shown[:2]] == [
        ("Today", []),
        ("Customers", ["Contacts"]),
    ]
    assert [area["title"] for area in shown[2:]] == ["Invoices"]
    assert shown[1]["link"] == "/admin/contracts/contact/"


def test_the_area_of_a_page_is_the_one_that_is_open(office: Client) -> None:
    customer = Customer.objects.create(key="c", name="C")
    shown = office.get(f"/admin/contracts/customer/{customer.pk}/change/").context["sidebar_navigation"]
    assert [area["title"] for area in shown if area["active"]] == ["Customers"]


def test_the_quarantine_shows_how_many_records_are_open(office: Client) -> None:
    for n, status in enumerate(["open", "open", "superseded"]):
        one = uuid.UUID(int=n)
        HeldRecord.objects.create(
            event_id=str(n), digest=one, reason="malformed", raw=b"", receipt=one, held_at=timezone.now(), status=status
        )
    assert 'hx-get="/admin/today/open-records/"' in office.get("/admin/catalog/seller/").content.decode()
    assert office.get("/admin/today/open-records/").content.decode() == (
        '<span class="badge" title="Open records">2</span>'
    )
    assert "open-records" not in office.get("/admin/catalog/seller/").content.decode()  # known for some seconds


def test_nothing_open_is_no_number(office: Client) -> None:
    assert office.get("/admin/today/open-records/").content == b""


def test_the_number_is_refused_to_who_may_not_see_the_quarantine(client: Client) -> None:
    clerk(client, "contracts.view_contract")
    assert client.get("/admin/today/open-records/").status_code == 403


@pytest.mark.parametrize(
    ("address", "way"),
    [
        ("/admin/", ["Today"]),
        ("/admin/contracts/customer/", ["Customers"]),
        ("/admin/contracts/contact/", ["Customers", "Contacts"]),
        ("/admin/contracts/customer/add/", ["Customers", "Add"]),
        ("/admin/contracts/customer/{customer}/change/", ["Customers", "Acme"]),
        ("/admin/contracts/customer/{customer}/history/", ["Customers", "Acme", "History"]),
        ("/admin/contracts/customer/{customer}/delete/", ["Customers", "Acme", "Delete"]),
        ("/admin/catalog/seller/{seller}/change/", ["Settings", "Sellers", "Main"]),
        ("/admin/auth/group/add/", ["Settings", "Roles", "Add"]),
    ],
)
def test_a_page_says_where_it_stands(office: Client, address: str, way: list[str]) -> None:
    customer = Customer.objects.create(key="acme", name="Acme")
    seller = Seller.objects.create(key="main", name="Main")
    page = office.get(address.format(customer=customer.pk, seller=seller.pk)).content.decode()
    trail = re.search(r'<h1 class="trail">(.*?)</h1>', page, re.S)
    assert trail is not None
    words = re.sub(r'<span class="(step|found)">.*?</span>', "|", trail[1])
    assert [part for part in re.sub(r"<[^>]+>", "|", words).split("|") if part.strip()] == way


def test_nothing_is_loaded_from_another_host(office: Client) -> None:
    for address in ["/admin/", "/admin/contracts/customer/", "/admin/contracts/customer/add/"]:
        page = office.get(address).content.decode()
        loaded = re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="([^"]+)"', page)
        assert loaded
        assert all(one.startswith(("/", "data:")) for one in loaded), loaded


def test_who_signs_in_without_a_goal_comes_to_the_page_of_the_day(client: Client) -> None:
    User.objects.create_superuser("boss", password="drip")
    answer = client.post("/admin/login/", {"username": "boss", "password": "drip"})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
