"""Check 6: documents are the sum of their lines, tax and credits; numbers have no gap; each line stands on its events.

Everything is compared in the database; only what differs comes out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from catalog.money import quantity_text
from revops.reconciliation.report import Check, money
from revops.reconciliation.snapshot import rows, stream

NAMED = "coalesce(invoice.number, 'draft ' || invoice.id)"

_TOTALS = f"""
    WITH sums AS (
        SELECT invoice_id, sum(amount) AS amount, sum(tax_amount) AS tax, count(*) AS n, max(position) AS last
        FROM billing_invoiceline GROUP BY 1
    ), uses AS (
        SELECT invoice_id, sum(amount) AS amount FROM billing_credituse GROUP BY 1
    )
    SELECT {NAMED}, fault.what, fault.expected::text, fault.found::text
    FROM billing_invoice invoice
    LEFT JOIN sums ON sums.invoice_id = invoice.id
    LEFT JOIN uses ON uses.invoice_id = invoice.id
    CROSS JOIN LATERAL (VALUES
        ('the subtotal is not the sum of the lines', coalesce(sums.amount, 0), invoice.subtotal),
        ('the total is not subtotal plus tax', invoice.subtotal + coalesce(sums.tax, 0), invoice.total),
        ('the credit drawn is not what was used', coalesce(uses.amount, 0), invoice.credited),
        ('the amount due is not total minus credit', greatest(invoice.total, 0) - invoice.credited, invoice.amount_due),
        ('a line is missing or was added', coalesce(sums.last, 1)::numeric, coalesce(sums.n, 0)::numeric)
    ) AS fault (what, expected, found)
    WHERE fault.expected <> fault.found
    ORDER BY invoice.id
"""

_TAX = f"""
    WITH lines AS (
        SELECT line.invoice_id, rate.code, rate.percent,
            CASE WHEN rate.code <> '' THEN sum(rate.base) END AS base, sum(rate.amount) AS amount
        FROM billing_invoiceline line, jsonb_to_recordset(line.taxes)
            AS rate (code text, percent numeric, base numeric, amount numeric)
        GROUP BY 1, 2, 3
    ), said AS (
        SELECT invoice.id AS invoice_id, rate.code, rate.percent,
            CASE WHEN rate.code <> '' THEN rate.base END AS base, rate.amount
        FROM billing_invoice invoice, jsonb_to_recordset(invoice.tax)
            AS rate (code text, percent numeric, base numeric, amount numeric)
    )
    SELECT {NAMED}, coalesce(lines.code, said.code), lines.base, lines.amount, said.base, said.amount
    FROM lines FULL JOIN said ON said.invoice_id = lines.invoice_id AND said.code = lines.code
        AND said.percent = lines.percent
    JOIN billing_invoice invoice ON invoice.id = coalesce(lines.invoice_id, said.invoice_id)
    WHERE (lines.base, lines.amount) IS DISTINCT FROM (said.base, said.amount)
    ORDER BY invoice.id
"""

_BY_RATE = f"""
    SELECT {NAMED}, line.position, rates.amount, line.tax_amount
    FROM billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount FROM jsonb_to_recordset(line.taxes) AS rate (amount numeric)
    ) rates
    WHERE rates.amount <> line.tax_amount
"""

_FORM = f"""
    SELECT {NAMED}, invoice.document, invoice.total FROM billing_invoice invoice
    WHERE (invoice.document = 'credit_note') <> (invoice.total < 0)
"""

_OVERSPENT = """
    SELECT note.number, -note.total, sum(used.amount)
    FROM billing_credituse used JOIN billing_invoice note ON note.id = used.credit_note_id
    WHERE used.returned_at IS NULL
    GROUP BY note.id HAVING sum(used.amount) > -note.total
    ORDER BY note.id
"""

_MISSPENT = """
    SELECT coalesce(note.number, used.grant_key), invoice.number, used.amount, fault.what
    FROM billing_credituse used
    LEFT JOIN billing_invoice note ON note.id = used.credit_note_id
    JOIN billing_invoice invoice ON invoice.id = used.invoice_id
    CROSS JOIN LATERAL (VALUES
        ('credit of what is no issued credit note', note.document <> 'credit_note' OR note.status <> 'issued'),
        ('credit not returned by a void', invoice.status <> 'issued'),
        ('credit of another customer, seller or currency', note.id IS NOT NULL
            AND (note.customer_id, note.seller_id, note.currency)
            IS DISTINCT FROM (invoice.customer_id, invoice.seller_id, invoice.currency)),
        ('credit of another contract', used.contract_id <> invoice.contract_id)
    ) AS fault (what, holds)
    WHERE used.returned_at IS NULL AND fault.holds
"""

_RETURNED_FROM_A_STANDING = """
    SELECT coalesce(note.number, used.grant_key), invoice.number, used.amount
    FROM billing_credituse used
    LEFT JOIN billing_invoice note ON note.id = used.credit_note_id
    JOIN billing_invoice invoice ON invoice.id = used.invoice_id
    WHERE used.returned_at IS NOT NULL AND invoice.status = 'issued'
"""

_OVERDRAWN = """
    SELECT contract.number, used.grant_key, coalesce(granted.amount, 0), sum(used.amount)
    FROM billing_credituse used
    JOIN contracts_contract contract ON contract.id = used.contract_id
    LEFT JOIN LATERAL (
        SELECT amount FROM contracts_creditgrant
        WHERE contract_id = used.contract_id AND key = used.grant_key AND kind = 'prepaid'
        ORDER BY superseded_at DESC NULLS FIRST, id DESC LIMIT 1
    ) granted ON true
    WHERE used.returned_at IS NULL AND used.grant_key <> ''
    GROUP BY contract.id, used.grant_key, granted.amount
    HAVING sum(used.amount) > coalesce(granted.amount, 0)
    ORDER BY contract.id, used.grant_key
"""
"""A grant that an amendment took out is what it was last."""

_OUT_OF_ITS_DAYS = """
    SELECT contract.number, used.grant_key, invoice.number, drawn.day
    FROM billing_credituse used
    JOIN billing_invoice invoice ON invoice.id = used.invoice_id
    JOIN contracts_contract contract ON contract.id = used.contract_id
    JOIN contracts_customer customer ON customer.id = contract.customer_id
    JOIN catalog_seller seller ON seller.id = contract.seller_id
    CROSS JOIN LATERAL (
        SELECT (used.used_at AT TIME ZONE coalesce(
            nullif(contract.timezone, ''), nullif(customer.timezone, ''), seller.timezone
        ))::date AS day
    ) drawn
    WHERE used.grant_key <> '' AND EXISTS (
        SELECT 1 FROM contracts_creditgrant WHERE contract_id = used.contract_id AND key = used.grant_key
    ) AND NOT EXISTS (
        SELECT 1 FROM contracts_creditgrant said
        WHERE said.contract_id = used.contract_id AND said.key = used.grant_key AND said.kind = 'prepaid'
          AND said.starts_on <= drawn.day AND (said.expires_on IS NULL OR said.expires_on > drawn.day)
    )
    ORDER BY used.id
"""
"""Days that an amendment has moved count as they were, too."""

_OUT_OF_ITS_PRICES = """
    SELECT contract.number, used.grant_key, invoice.number, used.amount, lies.amount
    FROM billing_credituse used
    JOIN billing_invoice invoice ON invoice.id = used.invoice_id
    JOIN contracts_contract contract ON contract.id = used.contract_id
    CROSS JOIN LATERAL (
        SELECT max(CASE WHEN said.applies_to = '{}' THEN invoice.total ELSE (
            SELECT coalesce(sum(line.amount + line.tax_amount), 0) FROM billing_invoiceline line
            WHERE line.invoice_id = invoice.id AND line.price = ANY(said.applies_to)
        ) END) AS amount
        FROM contracts_creditgrant said
        WHERE said.contract_id = used.contract_id AND said.key = used.grant_key
    ) lies
    WHERE used.grant_key <> '' AND used.amount > lies.amount
    ORDER BY used.id
"""

_GAPS = """
    SELECT series.prefix, series.next_seq - 1, numbers.seq
    FROM billing_numberseries series
    CROSS JOIN LATERAL generate_series(1, series.next_seq - 1) AS numbers (seq)
    WHERE NOT EXISTS (
        SELECT 1 FROM billing_invoice invoice WHERE invoice.series_id = series.id AND invoice.seq = numbers.seq
    )
"""

_MISNUMBERED = """
    SELECT invoice.number, invoice.seq, series.prefix || '-' || lpad(invoice.seq::text, 6, '0'), series.next_seq
    FROM billing_invoice invoice JOIN billing_numberseries series ON series.id = invoice.series_id
    WHERE invoice.seq >= series.next_seq OR invoice.number <> series.prefix || '-' ||
        lpad(invoice.seq::text, greatest(6, length(invoice.seq::text)), '0')
"""

_WRONG_CORRECTION = f"""
    SELECT {NAMED}, line.position, line.entry_key, line.corrects_id, corrected.entry_key
    FROM billing_invoiceline line
    JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    LEFT JOIN billing_invoiceline corrected ON corrected.id = line.corrects_id
    WHERE line.corrects_id IS NOT NULL AND (
        corrected.id IS NULL OR corrected.id >= line.id
        OR (corrected.contract_id, corrected.period_starts_at, corrected.entry_key)
            IS DISTINCT FROM (line.contract_id, line.period_starts_at, line.entry_key)
    )
"""

_FOREIGN_LINES = f"""
    SELECT {NAMED}, line.position, line.contract_id, invoice.contract_id
    FROM billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    WHERE line.contract_id <> invoice.contract_id
"""

_FIGURES = """
    SELECT status, document, currency, count(*), sum(subtotal), sum(total), sum(credited)
    FROM billing_invoice GROUP BY 1, 2, 3 ORDER BY 3, 2, 1
"""


def prove_documents() -> Check:
    check = Check(6, "documents")
    _count(check)
    for document, what, expected, found in stream(_TOTALS):
        check.leak(what, {"document": document}, _number(expected), _number(found))
    for document, code, base, amount, said_base, said_amount in stream(_TAX):
        where = {"document": document, "rate": code}
        expected, found = _tax(base, amount), _tax(said_base, said_amount)
        check.leak("tax is not the sum of the lines' tax", where, expected, found)
    for document, position, expected, found in stream(_BY_RATE):
        where = {"document": document, "line": position}
        check.leak("a line's tax is not the sum of its rates", where, quantity_text(expected), quantity_text(found))
    for document, form, total in stream(_FORM):
        expected, found = "a credit note below zero, an invoice else", f"{form} of {quantity_text(total)}"
        check.leak("a document of the wrong kind", {"document": document}, expected, found)
    for document, position, ours, theirs in stream(_FOREIGN_LINES):
        check.leak("a line of another contract", {"document": document, "line": position}, theirs, ours)
    for document, position, key, corrects, corrected in stream(_WRONG_CORRECTION):
        where = {"document": document, "line": position}
        found = f"line {corrects} of {corrected}" if corrected else f"line {corrects}, which is not there"
        check.leak("a correction does not name an earlier line of its key", where, key, found)
    _prove_credit(check)
    _prove_numbers(check)
    return check


def _prove_credit(check: Check) -> None:
    for note, total, used in stream(_OVERSPENT):
        check.leak("a credit note is overspent", {"document": note}, quantity_text(total), quantity_text(used))
    for contract, grant, granted, used in stream(_OVERDRAWN):
        where = {"contract": contract, "grant": grant}
        check.leak("a grant is overdrawn", where, quantity_text(granted), quantity_text(used))
    for credit, invoice, amount, what in stream(_MISSPENT):
        check.leak(what, {"credit": credit, "on": invoice}, 0, quantity_text(amount))
    for credit, invoice, amount in stream(_RETURNED_FROM_A_STANDING):
        where = {"credit": credit, "on": invoice}
        check.leak("credit returned from an invoice that stands", where, quantity_text(amount), 0)
    for contract, grant, invoice, day in stream(_OUT_OF_ITS_DAYS):
        where = {"contract": contract, "grant": grant, "on": invoice}
        check.leak("a grant is spent on a day it may not be", where, "a day of the grant", day.isoformat())
    for contract, grant, invoice, amount, lies in stream(_OUT_OF_ITS_PRICES):
        where = {"contract": contract, "grant": grant, "on": invoice}
        what = "a grant pays more than lies on its prices"
        check.leak(what, where, f"at most {quantity_text(lies)}", quantity_text(amount))


def _prove_numbers(check: Check) -> None:
    for prefix, last, seq in stream(_GAPS):
        check.leak("a number is missing", {"series": prefix, "number": seq}, f"1 to {last} without a gap", "none")
    for number, seq, expected, next_seq in stream(_MISNUMBERED):
        what = "a number the series never gave" if seq >= next_seq else "a document shows another number than its own"
        check.leak(what, {"document": number}, f"below {next_seq}" if seq >= next_seq else expected, number)


def _count(check: Check) -> None:
    sums: Callable[[], dict[str, Decimal]] = lambda: defaultdict(Decimal)  # noqa: E731
    issued: dict[str, dict[str, Decimal]] = defaultdict(sums)
    documents: dict[str, int] = defaultdict(int)
    for status, document, currency, n, subtotal, total, credited in rows(_FIGURES):
        documents[f"{status} {document}"] += n
        if status == "issued":
            amounts = {"lines": subtotal, "tax": total - subtotal, "total": total, "credits": credited}
            for name, amount in amounts.items():
                issued[currency][name] += amount
    check.figures = {
        "documents": dict(documents),
        "issued": {
            currency: {name: money(amount, currency) for name, amount in sorted(found.items())}
            for currency, found in issued.items()
        },
    }
    count = sum(documents.values())
    totals = "; ".join(
        f"{money(found['total'], currency)} {currency} = {money(found['lines'], currency)} lines"
        f" + {money(found['tax'], currency)} tax" + _paid_by_credit(found["credits"], currency)
        for currency, found in issued.items()
    )
    check.sentence = f"{count:,} documents, issued: {totals or 'none'}"


def _paid_by_credit(credits: Decimal, currency: str) -> str:
    return f", {money(credits, currency)} paid by credit" if credits else ""


def _number(text: str | None) -> str:
    return "none" if text is None else quantity_text(Decimal(text))


def _tax(base: Any, amount: Any) -> str:
    """Documents once gave tax back under no code, on a base of its own."""
    if amount is None:
        return "none"
    return quantity_text(amount) if base is None else f"{quantity_text(amount)} on {quantity_text(base)}"
