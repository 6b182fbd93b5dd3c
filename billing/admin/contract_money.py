"""What a contract's next invoice comes to, for deeds that are tried: before, and as it would be after.

Tried deeds are taken back, so what is seen here inside of one is the preview under the changed terms, with what it
would adjust in closed periods.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal

from billing.invoicing.preview import preview_contracts
from billing.models import InvoiceLine, LineKind
from catalog.deeds import Standing, TriedDeed
from catalog.money import ZERO
from catalog.wording import money_words, period_words
from contracts.models import Contract

NET, GROSS = "Next invoice, before tax", "Next invoice, with tax"


def seen_money(contract: Contract, at: dt.datetime) -> dict[str, str]:
    """The next invoice and each of its charges, in words; the fixed number of queries of one preview."""
    shown, faults = preview_contracts([contract.pk], at)
    if faults:
        return {NET: Standing(f"cannot be worked out: {faults[0]}")}
    if not shown:
        return {NET: Standing("none will come")}
    [preview] = shown
    document = preview.document
    period = period_words(document.period_start, document.period_end)
    said: dict[str, str] = {
        NET: Standing(f"{money_words(document.subtotal, document.currency)} for {period}"),
        GROSS: Standing(money_words(document.total, document.currency)),
    }
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for line in preview.lines:
        sums[_subject(line)] += line.amount
    return said | {subject: money_words(amount, document.currency) for subject, amount in sums.items()}


def _subject(line: InvoiceLine) -> str:
    said = f"{line.description}, {period_words(line.service_start, line.service_end)}"
    return f"Adjusted: {said}" if line.kind == LineKind.ADJUSTMENT else f"On it: {said}"


TriedDeed.watch(Contract, seen_money)
