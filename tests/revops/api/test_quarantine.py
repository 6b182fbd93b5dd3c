"""The review queue over HTTP: what is held, alike, proposed and decided by two keys."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from billing.models import Event, HeldRecord, Proposal
from billing.review.at_risk import refresh_estimates
from revops.api.quarantine import for_showing, rendered
from revops.models import Scope
from tests.revops.api.conftest import THEN, Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def rita(api: Api, key: Any) -> Api:
    return api.as_key(key(Scope.QUARANTINE_WRITE))


@pytest.fixture
def finn(api: Api, key: Any) -> Api:
    return api.as_key(key(Scope.QUARANTINE_WRITE))


@pytest.fixture
def held(api: Api, company: Company) -> list[int]:
    """Three records of a subject nobody knows, and one with a word for a number."""
    batch = [event(f"e{n}", 100 * n, subject="acme-emea") for n in (1, 2, 3)]
    assert api.post("events", [*batch, event("bad", "many")]).json["quarantined"] == 4
    refresh_estimates(THEN)
    return list(HeldRecord.objects.order_by("event_id").values_list("pk", flat=True))[1:]


def relative(address: str) -> str:
    return address.partition("/api/v1/")[2]


def test_a_held_record_says_what_came_why_it_is_held_and_what_it_would_have_cost(
    api: Api, held: list[int], rita: Api
) -> None:
    record = rita.get(f"quarantine/{held[0]}").json
    assert (record["status"], record["reason"], record["event_id"]) == ("open", "unknown_customer", "e1")
    assert record["raw"] == event("e1", 100, subject="acme-emea")
    assert (record["sightings"], record["first_reason"], record["proposal"]) == (1, "unknown_customer", None)
    # 100 tokens at 0.01, as acme pays.
    assert record["at_risk"]["amount"] == "1.00"
    assert (record["at_risk"]["currency"], record["at_risk"]["customer"]) == ("USD", "acme")
    assert record["suggestions"][0] | {"why": ""} == {
        "kind": "assign_customer", "value": "acme", "label": "Acme GmbH", "score": 85, "why": "",
    }  # fmt: skip


def test_the_list_is_filtered_and_paged(held: list[int], rita: Api) -> None:
    def ids(path: str) -> list[str]:
        return [one["event_id"] for one in rita.get(path).json["results"]]

    assert ids("quarantine?reason=unknown_customer") == ["e3", "e2", "e1"]
    assert ids("quarantine?subject=acme&status=open") == ["bad"]
    assert ids("quarantine?status=released") == []
    first = rita.get("quarantine?limit=3").json
    assert len(first["results"]) == 3
    assert (
        ids(relative(first["next"])) == [one["event_id"] for one in rita.get("quarantine?limit=9").json["results"]][3:]
    )
    assert rita.get("quarantine?reason=boredom").status == 400


def test_alike_records_are_a_group_with_their_money(held: list[int], rita: Api) -> None:
    page = rita.get("quarantine/groups").json
    assert page["next"] is None
    first = page["results"][0]
    # 100 + 200 + 300 tokens at 0.01.
    assert (first["reason"], first["alike"], first["records"], first["at_risk"]) == (
        "unknown_customer", "acme-emea", 3, {"USD": "6.00"},
    )  # fmt: skip
    assert [group["reason"] for group in page["results"]] == ["unknown_customer", "invalid_value"]
    one = rita.get("quarantine/groups?limit=1").json
    assert [group["reason"] for group in rita.get(relative(one["next"])).json["results"]] == ["invalid_value"]
    assert rita.get("quarantine/groups?cursor=nonsense").status == 400


def test_one_key_proposes_for_all_that_is_alike_and_another_approves(held: list[int], rita: Api, finn: Api) -> None:
    asked = {"kind": "assign_customer", "customer": "acme", "reason": "Their branch", "alike": True,
             "keep_as_rule": True}  # fmt: skip
    proposal = rita.post(f"quarantine/{held[0]}/propose", asked)
    assert (proposal.status, proposal.json["status"], proposal.json["records"]) == (201, "proposed", 3)
    assert proposal.json["outcomes"] == {"waiting": 3}
    assert Event.objects.count() == 0

    own = rita.post(f"quarantine/{held[0]}/approve", {})
    assert (own.status, own.json["errors"][0]["code"]) == (409, "own_proposal")

    done = finn.post(f"quarantine/{held[1]}/approve", {"note": "Right"})
    assert (done.status, done.json["status"], done.json["outcomes"]) == (200, "approved", {"released": 3})
    assert done.json["rule"] == "the subject acme-emea of acme"
    assert Event.objects.count() == 3
    assert rita.get(f"quarantine/{held[2]}").json["status"] == "released"

    again = finn.post(f"quarantine/{held[1]}/approve", {})
    assert (again.status, again.json["errors"][0]["code"]) == (409, "decided")


def test_a_rejected_record_can_be_proposed_again(held: list[int], rita: Api, finn: Api) -> None:
    asked = {"kind": "discard", "reason": "Test traffic"}
    rita.post(f"quarantine/{held[0]}/propose", asked)
    taken = rita.post(f"quarantine/{held[0]}/propose", asked)
    assert (taken.status, taken.json["errors"][0]["code"]) == (409, "not_open")
    done = finn.post(f"quarantine/{held[0]}/reject", {"note": "It is real"})
    assert (done.json["status"], done.json["outcomes"], done.json["note"]) == ("rejected", {"dropped": 1}, "It is real")
    assert rita.post(f"quarantine/{held[0]}/propose", asked).status == 201


def test_a_deed_with_an_idempotency_key_is_done_once(held: list[int], rita: Api, finn: Api) -> None:
    asked = {"kind": "fix_value", "set": {"data.tokens": 7}, "reason": "They said so"}
    bad = HeldRecord.objects.get(event_id="bad").pk
    first = rita.post(f"quarantine/{bad}/propose", asked, headers={"Idempotency-Key": "p1"})
    assert rita.post(f"quarantine/{bad}/propose", asked, headers={"Idempotency-Key": "p1"}).json == first.json
    done = finn.post(f"quarantine/{bad}/approve", {}, headers={"Idempotency-Key": "a1"})
    assert finn.post(f"quarantine/{bad}/approve", {}, headers={"Idempotency-Key": "a1"}).json == done.json
    assert done.json["outcomes"] == {"released": 1}
    assert Event.objects.get().data == '{"tokens":7,"model":"m1"}'


def test_a_choice_of_groups_is_proposed_at_once_and_withdrawn(held: list[int], rita: Api, finn: Api) -> None:
    groups = [group["group"] for group in rita.get("quarantine/groups").json["results"]]
    made = rita.post("quarantine/proposals", {"kind": "discard", "reason": "Tests", "groups": groups})
    assert (made.status, made.json["records"]) == (201, 4)
    id = made.json["id"]
    assert finn.post(f"quarantine/proposals/{id}/withdraw", {}).json["errors"][0]["code"] == "not_yours"
    assert rita.post(f"quarantine/proposals/{id}/withdraw", {}).json["status"] == "withdrawn"
    assert [one["id"] for one in rita.get("quarantine/proposals?status=withdrawn").json["results"]] == [id]
    assert Proposal.objects.get().records.filter(outcome="dropped").count() == 4


def test_crawlers_are_discarded_by_a_rule(held: list[int], rita: Api, finn: Api, api: Api) -> None:
    match = {"source": "gw", "field": "data.tokens", "values": ["1*"]}
    asked = {"kind": "discard", "reason": "Crawler", "matching": match, "match": match, "keep_as_rule": True}
    made = rita.post("quarantine/proposals", asked)
    assert (made.status, made.json["records"]) == (201, 1)
    done = finn.post(f"quarantine/proposals/{made.json['id']}/approve", {})
    assert done.json["outcomes"] == {"discarded": 1}
    assert done.json["rule"].startswith("rule ")


@pytest.mark.parametrize(
    ("asked", "status", "code", "path"),
    [
        ({"kind": "assign_customer", "customer": "acme"}, 400, "required", "reason"),
        ({"kind": "assign_customer", "customer": "acme", "reason": " "}, 400, "required", "reason"),
        ({"kind": "assign_customer", "customer": "nobody", "reason": "x"}, 400, "unknown_customer", "customer"),
        ({"kind": "assign_customer", "reason": "x"}, 400, "invalid", "customer"),
        ({"kind": "assign_customer", "customer": "acme", "type": "y", "reason": "x"}, 400, "invalid", "type"),
        ({"kind": "map_type", "type": "unheard.of", "reason": "x"}, 400, "unknown_type", "type"),
        ({"kind": "fix_value", "reason": "x"}, 400, "invalid", "set"),
        ({"kind": "fix_value", "set": {"mood": 1}, "reason": "x"}, 400, "invalid", "set.mood"),
        ({"kind": "fix_value", "set": {"id": ""}, "reason": "x"}, 400, "invalid", "set.id"),
        ({"kind": "replace", "reason": "x"}, 409, "unfit", "kind"),
        ({"kind": "release", "reason": "x", "keep_as_rule": True}, 409, "no_rule", "keep_as_rule"),
        ({"kind": "burn", "reason": "x"}, 400, "invalid", "kind"),
        ({"kind": "discard", "reason": "x", "why": "y"}, 400, "unknown_field", "why"),
    ],
)
def test_what_cannot_be_proposed_is_refused_with_the_field_at_fault(
    held: list[int], rita: Api, asked: dict[str, Any], status: int, code: str, path: str
) -> None:
    refused = rita.post(f"quarantine/{held[0]}/propose", asked)
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.status, refused.json["errors"][0]["code"], refused.json["errors"][0]["path"]) == (
        status, code, path,
    )  # fmt: skip
    assert not Proposal.objects.exists()


def test_keys_need_their_scopes(api: Api, held: list[int], key: Any) -> None:
    reader, stranger = api.as_key(key(Scope.QUARANTINE_READ)), api.as_key(key(Scope.BILLING_WRITE))
    assert reader.get("quarantine").status == 200
    for path in ("quarantine", "quarantine/groups", "quarantine/proposals", f"quarantine/{held[0]}"):
        assert stranger.get(path).status == 403
    for path in (f"quarantine/{held[0]}/propose", f"quarantine/{held[0]}/approve", f"quarantine/{held[0]}/reject"):
        assert reader.post(path, {"kind": "discard", "reason": "x"} if "propose" in path else {}).status == 403


def test_what_is_not_there_is_404_and_what_is_not_proposed_409(held: list[int], rita: Api) -> None:
    for path in ("quarantine/999999", f"quarantine/{10**30}", "quarantine/proposals/999999"):
        assert rita.get(path).status == 404
    assert rita.post("quarantine/999999/approve", {}).status == 404
    refused = rita.post(f"quarantine/{held[0]}/approve", {})
    assert (refused.status, refused.json["errors"][0]["code"]) == (409, "not_proposed")


def test_a_conflict_shows_both_contents_and_can_replace_what_was_counted(
    api: Api, company: Company, rita: Api, finn: Api
) -> None:
    api.post("events", [event("e1", 10)])
    api.post("events", [event("e1", 25)])
    [record] = rita.get("quarantine?reason=conflict").json["results"]
    assert record["differences"] == [{"path": "data.tokens", "counted": "10", "held": "25"}]
    rita.post(f"quarantine/{record['id']}/propose", {"kind": "replace", "reason": "The second is right"})
    assert finn.post(f"quarantine/{record['id']}/approve", {}).json["outcomes"] == {"released": 1}
    used = api.get("usage?customer=acme&meter=tokens&from=2026-01-01&to=2026-02-01").json
    assert [window["value"] for window in used["windows"]] == ["25"]


def test_raw_bytes_that_are_no_json_are_shown_as_text(api: Api, company: Company, rita: Api) -> None:
    api.post("events", b'[{"id": NaN}, {"id": "\\ud800"}, "\xff"]')
    shown = [record["raw"] for record in rita.get("quarantine").json["results"]]
    assert sorted(shown) == ['"\N{REPLACEMENT CHARACTER}"', '{"id": "\\ud800"}', '{"id": NaN}']


@pytest.mark.parametrize("records", [3, 30])
def test_the_list_costs_the_same_for_few_records_and_for_many(api: Api, company: Company, records: int) -> None:
    batch = [event(f"c{n}", n) for n in range(records)]
    api.post("events", batch)
    api.post("events", [one | {"data": {"tokens": 1000}} for one in batch])
    api.post("events", [event(f"u{n}", n, subject=f"stranger {n}") for n in range(records)])
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["quarantine"]) as side,
    ):
        shown = rendered(list(for_showing()))
    assert len(shown) == 2 * records
    # The events behind conflicts: register, corrections, originals, events; customers and their subjects.
    assert (len(main), len(side)) == (6, 1)


def test_a_crafted_token_is_refused_with_400(api: Api, company: Company, rita: Api) -> None:
    crafted = base64.urlsafe_b64encode(json.dumps(["1E+999999", "", "", ""]).encode()).decode().rstrip("=")
    assert rita.get(f"quarantine/groups?cursor={crafted}").status == 400
    crafted = base64.urlsafe_b64encode(json.dumps(["malformed", "gw\0", ""]).encode()).decode().rstrip("=")
    answer = rita.post("quarantine/proposals", {"kind": "discard", "reason": "x", "groups": [crafted]})
    assert answer.status == 400
    assert "This names no group" in answer.json["errors"][0]["detail"]
