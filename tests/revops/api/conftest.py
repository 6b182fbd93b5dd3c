"""A real web server (`serve`, as the application's role) on the test databases, and a small company to call about."""

from __future__ import annotations

import datetime as dt
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Source
from catalog.models import Meter, Plan, PriceKind, Seller
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.drafts import LineDraft, TermsDraft
from contracts.lifecycle import approve, draft
from contracts.models import Contract, Customer, CustomerAlias
from revops.api.keys import create_key
from revops.models import Scope
from revops.serving import current_names, environment_for, free_port, start_server, wait_until_healthy

THEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Api:
    """Calls the server at a port. Without `secret`, the header of the key is left out."""

    port: int
    secret: str | None = None

    def as_key(self, secret: str | None) -> Api:
        return Api(self.port, secret)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str | None = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if self.secret is not None:
            sent.setdefault("Authorization", f"Bearer {self.secret}")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None and content_type:
            sent["Content-Type"] = content_type
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path if path.startswith("/") else f"/api/v1/{path}", data, sent)
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("POST", path, body, **options)


@pytest.fixture(scope="session")
def server_port(django_db_setup: None) -> Iterator[int]:
    """`serve` on the test databases."""
    environment = environment_for(current_names())
    port = free_port()
    server = start_server(port, environment, workers=1)
    try:
        wait_until_healthy(port, server)
        yield port
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def key() -> Callable[..., str]:
    """Makes a key with these scopes and returns its secret."""

    def make(*scopes: str, **options: Any) -> str:
        return create_key("test", scopes, at=THEN, **options)[1]

    return make


@pytest.fixture
def api(server_port: int, transactional_db: None, key: Callable[..., str]) -> Api:
    """The server, called with a key that may do everything."""
    return Api(server_port, key(*Scope.values))


@dataclass
class Company:
    seller: Seller
    plan: Plan
    customer: Customer
    contract: Contract


@pytest.fixture
def company(transactional_db: None) -> Company:
    """acme, on a plan of 20.00 and 0.01 a token, in calendar months of UTC since 2026-01-01; the source gw."""
    seller = Seller.objects.create(key="main", name="Watertight Inc")
    Source.objects.create(key="gw")
    Meter.objects.create(
        key="tokens", event_type="llm.request", aggregation="sum", value="tokens", group_by=["model"], unit="tokens"
    )
    Meter.objects.create(key="requests", event_type="llm.request", aggregation="count")
    plan = Plan.objects.create(key="pro", name="Pro", interval="month")
    prices = [
        PriceDraft("base", PriceKind.RECURRING, {"model": "flat", "flat_amount": "20.00"}),
        PriceDraft("tokens", PriceKind.USAGE, {"model": "per_unit", "unit_amount": "0.01"}, meter="tokens"),
    ]
    version = publish(draft_version(plan, currency="USD", prices=prices, at=THEN), at=THEN)
    customer = Customer.objects.create(key="acme", name="Acme GmbH", country="DE")
    CustomerAlias.objects.create(customer=customer, subject="acme-eu")
    contract = Contract(number="C-1", customer=customer, seller=seller, currency="USD", starts_on=THEN.date())
    draft(contract, TermsDraft(lines=(LineDraft(version, starts_on=THEN.date()),)), at=THEN)
    approve(contract, at=THEN)
    return Company(seller, plan, customer, contract)


@pytest.fixture
def globex(transactional_db: None) -> None:
    """What the guide speaks of: words translated for globex, at 0.0004 each, and 20.00 a month, since this month."""
    today = timezone.now().date().replace(day=1)
    seller = Seller.objects.create(key="main", name="Watertight Inc")
    Source.objects.create(key="gateway")
    Meter.objects.create(
        key="words", event_type="text.translated", aggregation="sum", value="words", group_by=["language"], unit="words"
    )
    plan = Plan.objects.create(key="translate", name="Translate", interval="month")
    prices = [
        PriceDraft("base", PriceKind.RECURRING, {"model": "flat", "flat_amount": "20.00"}),
        PriceDraft("words", PriceKind.USAGE, {"model": "per_unit", "unit_amount": "0.0004"}, meter="words"),
    ]
    version = publish(draft_version(plan, currency="USD", prices=prices, at=THEN), at=THEN)
    contract = Contract(
        number="G-1",
        customer=Customer.objects.create(key="globex", name="Globex Corp"),
        seller=seller,
        currency="USD",
        starts_on=today,
        anchor="calendar",
    )
    draft(contract, TermsDraft(lines=(LineDraft(version, starts_on=today),)), at=THEN)
    approve(contract, at=THEN)


def event(id: str, tokens: Any = 10, **attributes: Any) -> dict[str, Any]:
    """An event of acme in January 2026."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": "gw",
        "type": "llm.request",
        "subject": "acme",
        "time": "2026-01-10T10:00:00Z",
        "data": {"tokens": tokens, "model": "m1"},
        **attributes,
    }
