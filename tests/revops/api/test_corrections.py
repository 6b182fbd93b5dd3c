"""POST corrections: a new record linked to the old, and usage follows."""

import pytest

from billing.models import Correction, Event, Source

from .conftest import Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

USAGE = "usage?customer=acme&meter=tokens&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&window=month"


@pytest.fixture
def used(api: Api, company: Company) -> Api:
    api.post("events", [event("e1"), event("e2", tokens=20)])
    return api


def correct(api: Api, **fields: object):
    return api.post("corrections", {"kind": "void", "source": "gw", "id": "e1", "reason": "test traffic", **fields})


def value(api: Api) -> str:
    windows = api.get(USAGE).json["windows"]
    return str(windows[0]["value"])


def test_a_void_takes_the_event_out_of_usage_and_leaves_it_readable(used: Api) -> None:
    answer = correct(used)
    assert answer.status == 201
    shown = {name: answer.json[name] for name in ("kind", "source", "id", "reason", "position", "customer", "data")}
    assert shown == {
        "kind": "void", "source": "gw", "id": "e1", "reason": "test traffic", "position": 1, "customer": "acme",
        "data": None,
    }  # fmt: skip
    assert answer.json["correction"] == Correction.objects.get().pk
    assert Event.objects.count() == 2
    assert value(used) == "20"


def test_an_amend_replaces_the_whole_data_exactly(used: Api) -> None:
    answer = correct(used, kind="amend", data={"tokens": "0.10", "model": "m2"})
    assert answer.status == 201
    assert answer.json["data"] == {"tokens": "0.10", "model": "m2"}
    # 20 + 0.10
    assert value(used) == "20.1"


def test_an_event_is_voided_once(used: Api) -> None:
    correct(used)
    again = correct(used)
    assert again.status == 409
    assert again.json["errors"][0]["code"] == "already_voided"
    assert Correction.objects.count() == 1


def test_an_event_nobody_sent_is_404(used: Api) -> None:
    answer = correct(used, id="nix")
    assert answer.status == 404
    assert answer.json["errors"][0] == {"path": "id", "code": "unknown_event", "detail": answer.json["detail"]}


def test_data_that_cannot_be_counted_are_refused(used: Api) -> None:
    answer = correct(used, kind="amend", data={"tokens": "many"})
    assert answer.status == 400
    assert answer.json["errors"][0]["code"] == "invalid_data"
    assert value(used) == "30"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"kind": "amend"}, "data"),
        ({"kind": "void", "data": {"tokens": 1}}, "data"),
        ({"kind": "undo"}, "kind"),
        ({"reason": ""}, "reason"),
        ({"note": "x"}, "note"),
    ],
)
def test_a_body_of_another_form_is_refused_where_it_is_wrong(used: Api, fields: dict, path: str) -> None:
    answer = correct(used, **fields)
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == path


def test_a_key_bound_to_another_source_may_not_correct(used: Api, key) -> None:
    used.post("events", event("x"))
    Source.objects.create(key="other")
    bound = used.as_key(key("events:write", source="other"))
    assert correct(bound).status == 403
    assert Correction.objects.count() == 0


def test_an_amend_sent_twice_under_a_key_is_made_once(used: Api) -> None:
    body = {"kind": "amend", "source": "gw", "id": "e1", "reason": "meter fault", "data": {"tokens": 1, "model": "m1"}}
    headers = {"Idempotency-Key": "once"}
    answers = [used.post("corrections", body, headers=headers) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert Correction.objects.count() == 1
