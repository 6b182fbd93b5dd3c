"""Errors are problem documents, whatever goes wrong."""

import pytest
from django.http import UnreadablePostError

from revops.api.problems import problem_of

from .conftest import Api, Company

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def assert_problem(answer, status: int) -> dict:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert document["status"] == status
    assert set(document) == {"type", "title", "status", "detail", "errors"}
    return document


def test_an_address_nobody_has_is_404(api: Api) -> None:
    assert_problem(api.get("nowhere"), 404)
    assert_problem(api.get("/api/"), 404)


def test_a_row_that_is_not_there_is_404(api: Api) -> None:
    assert "no invoice 99" in assert_problem(api.get("invoices/99"), 404)["detail"]
    assert_problem(api.get("customers/nobody/preview"), 404)
    assert_problem(api.get("meters/nothing"), 404)


def test_a_method_an_address_does_not_have_is_405(api: Api) -> None:
    answer = api.call("DELETE", "invoices")
    assert_problem(answer, 405)
    assert "GET" in answer.headers["allow"]
    answer = api.call("PUT", "events", [])
    assert_problem(answer, 405)
    assert "POST" in answer.headers["allow"]


def test_options_says_what_an_address_takes_without_a_key(api: Api) -> None:
    answer = api.as_key(None).call("OPTIONS", "events")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_a_slash_at_the_end_is_told_about(api: Api) -> None:
    assert (
        assert_problem(api.get("invoices/"), 404)["detail"] == "Addresses have no slash at their end: /api/v1/invoices"
    )


def test_head_asks_for_no_more_than_get(api: Api) -> None:
    answer = api.call("HEAD", "meters")
    assert (answer.status, answer.raw) == (200, b"")
    assert answer.headers["content-length"] == str(len(api.get("meters").raw))


def test_a_body_that_is_too_large_is_413_at_every_door(api: Api) -> None:
    assert_problem(api.post("calculate", b" " * (16 * 1024 * 1024 + 1)), 413)


def test_an_unknown_parameter_is_refused_by_name(api: Api) -> None:
    document = assert_problem(api.get("invoices?custmer=acme"), 400)
    assert document["errors"] == [
        {"path": "custmer", "code": "unknown_parameter", "detail": document["errors"][0]["detail"]}
    ]
    assert "customer" in document["errors"][0]["detail"]


def test_a_parameter_given_twice_is_refused(api: Api) -> None:
    assert_problem(api.get("invoices?customer=a&customer=b"), 400)


def test_an_unknown_field_of_a_body_is_refused_by_name(api: Api) -> None:
    document = assert_problem(api.post("invoices/1/void", {"reason": "x", "why": "y"}), 400)
    assert document["errors"][0]["path"] == "why"
    assert document["errors"][0]["code"] == "unknown_field"


def test_a_missing_field_and_a_wrong_type_are_named(api: Api) -> None:
    assert assert_problem(api.post("invoices/1/void", {}), 400)["errors"][0]["path"] == "reason"
    document = assert_problem(api.post("invoices/1/void", {"reason": "x", "waive": "yes"}), 400)
    assert document["errors"][0]["path"] == "waive"


def test_a_body_of_another_type_is_415(api: Api) -> None:
    assert_problem(api.post("calculate", b"currency=USD", content_type="application/x-www-form-urlencoded"), 415)


def test_a_body_that_is_not_json_is_400(api: Api) -> None:
    assert_problem(api.post("calculate", b"{"), 400)


def test_a_time_without_an_offset_is_refused(api: Api, company: Company) -> None:
    document = assert_problem(api.get("events?from=2026-01-01T00:00:00"), 400)
    assert document["errors"][0]["path"] == "from"
    assert_problem(api.get("events?from=yesterday"), 400)


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    assert_problem(api.get("invoices?cursor=nonsense"), 400)


def test_a_sender_that_hangs_up_is_no_fault_of_ours() -> None:
    problem = problem_of(UnreadablePostError("cut"))
    assert problem is not None
    assert problem.status == 400


def test_a_fault_of_ours_is_left_to_the_server() -> None:
    assert problem_of(ZeroDivisionError()) is None


def test_the_start_page_leads_to_the_console(api: Api) -> None:
    answer = api.as_key(None).get("/")
    assert answer.status == 302
    assert answer.headers["location"] == "/admin/"


def test_health_is_told_without_a_key(api: Api) -> None:
    assert api.as_key(None).get("/healthz").json == {"status": "ok"}
