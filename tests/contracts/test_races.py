"""Two people at once: locks keep what one of them could not see."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import connections

from contracts.drafts import LineDraft
from contracts.lifecycle import UnableToApprove, add_one_time, approve
from contracts.models import Contract, ContractStatus
from tests.contracts.conftest import AT, START, Desk
from tests.factories import CustomerFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk(CustomerFactory(key="acme"))


def at_once(*deeds: Callable[[], object]) -> list[object]:
    """What each answers, or the error it raises, when all start together."""
    start = Barrier(len(deeds))

    def take(deed: Callable[[], object]) -> object:
        try:
            start.wait(timeout=30)
            return deed()
        except UnableToApprove as unable:
            return unable
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(take, deeds))


def test_two_contracts_that_bill_the_same_use_are_not_both_approved(desk: Desk) -> None:
    version = desk.version()
    drafts = [desk.draft(LineDraft(version, START), number=number) for number in ("C-1", "C-2")]
    answers = at_once(*(lambda contract=one: approve(contract, at=AT) for one in drafts))
    refused = [one for one in answers if isinstance(one, UnableToApprove)]
    assert len(refused) == 1
    assert refused[0].errors[0].code == "billed_twice"
    assert Contract.objects.filter(status=ContractStatus.APPROVED).count() == 1


def test_two_amendments_at_once_both_count(desk: Desk) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    at_once(
        *(
            lambda key=key: add_one_time(
                Contract.objects.get(pk=contract.pk), key, "Goodwill", Decimal(-1), START, at=AT
            )
            for key in ("a", "b")
        )
    )
    contract.refresh_from_db()
    assert contract.revision == 2
    assert sorted(term.key for term in contract.one_time_terms.in_force()) == ["a", "b"]
