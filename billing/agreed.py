"""What customers have agreed to, read once and kept while nothing it is made of changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection

from contracts.agreement import Agreement
from contracts.models import Contract, Customer
from contracts.queries import PriceBook, UnreadableContract, agreements, for_rating

Agreements = tuple[list[Contract], dict[int, Agreement | UnreadableContract]]

_STATE_OF_TERMS = """
    SELECT watertight_directory_version(),
        (SELECT max(history_id) FROM catalog_historicalplan),
        (SELECT max(history_id) FROM catalog_historicaltaxrate)
"""
"""Changes with all that agreements are made of. The directory's version names the database and counts the changes of
meters, sellers, customers and contracts (whose terms change with their row); plans and tax rates leave a history; plan
versions on contracts are frozen."""

MOST_KEPT = 10_000  # customers


class _Kept:
    """What was read under one state of terms."""

    def __init__(self, state: object) -> None:
        self.state = state
        self.prices = PriceBook()
        self.agreements: dict[int, Agreements] = {}
        self.customers: dict[str, int] = {}


_kept = _Kept(None)


def agreements_of(customers: Iterable[int]) -> dict[int, Agreements]:
    """Customer -> its approved contracts and what they say, in a number of queries that does not grow with them.

    Inside somebody else's transaction they are read anew: what that one has written may never be committed.
    """
    return _read(list(customers), _current())


def agreements_of_key(key: str) -> tuple[int, Agreements] | None:
    """The customer of this key with its agreements; None: there is no such customer."""
    kept = _current()
    if key not in kept.customers:
        found = Customer.objects.filter(key=key).values_list("pk", flat=True).first()
        if found is None:
            return None
        kept.customers[key] = found
    pk = kept.customers[key]
    return pk, _read([pk], kept)[pk]


def _current() -> _Kept:
    global _kept
    if connection.in_atomic_block:
        return _Kept(None)
    with connection.cursor() as cursor:
        cursor.execute(_STATE_OF_TERMS)
        state = cursor.fetchone()
    kept = _kept
    if kept.state != state or len(kept.agreements) > MOST_KEPT:
        kept = _kept = _Kept(state)
    return kept


def _read(customers: Sequence[int], kept: _Kept) -> dict[int, Agreements]:
    missing = [pk for pk in customers if pk not in kept.agreements]
    if missing:
        found: dict[int, Agreements] = {pk: ([], {}) for pk in missing}
        contracts = for_rating(Contract.objects.approved().filter(customer__in=missing).values_list("pk", flat=True))
        said = agreements(contracts, kept.prices)
        for contract in contracts:
            theirs, read = found[contract.customer_id]
            theirs.append(contract)
            read[contract.pk] = said[contract.pk]
        kept.agreements |= found
    return {pk: kept.agreements[pk] for pk in customers}
