"""A part of check 6: the events behind a line, counted again, are its quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from billing.metering.lineage import events_behind
from billing.models import InvoiceLine
from catalog.models import Aggregation
from catalog.money import quantity_text
from revops.reconciliation.progress import Watch
from revops.reconciliation.report import Check
from revops.reconciliation.snapshot import rows

Lineage = Literal["all", "sample"]

# Books up to these sizes are small: every line is proved unless told otherwise.
SMALL_LINES, SMALL_EVENTS = 5_000, 1_000_000
SAMPLE = 500  # lines; always the same ones
CHUNK = 200

_LINES = """
    SELECT line.id, meter.aggregation, coalesce(invoice.number, 'draft ' || invoice.id),
        (line.clock_from = line.clock_to AND line.quantity <> 0) OR EXISTS (
            SELECT 1 FROM billing_invoiceline earlier JOIN billing_invoice theirs ON theirs.id = earlier.invoice_id
            WHERE earlier.contract_id = line.contract_id AND earlier.period_starts_at = line.period_starts_at
              AND earlier.entry_key = line.entry_key AND earlier.id < line.id
              AND ((earlier.service_starts_at, earlier.service_ends_at)
                    IS DISTINCT FROM (line.service_starts_at, line.service_ends_at)
                OR (theirs.voided_at <= invoice.drafted_at AND earlier.clock_to <= line.clock_from))
        )
    FROM billing_invoiceline line
    JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    JOIN catalog_meter meter ON meter.key = line.meter AND meter.aggregation IN ('count', 'sum')
    WHERE line.entry_kind = 'usage' AND line.clock_to IS NOT NULL
    ORDER BY md5(line.id::text)
"""
"""The lines of additive meters, in a fixed order; and whether terms, or a void of the line before, moved them.

Such a line takes back or bills again what others carried: its quantity is not that of the events between its clocks.
What its key comes to in all is proved by check 4.
"""


def prove_lineage(check: Check, wanted: Lineage | None, events: int, watch: Watch) -> None:
    """Add to the check of documents: lines whose count or sum of events is not their quantity."""
    found = rows(_LINES)
    by_events = [row for row in found if not row[3]]
    mode = wanted or ("all" if len(by_events) <= SMALL_LINES and events <= SMALL_EVENTS else "sample")
    chosen = by_events if mode == "all" else by_events[:SAMPLE]
    with watch(len(chosen), "lines") as bar:
        for start in range(0, len(chosen), CHUNK):
            some = chosen[start : start + CHUNK]
            _prove(check, some)
            bar.update(len(some))
    check.figures["lineage"] = {
        "mode": mode,
        "lines": len(found),
        "proved": len(chosen),
        "moved_by_terms": len(found) - len(by_events),
    }
    check.sentence += f"; the events behind {len(chosen):,} of {len(found):,} lines of use"


def _prove(check: Check, some: Sequence[tuple[int, str, str, bool]]) -> None:
    lines = InvoiceLine.objects.select_related("contract").in_bulk([row[0] for row in some])
    for id, aggregation, document, _ in some:
        line = lines[id]
        behind = events_behind(line, limit=0)
        counted = behind.count if aggregation == Aggregation.COUNT else behind.sum
        if counted != line.quantity:
            where: dict[str, str | int] = {
                "document": document,
                "line": line.position,
                "contract": line.contract.number,
                "meter": line.meter,
                "key": line.entry_key,
            }
            what = "the events behind a line are not its quantity"
            check.leak(what, where, quantity_text(line.quantity), str(counted))
