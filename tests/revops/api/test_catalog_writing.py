"""Sources, meters and features: added, changed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import Source
from catalog.models import Feature, Meter

from .conftest import Answer, Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

SOURCE: dict[str, Any] = {
    "key": "https://example.com/gw", "name": "Gateway", "tolerance_window": "36h", "clock_skew": "90s", "cadence": "1h",
    "rules": [
        {"kind": "trim", "field": "subject", "note": "They pad it", "active": True},
        {"kind": "convert", "field": "data.ms", "factor": "0.001", "active": True,
         "when": {"type": "call", "from": "2026-01-01T00:00:00Z"}},
    ],
}  # fmt: skip
METER: dict[str, Any] = {
    "key": "tokens", "name": "Tokens", "event_type": "llm.request", "aggregation": "sum", "value": "tokens",
    "group_by": ["model"], "filters": {"model": ["m1", "m2"]}, "unit": "tokens", "allow_negative": True,
}  # fmt: skip
FEATURE = {"key": "sso", "name": "Single sign-on", "description": "Log in with your own."}


def fault(answer: Answer) -> tuple[int, str, str]:
    """Status, and where and what the only fault is."""
    (only,) = answer.json["errors"]
    return answer.status, only["path"], only["code"]


def test_what_is_added_is_answered_as_it_is_read_and_where(api: Api) -> None:
    for name, body in (("sources", SOURCE), ("meters", METER), ("features", FEATURE)):
        made = api.post(name, body)
        assert (made.status, made.headers["content-type"]) == (201, "application/json")
        assert made.json == {**body, **({"clock_skew": "90s"} if name == "sources" else {})}
        read = api.get(made.headers["location"].partition("/api/v1/")[2])
        assert (read.status, read.json) == (200, made.json)
        assert read.headers["etag"] == made.headers["etag"]


def test_what_is_left_out_has_its_plain_meaning(api: Api) -> None:
    assert api.post("features", {"key": "sso"}).json["name"] == "sso"
    assert api.post("sources", {"key": "gw"}).json == {
        "key": "gw", "name": "", "tolerance_window": None, "clock_skew": "5m", "cadence": None, "rules": [],
    }  # fmt: skip
    count = {"key": "calls", "event_type": "llm.request", "aggregation": "count"}
    assert api.post("meters", count).json == {
        **count, "name": "", "value": "", "group_by": [], "filters": {}, "unit": "", "allow_negative": False,
    }  # fmt: skip


def test_a_change_replaces_what_is_named_and_null_takes_it_back(api: Api) -> None:
    for name, body in (("sources", SOURCE), ("meters", METER), ("features", FEATURE)):
        api.post(name, body)
    source = f"sources/{SOURCE['key']}"
    assert api.call("PATCH", source, {"name": "Gate"}).json == {**SOURCE, "name": "Gate"}
    assert api.call("PATCH", source, {"tolerance_window": None}).json["tolerance_window"] is None
    assert api.call("PATCH", source, {"clock_skew": None}).json["clock_skew"] == "5m"
    meter = api.call("PATCH", "meters/tokens", {"group_by": [], "filters": {"model": "m3"}, "unit": None}).json
    assert meter == {**METER, "group_by": [], "filters": {"model": ["m3"]}, "unit": ""}
    feature = api.call("PATCH", "features/sso", {"description": None, "name": None, "key": "sso"})
    assert feature.json == {"key": "sso", "name": "sso", "description": ""}


def test_every_change_says_which_key_made_it(api: Api) -> None:
    api.post("features", FEATURE)
    api.call("PATCH", "features/sso", {"name": "SSO"})
    api.call("PATCH", "features/sso", {"name": "SSO"})
    history = Feature.objects.get().history.order_by("history_id")
    assert [(row.history_type, row.name) for row in history] == [("+", "Single sign-on"), ("~", "SSO")]
    assert {(row.history_user, row.history_change_reason) for row in history} == {
        (None, "Sent over the API (API key test)")
    }


def test_what_a_meter_has_counted_is_frozen_and_the_rest_is_not(api: Api, company: Company) -> None:
    api.post("events", [event("e1")])
    for change in ({"value": "words"}, {"aggregation": "max"}, {"group_by": None}, {"filters": {"model": "m1"}}):
        answer = api.call("PATCH", "meters/tokens", change)
        assert fault(answer) == (409, next(iter(change)), "frozen")
        assert "use a new key" in answer.json["detail"]
    assert Meter.objects.get(key="tokens").value == "tokens"
    assert api.call("PATCH", "meters/tokens", {"unit": "tok", "name": "Tok"}).json["unit"] == "tok"


@pytest.mark.parametrize(
    ("path", "body", "where", "code"),
    [
        ("sources", {}, "key", "missing"),
        ("sources", {"key": ""}, "key", "invalid"),
        ("sources", {"key": "x" * 256}, "key", "invalid"),
        ("sources", {"key": "gw", "tolerance": "1h"}, "tolerance", "unknown"),
        ("sources", {"key": "gw", "tolerance_window": "soon"}, "tolerance_window", "invalid"),
        ("sources", {"key": "gw", "tolerance_window": "999999999999w"}, "tolerance_window", "invalid"),
        ("sources", {"key": "gw", "name": "x" * 201}, "name", "invalid"),
        ("sources", {"key": "gw", "name": "\ud800"}, "name", "invalid"),
        ("features", {"key": "a b"}, "key", "invalid"),
        ("features", {"key": "a", "name": "x" * 201}, "name", "invalid"),
        ("features", {"key": "a", "name": ["x"]}, "name", "invalid"),
        ("meters", {**METER, "aggregation": "median"}, "aggregation", "invalid"),
        ("meters", {**METER, "value": None}, "", "invalid"),
        ("meters", {**METER, "event_type": "x" * 201}, "event_type", "invalid"),
        ("meters", {**METER, "group_by": ["x" * 201]}, "group_by", "invalid"),
        ("meters", {**METER, "group_by": "model"}, "group_by", "invalid"),
        ("meters", {**METER, "filters": []}, "filters", "invalid"),
        ("meters", {**METER, "window": "1h"}, "window", "unsupported"),
    ],
)
def test_a_body_that_does_not_hold_is_refused_where_it_is_wrong(
    api: Api, path: str, body: dict[str, Any], where: str, code: str
) -> None:
    answer = api.post(path, body)
    if body.get("name") == "\ud800":
        assert answer.status == 400
    else:
        assert fault(answer) == (400, where, code)
    assert (Source.objects.count(), Feature.objects.count(), Meter.objects.count()) == (0, 0, 0)


def test_what_names_a_row_never_changes_and_comes_once(api: Api) -> None:
    api.post("features", FEATURE)
    assert fault(api.call("PATCH", "features/sso", {"key": "saml"})) == (409, "key", "frozen")
    again = api.post("features", FEATURE)
    assert fault(again) == (409, "key", "exists")
    assert again.json["detail"] == "There is a feature sso already; change it with PATCH."


def test_a_change_of_what_is_not_there_is_404_and_other_methods_405(api: Api) -> None:
    for path in ("sources/nix", "meters/nix", "features/nix"):
        assert api.call("PATCH", path, {"name": "x"}).status == 404
        assert api.get(path).status == 404
        for method in ("PUT", "DELETE"):
            assert api.call(method, path, {}).status == 405


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null"])
def test_a_change_is_an_object(api: Api, body: bytes) -> None:
    api.post("features", FEATURE)
    assert api.call("PATCH", "features/sso", body).status == 400


def test_whoever_sends_what_was_read_is_told_of_a_change_since(api: Api) -> None:
    read = api.post("features", FEATURE).headers["etag"]
    assert api.call("PATCH", "features/sso", {"name": "A"}, headers={"If-Match": read}).status == 200
    late = api.call("PATCH", "features/sso", {"name": "B"}, headers={"If-Match": read})
    assert (late.status, late.json["detail"]) == (412, "This was changed since it was read; read it again.")
    now = api.get("features/sso").headers["etag"]
    either = {"If-Match": f"{read}, {now}"}
    assert api.call("PATCH", "features/sso", {"name": "B"}, headers=either).json["name"] == "B"
    assert api.call("PATCH", "features/sso", {"name": "C"}, headers={"If-Match": "*"}).json["name"] == "C"
    weak = {"If-Match": "W/" + api.get("features/sso").headers["etag"]}
    assert api.call("PATCH", "features/sso", {"name": "D"}, headers=weak).json["name"] == "D"
    unread = api.call("PATCH", "features/sso", {"name": "E"}, headers={"If-Match": "D"})
    assert fault(unread) == (400, "If-Match", "invalid")


def test_meters_are_found_by_type_and_aggregation(api: Api) -> None:
    api.post("meters", METER)
    api.post("meters", {"key": "calls", "event_type": "llm.request", "aggregation": "count"})
    api.post("meters", {"key": "jobs", "event_type": "job.done", "aggregation": "count"})
    found = {
        asked: [one["key"] for one in api.get(f"meters?{asked}").json["results"]]
        for asked in ("event_type=llm.request", "aggregation=count", "event_type=job.done&aggregation=sum")
    }
    assert list(found.values()) == [["tokens", "calls"], ["calls", "jobs"], []]
    assert api.get("meters?aggregation=median").status == 400
