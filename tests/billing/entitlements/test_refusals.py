"""What the database refuses about entitlements and notices: raw SQL as the application's role, and as the owner."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connections, transaction

from billing.models import Notice
from tests.billing.entitlements.conftest import Office, tokens, use
from tests.billing.metering.test_refusals import as_application, refused

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


@pytest.fixture
def given(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    use(contract.customer, 60, "2026-01-10T00:00")
    assert Notice.objects.count() == 1


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE catalog_entitlement SET "limit" = 1', "DELETE FROM catalog_entitlement",
        "INSERT INTO catalog_entitlement (version_id, feature_id, kind, reset, on_limit, thresholds, rollover_periods,"
        " position) SELECT version_id, (SELECT id FROM catalog_feature WHERE key = 'sso'), 'boolean', 'day', 'warn',"
        " '{}', 1, 1 FROM catalog_entitlement",
    ],
)  # fmt: skip
def test_a_published_version_keeps_what_it_gives(given: None, statement: str) -> None:
    refused(statement, "default", IntegrityError, "entitlement of a published plan version")


def test_a_threshold_is_told_once_whoever_asks(given: None) -> None:
    columns = 'contract_id, feature, threshold, period_starts_at, period_ends_at, used, "limit", unit, on_limit, at'
    again = f"INSERT INTO billing_notice ({columns}) SELECT {columns} FROM billing_notice"
    refused(again, "default", IntegrityError, "notice_given_once")


def test_a_notice_stays_as_it_was_given(given: None) -> None:
    for statement in ("UPDATE billing_notice SET threshold = 51", "DELETE FROM billing_notice"):
        refused(statement, "default")
        with (
            connections["default"].cursor() as owner,
            pytest.raises(IntegrityError, match="facts"),
            transaction.atomic(),
        ):
            owner.execute(statement)


def test_the_application_can_do_its_work(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    with as_application("default"), as_application("quarantine"):
        use(contract.customer, 60, "2026-01-10T00:00")
    assert Notice.objects.get().threshold == 50
