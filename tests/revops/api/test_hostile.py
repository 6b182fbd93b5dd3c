"""Whatever is sent, the answer is a problem that says what to do, never a fault of ours."""

import pytest

from .conftest import Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

ADDRESSES = [
    "invoices?customer=%00",
    "invoices?cursor=WzFd.",
    "invoices?cursor=WyJhIl0",  # ["a"]
    "invoices?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTld",  # [99999999999999999999999]
    "invoices?limit=0",
    "invoices?limit=1e3",
    "invoices?limit=",
    "invoices/99999999999999999999999999",
    "invoices/1/lines/99999999999999999999999999/events",
    "customers/%00/preview",
    "customers/%ff/preview",
    "meters/%00",
    "events?from=0001-01-01T00:00:00%2B14:00",
    "events?from=9999-12-31T23:59:59-14:00",
    "events?source=%F0%9F%92%A5&id=%F0%9F%92%A5",
    "events?source=a&id=",
    "events?cursor=WzEsIjIwMjYtMDEtMDFUMDA6MDA6MDBaIiwieCJd",  # [1, "2026-01-01T00:00:00Z", "x"]
    "usage?customer=acme&meter=tokens&from=0001-01-01T00:00:00Z&to=0001-02-01T00:00:00Z&window=month",
    "usage?customer=acme&meter=tokens&from=9999-12-01T00:00:00Z&to=9999-12-31T23:45:00Z&window=month",
    "usage?customer=acme&meter=tokens&from=9999-12-31T00:00:00Z&to=9999-12-31T23:45:00Z&window=hour",
    "usage?customer=acme&meter=tokens&from=0001-01-01T00:00:00Z&window=hour",
    "usage?customer=acme&meter=tokens&group_by=model&group_by=model",
    "usage?customer=acme&meter=tokens&group_by=,",
]


@pytest.mark.parametrize("path", ADDRESSES)
def test_an_odd_address_is_no_fault_of_ours(api: Api, company: Company, path: str) -> None:
    api.post("events", event("e1"))
    answer = api.get(path)
    assert answer.status in (200, 400, 404)
    kind = "application/json" if answer.status == 200 else "application/problem+json"
    assert answer.headers["content-type"] == kind


BODIES = [
    ("corrections", {"kind": "void", "source": "gw", "id": "e1", "reason": "\0"}),
    ("corrections", {"kind": "void", "source": "gw\0", "id": "e1", "reason": "x"}),
    ("corrections", {"kind": "amend", "source": "gw", "id": "e1", "reason": "x", "data": {"tokens": "NaN"}}),
    ("corrections", b'{"kind": "amend", "source": "gw", "id": "e1", "reason": "x", "data": {"tokens": 1e999999999}}'),
    ("corrections", {"kind": "amend", "source": "gw", "id": "e1", "reason": "x", "data": [1]}),
    ("corrections", {"kind": "amend", "source": "gw", "id": "e1", "reason": "x", "data": "text"}),
    ("corrections", []),
    ("corrections", b"[" * 100_000),
    ("corrections", b'{"kind": "\\ud800"}'),
    ("corrections", b"\xff"),
    ("calculate", b"[" * 100_000),
    ("calculate", {"currency": "USD", "price": {"model": "per_unit", "unit_amount": "1e999"}, "quantity": "1"}),
    ("calculate", b'{"currency": "USD", "price": {"model": "per_unit", "unit_amount": 1e999999}, "quantity": 1e99}'),
    ("calculate", None),
    ("invoices/1/issue", {"x": 1}),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_an_odd_body_is_refused(api: Api, company: Company, path: str, body: object) -> None:
    api.post("events", event("e1"))
    answer = api.post(path, body)
    assert answer.status in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_odd_idempotency_key_is_refused(api: Api, company: Company) -> None:
    api.post("events", event("e1"))
    body = {"kind": "void", "source": "gw", "id": "e1", "reason": "x"}
    assert api.post("corrections", body, headers={"Idempotency-Key": "k" * 201}).status == 400
