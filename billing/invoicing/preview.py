"""The next document of each contract as it stands: the statement of the open period, with its use so far."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection

from billing.invoicing.documents import invoice_row, line_rows
from billing.invoicing.drafting import draft_preview
from billing.invoicing.issuing import draw_credit
from billing.invoicing.ledgers import load
from billing.invoicing.rendering import document_json
from billing.metering.directory import directory_version
from contracts.models import Contract, Customer
from contracts.queries import PriceBook, agreements, for_rating
from contracts.terms import Agreement


class UnableToPreview(ValueError):
    """A contract whose next document cannot be worked out, and why."""


def previews(customer: Customer, at: dt.datetime) -> list[dict[str, Any]]:
    """The next invoice of each approved contract of a customer, in the order of their numbers.

    Costs the same whatever the number of events: it reads buckets. Writes nothing. Raises UnableToPreview.
    """
    approved = Contract.objects.approved().filter(customer=customer).values_list("pk", flat=True)
    contracts = for_rating(approved)
    read: dict[int, Agreement] = {}
    for pk, found in agreements(contracts, _price_book()).items():
        if not isinstance(found, Agreement):
            raise UnableToPreview(str(found))
        read[pk] = found
    ledgers = load(contracts, read, at)
    drafts = [(contract, draft_preview(read[contract.pk], ledgers[contract.pk], at)) for contract in contracts]
    documents = [
        (draft, invoice_row(contract, read[contract.pk], draft, at)) for contract, draft in drafts if draft is not None
    ]
    drawn = draw_credit([invoice for _, invoice in documents], at, lock=False)
    shown = [
        document_json(invoice, line_rows(invoice, read[invoice.contract_id], draft), uses, "preview")
        for (draft, invoice), uses in zip(documents, drawn, strict=True)
    ]
    return sorted(shown, key=lambda document: str(document["contract"]))


# One book, with the version of the directory it was read under; that names the database too.
_kept: dict[str, PriceBook] = {}


def _price_book() -> PriceBook:
    """Prices, kept while no meter changes: versions on contracts are frozen, and of meters prices know the unit.

    Inside somebody else's transaction they are read anew: what that one has written may never be committed.
    """
    if connection.in_atomic_block:
        return PriceBook()
    version = directory_version()
    book = _kept.get(version)
    if book is None:
        _kept.clear()
        book = _kept[version] = PriceBook()
    return book
