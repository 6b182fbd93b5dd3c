"""Notices on their way: through a real mail server, and to a real HTTP server that verifies what it gets."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from billing.entitlements.delivering import PAUSES, UnableToReplay, deliver_due, replay
from billing.entitlements.webhooks import UnableToPost, is_outside, post, signed_headers
from billing.models import Delivery, DeliveryAttempt, DeliveryStatus, Notice, WebhookEndpoint
from contracts.models import Contact, Contract
from tests.billing.entitlements.conftest import Office, instant, tokens, use

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

AT = instant("2026-01-10T00:00")


class Receiver:
    """An HTTP server of the customer's; it answers with the statuses that are given, then with 204."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?from=watertight"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def endpoint(receiver: Receiver, settings: Settings, transactional_db: None) -> WebhookEndpoint:
    settings.WEBHOOKS_MAY_CALL_INSIDE = True
    return WebhookEndpoint.objects.create(name="theirs", url=receiver.url)


def crossed(office: Office, amount: int = 95) -> Contract:
    contract = office.sign(office.version(tokens("100", thresholds=(90,), on_limit="bill")))
    use(contract.customer, amount, "2026-01-10T00:00")
    return contract


def deliver(at: dt.datetime) -> dict[str, int]:
    return deliver_due(lambda: at)


def test_a_webhook_says_what_was_reached_and_is_signed(
    office: Office, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    webhooks = pytest.importorskip("standardwebhooks")
    contract = crossed(office)
    deliver(timezone.now())  # the verifier refuses what was signed long ago
    [(headers, body)] = receiver.got
    said = webhooks.Webhook(endpoint.secret).verify(body.decode(), headers)
    assert said["type"] == "allowance.threshold_reached"
    assert said["data"] == {
        "customer": contract.customer.key,
        "contract": contract.number,
        "feature": "tokens",
        "threshold": 90,
        "used": "95",
        "limit": "100",
        "on_limit": "bill",
        "period_starts_at": "2026-01-01T00:00:00Z",
        "period_ends_at": "2026-02-01T00:00:00Z",
    }
    assert headers["webhook-id"] == f"notice_{Notice.objects.get().pk}"


def test_the_example_of_the_standard_has_the_signature_it_prints() -> None:
    """From the specification of Standard Webhooks."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_fails_is_tried_again_later_each_time_and_fails_for_good(
    office: Office, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    crossed(office)
    receiver.answers = [(500, {})] * 8
    now = AT
    for pause in PAUSES:
        assert deliver(now) == {"delivered": 0, "failed": 1}
        assert deliver(now + pause - dt.timedelta(seconds=1)) == {"delivered": 0, "failed": 0}
        now += pause
    assert Delivery.objects.get().status == DeliveryStatus.PENDING
    deliver(now)
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 8)
    assert deliver(now + dt.timedelta(days=9)) == {"delivered": 0, "failed": 0}
    log = DeliveryAttempt.objects.values_list("number", "succeeded", "answer")
    assert list(log) == [(number, False, "500 Internal Server Error") for number in range(1, 9)]
    # The same notice to the receiver, who knows it by its id.
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_a_replay_sends_it_once_more(office: Office, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    crossed(office)
    with pytest.raises(UnableToReplay):
        replay(Delivery.objects.get(), at=AT)
    deliver(AT)
    replay(Delivery.objects.get(), at=AT)
    assert deliver(AT) == {"delivered": 1, "failed": 0}
    assert len(receiver.got) == 2
    assert Delivery.objects.get().status == DeliveryStatus.DELIVERED


def test_whoever_dies_in_a_try_has_it_made_again(office: Office, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    crossed(office)
    receiver.server.server_close()  # nobody listens: the try fails, as if its process had gone
    deliver(AT)
    assert Delivery.objects.get().next_attempt_at == AT + PAUSES[0]


def test_an_endpoint_that_is_switched_off_is_told_nothing_new(office: Office, endpoint: WebhookEndpoint) -> None:
    endpoint.is_active = False
    endpoint.save()
    crossed(office)
    assert not Delivery.objects.exists()


def test_a_redirect_is_not_followed(office: Office, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    crossed(office)
    receiver.answers = [(302, {"Location": "http://169.254.169.254/latest"})]
    assert deliver(AT) == {"delivered": 0, "failed": 1}
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.8", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::1", "255.255.255.255"],
)  # fmt: skip
def test_addresses_of_the_inside_are_told(address: str) -> None:
    assert not is_outside(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_of_the_outside_are_called(address: str) -> None:
    assert is_outside(address)


def test_a_name_that_leads_inside_is_not_called(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: inside)
    with pytest.raises(UnableToPost, match=r"10\.1\.2\.3 is an address of the inside"):
        post("https://hooks.example.com/", b"{}", {})
    with pytest.raises(UnableToPost, match="only https"):
        post(receiver.url, b"{}", {})


def test_contacts_get_a_letter_through_a_mail_server(office: Office, settings: Settings) -> None:
    smtp = pytest.importorskip("aiosmtpd.controller")
    handlers = pytest.importorskip("aiosmtpd.handlers")

    class Box(handlers.Message):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.letters: list[Any] = []

        def handle_message(self, message: Any) -> None:
            self.letters.append(email.message_from_bytes(message.as_bytes(), policy=email.policy.default))

    box = Box()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    contract = office.sign(office.version(tokens("1000", thresholds=(90,), on_limit="bill")), timezone="Europe/Berlin")
    Contact.objects.create(customer=contract.customer, email="ops@example.com")
    Contact.objects.create(customer=contract.customer, email="cfo@example.com", receives_notices=False)
    use(contract.customer, 950, "2026-01-10T00:00")
    assert deliver(AT) == {"delivered": 0, "failed": 1}  # no server yet
    controller = smtp.Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        assert deliver(AT + PAUSES[0]) == {"delivered": 1, "failed": 0}
    finally:
        controller.stop()
    [letter] = box.letters
    assert letter["To"] == "ops@example.com"
    assert letter["Subject"] == f"{contract.customer.name}: 90 % of tokens used"
    text = letter.get_content()
    assert "has used 950 of 1,000 of tokens: the mark of 90 % is reached." in text
    assert "What is used beyond it is billed at the prices agreed." in text
    assert "1 February 2026, 00:00 (Europe/Berlin)" in text


def test_without_a_mail_server_nothing_is_mailed(office: Office, settings: Settings) -> None:
    settings.EMAIL_HOST = ""
    contract = office.sign(office.version(tokens("100")))
    Contact.objects.create(customer=contract.customer, email="ops@example.com")
    use(contract.customer, 60, "2026-01-10T00:00")
    assert Notice.objects.exists()
    assert not Delivery.objects.exists()


def test_what_is_sent_is_json(office: Office, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    crossed(office)
    deliver(AT)
    headers, body = receiver.got[0]
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["timestamp"] == "2026-01-10T00:00:00Z"
