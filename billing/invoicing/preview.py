"""The next document of each contract as it stands: the statement of the open period, with its use so far."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from billing.invoicing.documents import invoice_row, line_rows
from billing.invoicing.drafting import draft_preview
from billing.invoicing.drawing import draw_credit
from billing.invoicing.ledgers import load
from billing.invoicing.rendering import document_json
from billing.models import CreditUse, Invoice, InvoiceLine
from billing.rating.parts import UnableToCharge
from billing.rating.reductions import Carried
from contracts.models import Contract, Customer
from contracts.queries import PriceBook, UnreadableContract, agreements, for_rating
from contracts.terms import Agreement


class UnableToPreview(ValueError):
    """A contract whose next document cannot be worked out, and why."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A document that is not stored, with the lines it would have and the credit it would draw.

    `closing` is what its period would leave to the next one as things stand.
    """

    document: Invoice
    lines: list[InvoiceLine]
    uses: list[CreditUse]
    closing: Carried = field(default_factory=dict)


def previews(customer: Customer, at: dt.datetime) -> list[dict[str, Any]]:
    """The next invoice of each approved contract of a customer in the JSON of the API, by contract.

    Costs the same whatever the number of events: it reads buckets. Writes nothing. Raises UnableToPreview.
    """
    shown, faults = preview_documents(customer, at)
    if faults:
        raise UnableToPreview(faults[0])
    return [document_json(one.document, one.lines, one.uses, "preview") for one in shown]


def preview_documents(customer: Customer, at: dt.datetime) -> tuple[list[Preview], list[str]]:
    """The next document of each approved contract, by contract, and why there is none for some."""
    return _documents(*_agreements_of(customer), at)


def preview_contracts(contracts: Iterable[int], at: dt.datetime) -> tuple[list[Preview], list[str]]:
    """The same for contracts (ids) of any customers, in a number of queries that does not grow with them."""
    rated = for_rating(contracts)
    return _documents(rated, agreements(rated, PriceBook()), at)


def _documents(
    contracts: Sequence[Contract], found: Mapping[int, Agreement | UnreadableContract], at: dt.datetime
) -> tuple[list[Preview], list[str]]:
    read = {pk: agreement for pk, agreement in found.items() if isinstance(agreement, Agreement)}
    ledgers = load([contract for contract in contracts if contract.pk in read], read, at)
    faults = [str(agreement) for agreement in found.values() if not isinstance(agreement, Agreement)]
    documents = []
    for contract in contracts:
        if contract.pk not in read:
            continue
        try:
            draft = draft_preview(read[contract.pk], ledgers[contract.pk], at)
        except UnableToCharge as error:
            faults.append(f"contract {contract.number}: {error}")
            continue
        if draft is not None:
            documents.append((draft, invoice_row(contract, read[contract.pk], draft, at)))
    lines = [line_rows(document, read[document.contract_id], draft) for draft, document in documents]
    drawn = draw_credit([document for _, document in documents], at, unlocked=lines)
    shown = [
        Preview(document, rows, uses, ledgers[document.contract_id].closings.get(draft.period, {}))
        for (draft, document), rows, uses in zip(documents, lines, drawn, strict=True)
    ]
    return sorted(shown, key=lambda one: one.document.contract.number), faults


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


_kept = _Kept(None)


def _agreements_of(customer: Customer) -> Agreements:
    """The approved contracts of a customer and what they say, kept while nothing they are made of changes.

    Inside somebody else's transaction they are read anew: what that one has written may never be committed.
    """
    global _kept
    if connection.in_atomic_block:
        return _read_agreements(customer, PriceBook())
    with connection.cursor() as cursor:
        cursor.execute(_STATE_OF_TERMS)
        state = cursor.fetchone()
    kept = _kept
    if kept.state != state or len(kept.agreements) > MOST_KEPT:
        kept = _kept = _Kept(state)
    found = kept.agreements.get(customer.pk)
    if found is None:
        found = kept.agreements[customer.pk] = _read_agreements(customer, kept.prices)
    return found


def _read_agreements(customer: Customer, prices: PriceBook) -> Agreements:
    contracts = for_rating(Contract.objects.approved().filter(customer=customer).values_list("pk", flat=True))
    return contracts, agreements(contracts, prices)
