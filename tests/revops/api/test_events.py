"""POST events: the door of ingestion, as promised."""

import http.client
import json
import socket
import uuid

import pytest

from billing.models import Event, HeldRecord, Receipt

from .conftest import Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def test_a_batch_is_answered_with_its_receipt(api: Api, company: Company) -> None:
    answer = api.post("events", [event("e1"), event("e2")], content_type=BATCH)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    receipt = answer.json
    assert uuid.UUID(receipt.pop("receipt")) == Receipt.objects.get().pk
    assert receipt == {"received": 2, "accepted": 2, "duplicates": 0, "quarantined": 0, "results": []}
    assert Event.objects.count() == 2


def test_one_event_and_batches_come_under_their_content_types(api: Api, company: Company) -> None:
    assert api.post("events", event("e1"), content_type=ONE).json["accepted"] == 1
    assert api.post("events", event("e2"), content_type="application/json").json["accepted"] == 1
    assert api.post("events", [event("e3")], content_type="application/json; charset=utf-8").json["accepted"] == 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", None])
def test_another_content_type_is_415(api: Api, company: Company, content_type: str | None) -> None:
    answer = api.post("events", b"[]", content_type=content_type)
    assert answer.status == 415
    assert BATCH in answer.json["detail"]


def test_a_compressed_body_is_415(api: Api, company: Company) -> None:
    answer = api.post("events", b"\x1f\x8b", content_type=BATCH, headers={"Content-Encoding": "gzip"})
    assert answer.status == 415


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (BATCH, b""),
        (BATCH, b'{"id": "e1"}'),
        (ONE, b"[]"),
        ("application/json", b'"text"'),
        ("application/json", b"[{"),
        ("application/json", b"{"),
        ("application/json", b"nonsense"),
    ],
)
def test_a_body_that_is_not_of_its_form_is_400_and_stores_nothing(
    api: Api, company: Company, content_type: str, body: bytes
) -> None:
    answer = api.post("events", body, content_type=content_type)
    assert answer.status == 400
    assert "Nothing was stored" in answer.json["detail"]
    assert Receipt.objects.count() == HeldRecord.objects.count() == 0


def test_results_list_what_was_not_accepted(api: Api, company: Company) -> None:
    api.post("events", [event("e1")], content_type=BATCH)
    sent = [event("e1"), event("e2"), event("e1", tokens=11), event("e3", source="nix"), event("e4", subject="nobody")]
    receipt = api.post("events", sent, content_type=BATCH).json
    assert [receipt[name] for name in ("received", "accepted", "duplicates", "quarantined")] == [5, 1, 1, 3]
    assert receipt["results"] == [
        {"index": 0, "source": "gw", "id": "e1", "status": "duplicate"},
        {"index": 2, "source": "gw", "id": "e1", "status": "quarantined", "reason": "conflict"},
        {"index": 3, "source": "nix", "id": "e3", "status": "quarantined", "reason": "unknown_source"},
        {"index": 4, "source": "gw", "id": "e4", "status": "quarantined", "reason": "unknown_customer"},
    ]


def test_everything_is_listed_when_asked_for(api: Api, company: Company) -> None:
    receipt = api.post("events?results=all", [event("e1"), event("e1")], content_type=BATCH).json
    assert receipt["results"] == [
        {"index": 0, "source": "gw", "id": "e1", "status": "accepted"},
        {"index": 1, "source": "gw", "id": "e1", "status": "duplicate"},
    ]
    assert api.post("events?results=some", [event("e2")], content_type=BATCH).status == 400
    assert api.post("events?result=all", [event("e2")], content_type=BATCH).status == 400
    assert Event.objects.count() == 1


def test_a_bad_record_costs_the_good_ones_nothing(api: Api, company: Company) -> None:
    body = b"[" + json.dumps(event("e1")).encode() + b', {"id": NaN}, 17, ' + json.dumps(event("e2")).encode() + b"]"
    receipt = api.post("events", body, content_type=BATCH).json
    assert (receipt["accepted"], receipt["quarantined"]) == (2, 2)
    assert [result["reason"] for result in receipt["results"]] == ["malformed", "malformed"]


def test_without_a_time_the_event_is_of_its_arrival(api: Api, company: Company) -> None:
    sent = event("e1")
    del sent["time"]
    assert api.post("events", sent, content_type=ONE).json["accepted"] == 1
    stored = Event.objects.get()
    assert stored.occurred_at == stored.received_at


def test_the_answer_is_there_only_when_the_event_is(api: Api, company: Company) -> None:
    api.post("events", event("e1"), content_type=ONE)
    usage = api.get("usage?customer=acme&meter=tokens&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&window=month")
    assert usage.json["windows"][0]["value"] == "10"


def test_ten_thousand_records_are_taken_and_one_more_is_413(api: Api, company: Company) -> None:
    most = b"[" + b",".join([b"0"] * 10_000) + b"]"
    assert api.post("events", most, content_type=BATCH).json["quarantined"] == 10_000
    answer = api.post("events", b"[" + b",".join([b"0"] * 10_001) + b"]", content_type=BATCH)
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert Receipt.objects.count() == 1


def test_a_body_that_announces_too_much_is_413_before_it_is_sent(api: Api, server_port: int) -> None:
    with socket.create_connection(("127.0.0.1", server_port), timeout=10) as connection:
        head = (
            f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.secret}\r\n"
            f"Content-Type: {BATCH}\r\nContent-Length: {16 * 1024 * 1024 + 1}\r\n\r\n"
        )
        connection.sendall(head.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 413
        assert response.headers["Content-Type"] == "application/problem+json"


def test_a_body_in_chunks_is_read_whole(api: Api, company: Company, server_port: int) -> None:
    body = json.dumps([event("e1"), event("e2")]).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server_port, timeout=10)
    headers = {"Authorization": f"Bearer {api.secret}", "Content-Type": BATCH}
    pieces = [body[:20], body[20:]]
    connection.request("POST", "/api/v1/events", iter(pieces), headers, encode_chunked=True)
    response = connection.getresponse()
    assert json.loads(response.read())["accepted"] == 2
    connection.close()


def test_a_key_bound_to_a_source_may_report_for_no_other(api: Api, company: Company, key) -> None:
    bound = api.as_key(key("events:write", source="gw"))
    assert bound.post("events", event("e1"), content_type=ONE).json["accepted"] == 1
    api.post("events", event("x"), content_type=ONE)
    receipt = bound.post("events", event("e2", source="other"), content_type=ONE).json
    assert receipt["results"][0]["reason"] == "unknown_source"
