"""What went wrong is said in plain words, in the console's dress; the API's answers stay as they are."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from revops.urls import handler400, handler404, handler500
from revops.urls import urlpatterns as addresses

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("the inside of the product")


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("the inside of the product")


urlpatterns = [*addresses, path("broken", broken), path("suspicious", suspicious)]

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]


def said(client: Client, address: str, status: int) -> str:
    client.raise_request_exception = False
    answer = client.get(address)
    assert answer.status_code == status
    page = answer.content.decode()
    assert "console/errors.css" in page
    assert 'href="/admin/"' in page
    assert "the inside of the product" not in page
    return page


def test_an_address_that_is_none(client: Client) -> None:
    assert "There is nothing at this address" in said(client, "/nowhere", 404)


def test_what_a_role_does_not_include(client: Client) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert "You may not do this" in said(client, "/admin/contracts/customer/", 403)


@pytest.mark.urls("tests.revops.console.test_errors")
def test_a_fault_of_ours(client: Client) -> None:
    assert "Something went wrong here" in said(client, "/broken", 500)


@pytest.mark.urls("tests.revops.console.test_errors")
def test_a_request_that_cannot_be_read(client: Client) -> None:
    assert "This request cannot be read" in said(client, "/suspicious", 400)


def test_a_form_without_its_mark(rf: None) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "The form was not accepted" in answer.content.decode()


def test_the_api_answers_with_a_problem(client: Client) -> None:
    answer = client.get("/api/v1/nowhere")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
