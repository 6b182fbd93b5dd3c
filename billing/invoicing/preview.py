"""The next document of each contract as it stands: the statement of the open period, with its use so far."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.agreed import agreements_of
from billing.invoicing.documents import invoice_row, line_rows
from billing.invoicing.drafting import draft_preview
from billing.invoicing.drawing import draw_credit
from billing.invoicing.ledgers import load
from billing.invoicing.rendering import document_json
from billing.models import CreditUse, Invoice, InvoiceLine
from billing.rating.parts import UnableToCharge
from billing.rating.reductions import Carried
from contracts.agreement import Agreement
from contracts.models import Contract, Customer
from contracts.queries import PriceBook, UnreadableContract, agreements, for_rating


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
    return _documents(*agreements_of([customer.pk])[customer.pk], at)


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
