"""Sending notices: by mail to the contacts of the customer, and to webhook endpoints.

Who is told stands beside the notice since it was given. A try is written down before it is made, and its outcome after;
no call is made inside a transaction. What fails is tried again, later each time, until it has failed for good.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from smtplib import SMTPException
from typing import Any

import msgspec
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.template.loader import render_to_string

from billing.entitlements.webhooks import UnableToPost, post, signed_headers
from billing.models import Channel, Delivery, DeliveryAttempt, DeliveryStatus, Notice
from catalog.money import quantity_text

# How long after each failure the next try is made; after the last of them it has failed.
PAUSES = tuple(dt.timedelta(minutes=one) for one in (1, 5, 30, 120, 360, 720, 1440))
MOST_AT_ONCE = 500
EVENT = "allowance.threshold_reached"


class UnableToReplay(Exception):
    """What is on its way is not sent again."""


_ADDRESS = """
    INSERT INTO billing_delivery (notice_id, channel, endpoint_id, address, status, attempts, next_attempt_at)
    SELECT notice.id, 'mail', NULL, contact.email, 'pending', 0, notice.at
    FROM billing_notice notice
    JOIN contracts_contract contract ON contract.id = notice.contract_id
    JOIN contracts_contact contact ON contact.customer_id = contract.customer_id AND contact.receives_notices
    WHERE %(by_mail)s AND notice.id = ANY(%(notices)s)
    UNION
    SELECT notice.id, 'webhook', endpoint.id, '', 'pending', 0, notice.at
    FROM billing_notice notice CROSS JOIN billing_webhookendpoint endpoint
    WHERE endpoint.is_active AND notice.id = ANY(%(notices)s)
    ON CONFLICT DO NOTHING
"""


def address(notices: Sequence[int]) -> None:
    """Note to whom notices (ids) go; in the transaction that gives them. Without a mail server nothing is mailed."""
    with connection.cursor() as cursor:
        cursor.execute(_ADDRESS, {"by_mail": bool(settings.EMAIL_HOST), "notices": list(notices)})


def deliver_due(clock: Callable[[], dt.datetime]) -> dict[str, int]:
    """Try everything that is due, one after the other; two that deliver at once share the work.

    The clock is read for each: a receiver refuses what was signed long ago.
    """
    done = {"delivered": 0, "failed": 0}
    for _ in range(MOST_AT_ONCE):
        at = clock()
        attempt = _begin(at)
        if attempt is None:
            break
        try:
            answer, succeeded = _send(attempt.delivery, at), True
        except (UnableToPost, SMTPException, OSError) as error:
            answer, succeeded = str(error) or type(error).__name__, False
        _finish(attempt, succeeded, answer, clock())
        done["delivered" if succeeded else "failed"] += 1
    return done


def replay(delivery: Delivery, *, at: dt.datetime) -> Delivery:
    """Send it once more, whatever became of it; the receiver knows it by its id. Raises UnableToReplay."""
    with transaction.atomic():
        locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
        if locked.status == DeliveryStatus.PENDING:
            raise UnableToReplay("It is on its way already.")
        locked.status, locked.next_attempt_at = DeliveryStatus.PENDING, at
        locked.save(update_fields=["status", "next_attempt_at"])
    return locked


def _begin(at: dt.datetime) -> DeliveryAttempt | None:
    """The next try, written down. Whoever dies in it has it made again after the pause."""
    due = Delivery.objects.filter(status=DeliveryStatus.PENDING, next_attempt_at__lte=at)
    with transaction.atomic(durable=True):
        found = due.select_for_update(of=("self",), skip_locked=True).order_by("next_attempt_at", "pk").first()
        if found is None:
            return None
        found.attempts += 1
        found.next_attempt_at = at + PAUSES[min(found.attempts, len(PAUSES)) - 1]
        found.save(update_fields=["attempts", "next_attempt_at"])
        attempt = DeliveryAttempt.objects.create(delivery=found, number=found.attempts, started_at=at)
    attempt.delivery = Delivery.objects.select_related("notice__contract__customer", "endpoint").get(pk=found.pk)
    return attempt


def _finish(attempt: DeliveryAttempt, succeeded: bool, answer: str, at: dt.datetime) -> None:
    with transaction.atomic():
        attempt.finished_at, attempt.succeeded, attempt.answer = at, succeeded, answer[:500]
        attempt.save(update_fields=["finished_at", "succeeded", "answer"])
        delivery = Delivery.objects.select_for_update().get(pk=attempt.delivery_id)
        if succeeded:
            delivery.status = DeliveryStatus.DELIVERED
        elif delivery.attempts % (len(PAUSES) + 1) == 0:
            delivery.status = DeliveryStatus.FAILED
        delivery.save(update_fields=["status"])


def _send(delivery: Delivery, at: dt.datetime) -> str:
    """What was answered. Raises UnableToPost, SMTPException, OSError."""
    if delivery.channel == Channel.MAIL:
        letter(delivery.notice, delivery.address).send()
        return "accepted by the mail server"
    endpoint, notice = delivery.endpoint, delivery.notice
    if endpoint is None or not endpoint.is_active:
        raise UnableToPost("the endpoint is switched off")
    body = msgspec.json.encode(message(notice))
    headers = signed_headers(f"notice_{notice.pk}", int(at.timestamp()), body, endpoint.secret)
    return post(endpoint.url, body, headers, may_call_inside=settings.WEBHOOKS_MAY_CALL_INSIDE)


def message(notice: Notice) -> dict[str, Any]:
    """What a webhook says."""
    contract = notice.contract
    return {
        "type": EVENT,
        "timestamp": notice.at,
        "data": {
            "customer": contract.customer.key,
            "contract": contract.number,
            "feature": notice.feature,
            "threshold": notice.threshold,
            "used": quantity_text(notice.used),
            "limit": quantity_text(notice.limit),
            "on_limit": notice.on_limit,
            "period_starts_at": notice.period_starts_at,
            "period_ends_at": notice.period_ends_at,
        },
    }


def letter(notice: Notice, to: str) -> EmailMessage:
    said = {"notice": notice, "customer": notice.contract.customer, "zone": notice.contract.timezone_name()}
    subject = f"{notice.contract.customer.name}: {notice.threshold} % of {notice.feature} used"
    text = render_to_string("emails/notice.txt", said)
    return EmailMessage(subject, text, to=[to], headers={"X-Watertight-Notice": str(notice.pk)})
