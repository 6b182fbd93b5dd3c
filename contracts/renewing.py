"""Contracts that renew by themselves: which are due, and `lifecycle.renew` for many of them.

A contract is due once its notice day has come. A run that is late renews it all the same, as often as it takes until
its next notice day lies ahead, so that what was used meanwhile is billed.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import DateField, ExpressionWrapper, F

from catalog.auditing import Actor
from catalog.periods import local_date
from contracts.checking import Surroundings, faults
from contracts.drafts import TermsDraft, terms_by_contract
from contracts.extending import notice_day
from contracts.lifecycle import Signature, UnableToAmend, renewed, said
from contracts.models import Contract, ContractStatus
from contracts.together import Changes, locked_together, store_together

log = logging.getLogger(__name__)

CHUNK = 200
ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Unrenewed:
    """A contract that was due and could not be renewed. `is_over`: its end has passed."""

    contract: int
    number: str
    error: str
    is_over: bool


def due(at: dt.datetime, customers: Sequence[str] | None = None) -> list[int]:
    """Ids of the contracts (of these customers, by key) that renew by themselves, and whose notice day has come."""
    day = ExpressionWrapper(F("ends_on") - F("renewal_notice_days"), output_field=DateField())
    rows = (
        Contract.objects.approved()
        .filter(renewal_auto=True, ends_on__isnull=False)
        .alias(notice_day=day)
        .filter(notice_day__lte=at.date() + ONE_DAY)
        .select_related("customer", "seller")
    )
    if customers is not None:
        rows = rows.filter(customer__key__in=customers)
    return [contract.pk for contract in rows.order_by("pk") if _is_due(contract, at)]


def renew_due(at: dt.datetime, *, customers: Sequence[str] | None = None, by: Actor = None) -> list[Unrenewed]:
    """Renew every contract that is due, in chunks of one transaction each; one that cannot be renewed costs no other.

    Returns those that could not be. A second time does nothing.
    """
    ids = due(at, customers)
    found = []
    for start in range(0, len(ids), CHUNK):
        found += _renew_chunk(ids[start : start + CHUNK], at, by)
    return found


def _renew_chunk(ids: Sequence[int], at: dt.datetime, by: Actor) -> list[Unrenewed]:
    try:
        return _renew_together(ids, at, by)
    except Exception as error:
        # Whatever is wrong with one contract is its own fault, reported, and never stops the others.
        if len(ids) > 1:
            return [one for pk in ids for one in _renew_chunk([pk], at, by)]
        contract = Contract.objects.select_related("customer", "seller").get(pk=ids[0])
        log.exception("contract %s could not be renewed", contract)
        return [_unrenewed(contract, at, error)]


def _renew_together(ids: Sequence[int], at: dt.datetime, by: Actor) -> list[Unrenewed]:
    changes: Changes = []
    failed = []
    with transaction.atomic():
        contracts = [contract for contract in locked_together(ids) if _is_due(contract, at)]
        terms, surroundings = terms_by_contract(contracts), Surroundings()
        surroundings.read({contract.customer_id for contract in contracts})
        for contract in contracts:
            before = contract.ends_on
            try:
                after = _until_not_due(contract, terms[contract.pk], at)
                if wrong := faults(contract, after, surroundings):
                    raise UnableToAmend(wrong)
            except UnableToAmend as unable:
                contract.ends_on = before
                failed.append(_unrenewed(contract, at, unable))
            else:
                surroundings.amend(contract, after)
                changes.append((contract, after))
        store_together(changes, Signature(at, by, said("Renewed, as agreed", by)), ["ends_on"])
    return failed


def _until_not_due(contract: Contract, terms: TermsDraft, at: dt.datetime) -> TermsDraft:
    while _is_due(contract, at):
        terms = renewed(contract, terms, at)
    return terms


def _is_due(contract: Contract, at: dt.datetime) -> bool:
    if contract.status != ContractStatus.APPROVED or not contract.renewal_auto:
        return False
    day = notice_day(contract)
    return day is not None and day <= local_date(at, ZoneInfo(contract.timezone_name()))


def _unrenewed(contract: Contract, at: dt.datetime, error: Exception) -> Unrenewed:
    today = local_date(at, ZoneInfo(contract.timezone_name()))
    is_over = contract.ends_on is not None and contract.ends_on <= today
    said = f"it cannot be renewed: {error}".strip() if str(error) else f"it cannot be renewed: {type(error).__name__}"
    return Unrenewed(contract.pk, contract.number, said, is_over)
