"""A part of check 6: the events behind a line, counted again, are its quantity."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, Literal

from billing.metering.lineage import events_behind
from billing.models import InvoiceLine
from catalog.models import Aggregation
from catalog.money import quantity_text
from revops.reconciliation.progress import Watch
from revops.reconciliation.report import Check
from revops.reconciliation.snapshot import rows, stream

Lineage = Literal["all", "sample"]

# Books up to these sizes are small: every line is proved unless told otherwise.
SMALL_LINES, SMALL_EVENTS = 5_000, 1_000_000
SAMPLE = 500  # lines; always the same ones
CHUNK = 200

_LINES = """
    SELECT line.id, meter.aggregation, coalesce(invoice.number, 'draft ' || invoice.id) AS document
    FROM billing_invoiceline line
    JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    JOIN catalog_meter meter ON meter.key = line.meter AND meter.aggregation IN ('count', 'sum')
    WHERE line.entry_kind = 'usage' AND line.clock_to IS NOT NULL
"""
"""The lines of additive meters."""

_COUNT = f"SELECT count(*) FROM ({_LINES}) AS lines"
_CHOSEN = f"SELECT id, aggregation, document FROM ({_LINES}) AS lines ORDER BY md5(id::text) LIMIT %s"


def prove_lineage(check: Check, wanted: Lineage | None, events: int, watch: Watch) -> None:
    """Add to the check of documents: lines whose count or sum of events is not their quantity."""
    [(lines,)] = rows(_COUNT)
    mode = wanted or ("all" if lines <= SMALL_LINES and events <= SMALL_EVENTS else "sample")
    chosen = lines if mode == "all" else min(lines, SAMPLE)
    found = stream(_CHOSEN, [chosen])
    with watch(chosen, "lines") as bar:
        while some := list(islice(found, CHUNK)):
            _prove(check, some)
            bar.update(len(some))
    check.figures["lineage"] = {"mode": mode, "lines": lines, "proved": chosen}
    check.sentence += f"; the events behind {chosen:,} of {lines:,} lines of use"


def _prove(check: Check, some: Sequence[tuple[Any, ...]]) -> None:
    lines = InvoiceLine.objects.select_related("contract").in_bulk([row[0] for row in some])
    for id, aggregation, document in some:
        line = lines[id]
        behind = events_behind(line, limit=0)
        counted = Decimal(behind.count) if aggregation == Aggregation.COUNT else behind.sum
        if counted != line.quantity:
            where: dict[str, str | int] = {
                "document": document,
                "line": line.position,
                "contract": line.contract.number,
                "meter": line.meter,
                "key": line.entry_key,
            }
            what = "the events behind a line are not its quantity"
            check.leak(what, where, quantity_text(line.quantity), quantity_text(counted))
