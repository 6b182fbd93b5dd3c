"""Leaks as somebody with the owner's rights could make them, triggers off: each is found by its check, and named."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.revops.reconciliation.conftest import NOW, Plant, check_books

pytestmark = pytest.mark.sql

ACME = "(SELECT id FROM contracts_customer WHERE key = 'acme')"
TOKENS = "(SELECT id FROM catalog_meter WHERE key = 'tokens')"
EVENT = "source_id = (SELECT id FROM billing_source WHERE key = 'gw') AND event_id"
BUCKET = f"customer_id = {ACME} AND meter_id = {TOKENS} AND starts_at = '2026-01-20T10:00:00Z'"
USERS = f"customer_id = {ACME} AND meter_id = (SELECT id FROM catalog_meter WHERE key = 'users') AND starts_at"
BOB = "81b637d8-fcd2-c6da-6359-e6963113a117"  # the first 16 bytes of the SHA-256 of bob
NOBODY = "00000000-0000-0000-0000-000000000000"
QUARTER = {"customer": "acme", "meter": "tokens", "quarter": "2026-01-20T10:00:00+00:00"}


def document(number: str) -> str:
    return f"(SELECT id FROM billing_invoice WHERE number = '{number}')"


def line(number: str, price: str, kind: str = "usage") -> str:
    return f"invoice_id = {document(number)} AND price = '{price}' AND kind = '{kind}'"


@dataclass(frozen=True)
class Planted:
    """What is done to a table (`before` to it: what the database would still refuse), and the leak it must be."""

    table: str
    sql: str
    check: int
    what: str
    where: dict[str, Any]
    expected: str | None = None
    found: str | None = None
    before: tuple[str, ...] = field(default=())


PLANTED = {
    "a bucket row changed": Planted(
        "billing_bucket",
        f"UPDATE billing_bucket SET total = total + 1 WHERE {BUCKET} AND \"group\" LIKE '%m1%'",
        3,
        "a bucket is not what its events come to",
        {**QUARTER, "group": '["m1"]'},
        "total 3050",
        "total 3051",
    ),
    "a bucket deleted": Planted(
        "billing_bucket",
        f"DELETE FROM billing_bucket WHERE {BUCKET} AND \"group\" LIKE '%m2%'",
        3,
        "a bucket is not what its events come to",
        {**QUARTER, "group": '["m2"]'},
        "n 1, total 4700",
        "n 0, total none",
    ),
    "a bucket made up": Planted(
        "billing_bucket",
        "INSERT INTO billing_bucket SELECT customer_id, meter_id, starts_at + interval '1 hour', \"group\", n, total,"
        " maximum, minimum, latest, latest_at, latest_clock, weighted, clock"
        f" FROM billing_bucket WHERE {BUCKET} AND \"group\" LIKE '%m2%'",
        3,
        "a bucket is not what its events come to",
        {**QUARTER, "quarter": "2026-01-20T11:00:00+00:00", "group": '["m2"]'},
        "n 0, total none",
        "n 1, total 4700",
    ),
    "a maximum changed": Planted(
        "billing_bucket",
        f"UPDATE billing_bucket SET maximum = 13 WHERE customer_id = {ACME} AND maximum = 12",
        3,
        "a bucket is not what its events come to",
        {"customer": "acme", "meter": "storage", "quarter": "2026-01-05T00:00:00+00:00"},
        "maximum 12",
        "maximum 13",
    ),
    "a distinct value deleted": Planted(
        "billing_distinctvalue",
        f"DELETE FROM billing_distinctvalue WHERE {USERS} = '2026-01-07T00:00:00Z'",
        3,
        "a bucket is not what its events come to",
        {"customer": "acme", "meter": "users", "quarter": "2026-01-07T00:00:00+00:00"},
        f"values 1 (only here {BOB})",
        "values 0",
    ),
    "a distinct value deleted, by the bill": Planted(
        "billing_distinctvalue",
        f"DELETE FROM billing_distinctvalue WHERE {USERS} = '2026-01-07T00:00:00Z'",
        4,
        "the quantity billed is not what was measured",
        {"customer": "acme", "contract": "C-acme", "period_start": "2026-01-01", "meter": "users"},
        "1",
        "2",  # ann and bob
    ),
    "a distinct value made up": Planted(
        "billing_distinctvalue",
        f"INSERT INTO billing_distinctvalue SELECT customer_id, meter_id, starts_at, \"group\", '{NOBODY}', clock"
        f" FROM billing_distinctvalue WHERE {USERS} = '2026-01-07T00:00:00Z'",
        3,
        "a bucket is not what its events come to",
        {"customer": "acme", "meter": "users", "quarter": "2026-01-07T00:00:00+00:00"},
        "values 1",
        f"values 2 (only here {NOBODY})",
    ),
    "a distinct value exchanged": Planted(
        "billing_distinctvalue",
        f"UPDATE billing_distinctvalue SET digest = '{NOBODY}' WHERE {USERS} = '2026-01-07T00:00:00Z'",
        3,
        "a bucket is not what its events come to",
        {"customer": "acme", "meter": "users", "quarter": "2026-01-07T00:00:00+00:00"},
        f"values 1 (only here {BOB})",
        f"values 1 (only here {NOBODY})",
    ),
    "a distinct value of no bucket": Planted(
        "billing_distinctvalue",
        "INSERT INTO billing_distinctvalue SELECT customer_id, meter_id, starts_at + interval '5 months', \"group\","
        f" digest, clock FROM billing_distinctvalue WHERE {USERS} = '2026-01-07T00:00:00Z'",
        3,
        "a bucket is not what its events come to",
        {"customer": "acme", "meter": "users", "quarter": "2026-06-07T00:00:00+00:00"},
        "values 0",
        f"values 1 (only here {BOB})",
    ),
    "usage changed under a bill": Planted(
        "billing_bucket",
        f"UPDATE billing_bucket SET total = total + 1 WHERE {BUCKET} AND \"group\" LIKE '%m1%'",
        4,
        "the quantity billed is not what was measured",
        {"customer": "acme", "contract": "C-acme", "period_start": "2026-01-01", "meter": "tokens"},
        "8351",
        "8350",
    ),
    "an event slipped in behind the register": Planted(
        "billing_event",
        "INSERT INTO billing_event SELECT customer_id, occurred_at, gen_random_uuid(), clock, source_id, 'slipped',"
        f" type, subject, data, meters, receipt, received_at FROM billing_event WHERE {EVENT} = 'a1'",
        1,
        "an event behind the register's back",
        {"source": "gw", "id": "slipped"},
        "a register entry",
        "none",
    ),
    "an event more than a receipt accepted": Planted(
        "billing_event",
        "INSERT INTO billing_event SELECT customer_id, occurred_at, gen_random_uuid(), clock, source_id, 'slipped',"
        f" type, subject, data, meters, receipt, received_at FROM billing_event WHERE {EVENT} = 'a6'",
        1,
        "events stored are not those accepted",
        {"source": "gw"},
        "2",
        "3",
    ),
    "an event deleted": Planted(
        "billing_event",
        f"DELETE FROM billing_event WHERE {EVENT} = 'a1'",
        1,
        "a register entry without its event",
        {"time": "2026-01-20T10:00:00+00:00"},
        "an event",
        "none",
    ),
    "an event deleted, by its bucket": Planted(
        "billing_event",
        f"DELETE FROM billing_event WHERE {EVENT} = 'a1'",
        3,
        "a bucket is not what its events come to",
        {**QUARTER, "group": '["m1"]'},
        "n 1, total 50",
        "n 2, total 3050",
    ),
    "an event's data changed": Planted(
        "billing_event",
        f"UPDATE billing_event SET data = replace(data, '3000', '9000') WHERE {EVENT} = 'a1'",
        3,
        "a bucket is not what its events come to",
        {**QUARTER, "group": '["m1"]'},
        "total 9050",
        "total 3050",
    ),
    "an event moved in time": Planted(
        "billing_event",
        f"UPDATE billing_event SET occurred_at = occurred_at + interval '1 minute' WHERE {EVENT} = 'a1'",
        1,
        "an event behind the register's back",
        {"source": "gw", "id": "a1", "time": "2026-01-20T10:01:00+00:00"},
    ),
    "a register entry deleted": Planted(
        "billing_register",
        f"DELETE FROM billing_register WHERE key = (SELECT key FROM billing_event WHERE {EVENT} = 'a1')",
        1,
        "an event behind the register's back",
        {"source": "gw", "id": "a1", "time": "2026-01-20T10:00:00+00:00"},
    ),
    "a correction removed": Planted(
        "billing_correction",
        "DELETE FROM billing_correction WHERE event_id = 'a2'",
        3,
        "a bucket is not what its events come to",
        {**QUARTER, "group": '["m2"]'},
        "total 4000",
        "total 4700",
    ),
    "a correction of nothing": Planted(
        "billing_event",
        f"DELETE FROM billing_event WHERE {EVENT} = 'a2'",
        3,
        "a correction (amend) of no event",
        {"source": "gw", "id": "a2"},
    ),
    "a receipt changed": Planted(
        "billing_receipt",
        "UPDATE billing_receipt SET received = 21, accepted = 14 WHERE received = 20",
        1,
        "a receipt is not the sum of its sources",
        {},
        "20 = 13 accepted + 1 duplicates + 6 quarantined",
        "21 = 14 accepted + 1 duplicates + 6 quarantined",
    ),
    "a source's part of a receipt changed": Planted(
        "billing_receiptcount",
        "UPDATE billing_receiptcount SET accepted = accepted - 1, duplicates = duplicates + 1 WHERE received = 12",
        1,
        "events stored are not those accepted",
        {"source": "gw"},
        "4",
        "5",
    ),
    "a part of a receipt that does not add up": Planted(
        "billing_receiptcount",
        "UPDATE billing_receiptcount SET received = 13 WHERE received = 12",
        1,
        "a source's part of a receipt does not add up",
        {"source": "gw"},
        "12",
        "13",
        before=("ALTER TABLE billing_receiptcount DROP CONSTRAINT receipt_count_adds_up",),
    ),
    "a sighting deleted": Planted(
        "quarantine_sighting",
        "DELETE FROM quarantine_sighting WHERE id = (SELECT max(sighting.id) FROM quarantine_sighting sighting"
        " JOIN quarantine_heldrecord record ON record.id = record_id WHERE event_id = 'x1')",
        1,
        "sightings in quarantine are not those counted",
        {"source": "gw"},
        "6",
        "5",
    ),
    "the only sighting of a record deleted": Planted(
        "quarantine_sighting",
        "DELETE FROM quarantine_sighting USING quarantine_heldrecord record"
        " WHERE record.id = record_id AND event_id = 'x2'",
        2,
        "a held record without a sighting",
        {"source": "gw", "id": "x2", "reason": "unknown_customer"},
        "1 or more",
        "0",
    ),
    "a held record that went away": Planted(
        "quarantine_heldrecord",
        "DELETE FROM quarantine_heldrecord WHERE event_id = 'x2'",
        2,
        "a sighting without its record",
        {},
        found="none",
    ),
    "a held record in an unknown state": Planted(
        "quarantine_heldrecord",
        "UPDATE quarantine_heldrecord SET status = 'lost', resolved_at = now() WHERE event_id = 'x2'",
        2,
        "a held record in a false state",
        {"source": "gw", "id": "x2"},
        found="lost",
    ),
    "a held record called superseded": Planted(
        "quarantine_heldrecord",
        "UPDATE quarantine_heldrecord SET status = 'superseded', resolved_at = now() WHERE event_id = 'x2'",
        2,
        "a superseded record whose event is not there",
        {"source": "gw", "id": "x2"},
        "a register entry",
        "none",
    ),
    "a line's amount altered": Planted(
        "billing_invoiceline",
        f"UPDATE billing_invoiceline SET amount = amount - 1 WHERE {line('INV-000004', 'tokens')}",
        6,
        "the subtotal is not the sum of the lines",
        {"document": "INV-000004"},
        "133.19",
        "134.19",
    ),
    "a line's amount altered, by what is due": Planted(
        "billing_invoiceline",
        f"UPDATE billing_invoiceline SET amount = amount - 1 WHERE {line('INV-000004', 'tokens')}",
        5,
        "due is not billed",
        {"contract": "C-acme", "period_start": "2026-01-01", "key": "pro/pro@1/tokens/2026-01-01"},
        "14.70",  # 8350 - 1000 at 0.002
        "13.70",
    ),
    "a line deleted": Planted(
        "billing_invoiceline",
        f"DELETE FROM billing_invoiceline WHERE {line('INV-000004', 'storage')}",
        6,
        "the subtotal is not the sum of the lines",
        {"document": "INV-000004"},
        "128.19",
        "134.19",
    ),
    "a line deleted, by what is due": Planted(
        "billing_invoiceline",
        f"DELETE FROM billing_invoiceline WHERE {line('INV-000004', 'storage')}",
        5,
        "due is not billed",
        {"contract": "C-acme", "period_start": "2026-01-01", "key": "pro/pro@1/storage/2026-01-01"},
        "6.00",
        "0.00",
    ),
    "a line of free use deleted": Planted(
        "billing_invoiceline",
        f"DELETE FROM billing_invoiceline WHERE {line('INV-000005', 'tokens')}",
        6,
        "a line is missing or was added",
        {"document": "INV-000005"},
        "1",
        "0",
    ),
    "a line of free use deleted, by its quantity": Planted(
        "billing_invoiceline",
        f"DELETE FROM billing_invoiceline WHERE {line('INV-000005', 'tokens')}",
        4,
        "the quantity billed is not what was measured",
        {"customer": "beta", "contract": "C-beta", "period_start": "2026-01-01", "meter": "tokens"},
        "5000",
        "0",
    ),
    "a line added": Planted(
        "billing_invoiceline",
        "INSERT INTO billing_invoiceline (invoice_id, position, kind, contract_id, period_starts_at, entry_key,"
        " entry_kind, tax_key, price, meter, term, contract_line, description, unit, quantity, amount, tax_category,"
        " tax_behavior, taxes, tax_percent, tax_amount, service_starts_at, service_ends_at, service_start, service_end,"
        " steps, extent, selection)"
        " SELECT invoice_id, 99, 'one_time', contract_id, period_starts_at, 'term/made-up', 'one_time', 'term/made-up',"
        " '', '', 'made-up', '', 'Made up', '', 1, 5, '', '', '[]', 0, 0, service_starts_at, service_ends_at,"
        " service_start, service_end, '[]', '[]', '{}'"
        f" FROM billing_invoiceline WHERE {line('INV-000004', 'storage')}",
        6,
        "a line is missing or was added",
        {"document": "INV-000004"},
        "99",
        "8",
    ),
    "a line's quantity altered": Planted(
        "billing_invoiceline",
        f"UPDATE billing_invoiceline SET quantity = quantity + 10 WHERE {line('INV-000011', 'tokens', 'adjustment')}"
        " AND entry_kind = 'usage'",
        4,
        "the quantity billed is not what was measured",
        {"customer": "acme", "contract": "C-acme", "period_start": "2026-01-01", "meter": "tokens"},
        "8350",
        "8360",
    ),
    "a line's quantity altered, by its events": Planted(
        "billing_invoiceline",
        f"UPDATE billing_invoiceline SET quantity = quantity + 10 WHERE {line('INV-000011', 'tokens', 'adjustment')}"
        " AND entry_kind = 'usage'",
        6,
        "the events behind a line are not its quantity",
        {"document": "INV-000011", "contract": "C-acme", "meter": "tokens", "key": "pro/pro@1/tokens/2026-01-01"},
        "810",
        "800",  # 600 late, 500 voided, 700 more by the amendment
    ),
    "a line's clock altered": Planted(
        "billing_invoiceline",
        f"UPDATE billing_invoiceline SET clock_to = clock_to - 1 WHERE {line('INV-000004', 'requests')}",
        6,
        "the events behind a line are not its quantity",
        {"document": "INV-000004", "contract": "C-acme", "meter": "requests"},
        "4",
        "3",  # x3 came in a batch of its own
    ),
    "an event backdated under a bill": Planted(
        "billing_event",
        "INSERT INTO billing_event SELECT customer_id, occurred_at, gen_random_uuid(), clock, source_id, 'slipped',"
        f" type, subject, data, meters, receipt, received_at FROM billing_event WHERE {EVENT} = 'a1'",
        6,
        "the events behind a line are not its quantity",
        {"document": "INV-000004", "meter": "tokens"},
        "7550",
        "10550",
    ),
    "a line's tax altered": Planted(
        "billing_invoiceline",
        f"UPDATE billing_invoiceline SET tax_amount = tax_amount + 1 WHERE {line('INV-000004', 'storage')}",
        6,
        "a line's tax is not the sum of its rates",
        {"document": "INV-000004"},
        "1.14",  # 19 % of 6.00
        "2.14",
    ),
    "a line's tax altered, with its rate": Planted(
        "billing_invoiceline",
        "UPDATE billing_invoiceline SET tax_amount = tax_amount + 1, taxes = jsonb_set(taxes, '{0,amount}', '\"2.14\"')"
        f" WHERE {line('INV-000004', 'storage')}",
        5,
        "tax due is not billed",
        {"contract": "C-acme", "period_start": "2026-01-01", "key": "pro/pro@1/storage/2026-01-01", "rate": "de-vat"},
        "1.14 on 6.00",
        "2.14 on 6.00",
    ),
    "a line's tax moved to another rate": Planted(
        "billing_invoiceline",
        "UPDATE billing_invoiceline SET taxes = jsonb_set(taxes, '{0,code}', '\"at-vat\"')"
        f" WHERE {line('INV-000004', 'storage')}",
        6,
        "tax is not the sum of the lines' tax",
        {"document": "INV-000004", "rate": "at-vat"},
        "1.14 on 6",
        "none",
    ),
    "the rate of a closed period altered": Planted(
        "billing_periodclose",
        "UPDATE billing_periodclose SET tax = jsonb_set(tax, '{rates,0,percent}', '\"20\"')"
        f" WHERE customer_id = {ACME} AND starts_at = '2026-01-01T00:00:00Z'",
        5,
        "tax due is not billed",
        {
            "contract": "C-acme",
            "period_start": "2026-01-01",
            "key": "pro/pro@1/storage/2026-01-01",
            "rate": "de-vat",
            "percent": "20",
        },
        "1.20 on 6.00",
        "0.00 on 0.00",  # at 20 %, a rate that nothing was billed at
    ),
    "a document's tax altered": Planted(
        "billing_invoice",
        "UPDATE billing_invoice SET tax = jsonb_set(tax, '{0,amount}', '\"1.00\"') WHERE number = 'INV-000004'",
        6,
        "tax is not the sum of the lines' tax",
        {"document": "INV-000004", "rate": "de-vat"},
        "25.5 on 134.19",  # of the lines: 2.24, 0.08, 1.14, 2.85, 0.38 and 18.81
        "1 on 134.19",
    ),
    "a total altered": Planted(
        "billing_invoice",
        "UPDATE billing_invoice SET total = total + 1 WHERE number = 'INV-000009'",
        6,
        "the total is not subtotal plus tax",
        {"document": "INV-000009"},
        "99",
        "100",
    ),
    "an amount due altered": Planted(
        "billing_invoice",
        "UPDATE billing_invoice SET amount_due = 20 WHERE number = 'INV-000014'",
        6,
        "the amount due is not total minus credit",
        {"document": "INV-000014"},
        "0",
        "20",
    ),
    "a number skipped": Planted(
        "billing_numberseries",
        "UPDATE billing_numberseries SET next_seq = next_seq + 1 WHERE prefix = 'INV'",
        6,
        "a number is missing",
        {"series": "INV", "number": 15},
        "1 to 15 without a gap",
        "none",
    ),
    "a document that shows another number": Planted(
        "billing_invoice",
        "UPDATE billing_invoice SET number = 'INV-000099' WHERE number = 'INV-000009'",
        6,
        "a document shows another number than its own",
        {"document": "INV-000099"},
        "INV-000009",
        "INV-000099",
    ),
    "a credit note overspent": Planted(
        "billing_credituse",
        "UPDATE billing_credituse SET amount = 60 WHERE credit_note_id IS NOT NULL",
        6,
        "a credit note is overspent",
        {"document": "CN-000001"},
        "49.5",
        "60",
    ),
    "credit that was never drawn": Planted(
        "billing_credituse",
        "DELETE FROM billing_credituse WHERE credit_note_id IS NOT NULL",
        6,
        "the credit drawn is not what was used",
        {"document": "INV-000014"},
        "0",
        "20",
    ),
    "a grant overdrawn": Planted(
        "billing_credituse",
        "UPDATE billing_credituse SET amount = 51.01 WHERE grant_key = 'pack' AND amount = 51",
        6,
        "a grant is overdrawn",
        {"contract": "C-gamma", "grant": "pack"},
        "150",
        "150.01",
    ),
    "a grant made smaller than is spent of it": Planted(
        "contracts_creditgrant",
        "UPDATE contracts_creditgrant SET amount = 149 WHERE key = 'pack'",
        6,
        "a grant is overdrawn",
        {"contract": "C-gamma", "grant": "pack"},
        "149",
        "150",
    ),
    "credit of a grant that never was": Planted(
        "billing_credituse",
        "UPDATE billing_credituse SET grant_key = 'gone' WHERE grant_key = 'for-tokens'",
        6,
        "a grant is overdrawn",
        {"contract": "C-gamma", "grant": "gone"},
        "0",
        "2",
    ),
    "a grant spent after its last day": Planted(
        "billing_credituse",
        "UPDATE billing_credituse SET used_at = '2026-03-01' WHERE grant_key = 'pack' AND amount = 51",
        6,
        "a grant is spent on a day it may not be",
        {"contract": "C-gamma", "grant": "pack", "on": "INV-000006"},
        "a day of the grant",
        "2026-03-01",
    ),
    "a grant spent before it begins": Planted(
        "contracts_creditgrant",
        "UPDATE contracts_creditgrant SET starts_on = '2026-01-02' WHERE key = 'pack'",
        6,
        "a grant is spent on a day it may not be",
        {"contract": "C-gamma", "grant": "pack", "on": "INV-000002"},
        "a day of the grant",
        "2026-01-01",
    ),
    "a grant spent on other prices": Planted(
        "contracts_creditgrant",
        "UPDATE contracts_creditgrant SET applies_to = '{requests}' WHERE key = 'for-tokens'",
        6,
        "a grant pays more than lies on its prices",
        {"contract": "C-gamma", "grant": "for-tokens"},
        "at most 0.1",
        "2",
    ),
    "a grant of another contract spent": Planted(
        "billing_credituse",
        "UPDATE billing_credituse SET contract_id = (SELECT id FROM contracts_contract WHERE number = 'C-acme')"
        " WHERE grant_key = 'for-tokens'",
        6,
        "credit of another contract",
        {"credit": "for-tokens"},
    ),
    "credit returned though its invoice stands": Planted(
        "billing_credituse",
        "UPDATE billing_credituse SET returned_at = now() WHERE grant_key = 'for-tokens'",
        6,
        "credit returned from an invoice that stands",
        {"credit": "for-tokens"},
        "2",
        "0",
    ),
    "credit not returned by a void": Planted(
        "billing_invoice",
        f"UPDATE billing_invoice SET status = 'voided' WHERE id = {document('INV-000002')}",
        6,
        "credit not returned by a void",
        {"credit": "pack", "on": "INV-000002"},
    ),
    "a correction of another line": Planted(
        "billing_invoiceline",
        f"UPDATE billing_invoiceline SET corrects_id = (SELECT id FROM billing_invoiceline"
        f" WHERE {line('INV-000004', 'storage')})"
        f" WHERE {line('INV-000011', 'tokens', 'adjustment')} AND entry_kind = 'usage'",
        6,
        "a correction does not name an earlier line of its key",
        {"document": "INV-000011"},
        "pro/pro@1/tokens/2026-01-01",
    ),
    "the close of a billed period deleted": Planted(
        "billing_periodclose",
        f"DELETE FROM billing_periodclose WHERE invoice_id = {document('INV-000013')}",
        5,
        "a document closes a period that is not closed",
        {"document": "INV-000013", "contract": "C-gamma", "period_start": "2026-03-01"},
    ),
    "the close of a period without a document deleted": Planted(
        "billing_periodclose",
        "DELETE FROM billing_periodclose closed USING contracts_contract contract WHERE contract.id = contract_id"
        " AND contract.number = 'C-beta' AND closed.starts_at = '2026-02-01T00:00:00Z'",
        5,
        "a period was never closed",
        {"contract": "C-beta", "before": "2026-03-01"},
        "2026-02-01T00:00:00+00:00",
        "2026-03-01T00:00:00+00:00",
    ),
    "a contract cut off under a bill": Planted(
        "contracts_contract",
        "UPDATE contracts_contract SET ends_on = '2026-04-01' WHERE number = 'C-gamma'",
        5,
        "billed for a time that no period covers",
        {"contract": "C-gamma", "period_start": "2026-04-01", "key": "pro/pro@1/base/2026-04-01"},
        "0.00",
        "99.00",
    ),
    "a void that did not open its period": Planted(
        "billing_invoice",
        "UPDATE billing_invoice SET status = 'voided' WHERE number = 'INV-000013'",
        5,
        "a period is closed by a voided document",
        {"document": "INV-000013", "contract": "C-gamma", "period_start": "2026-03-01"},
    ),
    "a price of a published version altered": Planted(
        "catalog_price",
        "UPDATE catalog_price SET unit_amount = 0.60 WHERE key = 'storage'",
        5,
        "due is not billed",
        {"contract": "C-acme", "period_start": "2026-01-01", "key": "pro/pro@1/storage/2026-01-01"},
        "7.20",
        "6.00",
    ),
    "a contract without terms": Planted(
        "contracts_contractline",
        "UPDATE contracts_contractline SET superseded_at = now() FROM contracts_contract contract"
        " WHERE contract.id = contract_id AND number = 'C-beta'",
        5,
        "a contract cannot be rated",
        {"contract": "C-beta"},
    ),
    "use priced by two contracts": Planted(
        "contracts_contract",
        f"UPDATE contracts_contract SET customer_id = {ACME} WHERE number = 'C-beta'",
        4,
        "a time is priced by two contracts",
        {"customer": "acme", "meter": "tokens", "from": "2026-01-01T00:00:00+00:00"},
        "one contract",
        "C-acme and C-beta",
    ),
    "a usage clock deleted": Planted(
        "billing_usageclock",
        f"DELETE FROM billing_usageclock WHERE customer_id = {ACME}",
        4,
        "use of a customer without a usage clock",
        {},
        before=(f"UPDATE contracts_contract SET status = 'draft' WHERE customer_id = {ACME}",),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_found_and_named(plant: Plant, name: str) -> None:
    leak = PLANTED[name]
    plant(leak.table, leak.sql, *leak.before)
    books = check_books()
    assert books.failed
    assert not books.check(leak.check)["ok"]
    named = [
        one
        for one in books.leaks(leak.check)
        if one["what"] == leak.what and leak.where.items() <= one["where"].items()
    ]
    assert len(named) == 1, books.document["leaks"]
    if leak.expected is not None:
        assert named[0]["expected"] == leak.expected
    if leak.found is not None:
        assert named[0]["found"] == leak.found


def test_a_leak_is_a_line_of_the_text_and_the_command_fails(plant: Plant) -> None:
    plant("billing_numberseries", "UPDATE billing_numberseries SET next_seq = next_seq + 1 WHERE prefix = 'INV'")
    out = io.StringIO()
    with pytest.raises(CommandError, match="The books leak: 1 time") as failure:
        call_command("check_books", "--at", NOW, stdout=out)
    assert failure.value.returncode == 1
    lines = out.getvalue().splitlines()
    assert [line.rsplit("  ", 1)[1] for line in lines[:6]] == ["ok", "ok", "ok", "ok", "ok", "LEAK"]
    leak = "leak in 6: a number is missing: series INV, number 15; expected 1 to 15 without a gap, found none"
    assert lines[6] == leak


def test_a_fixed_sample_of_lines_can_be_proved(plant: Plant) -> None:
    clock = f"UPDATE billing_invoiceline SET clock_to = clock_to - 1 WHERE {line('INV-000004', 'requests')}"
    plant("billing_invoiceline", clock)
    books = check_books("--lineage", "sample")
    # fewer lines than a sample holds
    assert books.check(6)["figures"]["lineage"]["mode"] == "sample"
    assert [leak["where"]["document"] for leak in books.leaks(6)] == ["INV-000004"]


def test_a_price_change_the_contract_knows_of_is_pending(plant: Plant) -> None:
    plant("catalog_price", "UPDATE catalog_price SET unit_amount = 0.60 WHERE key = 'storage'")
    plant("contracts_contract", "UPDATE contracts_contract SET revision = revision + 1 WHERE number = 'C-acme'")
    books = check_books()
    assert books.leaks(5) == []
    waits = [one for one in books.document["pending"] if one["contract"] == "C-acme"]
    assert [(one["period_start"], one["amount"], one["why"]) for one in waits] == [
        ("2026-01-01", "1.20", "its terms were amended since it was closed")  # 12 at 0.10 more
    ]


def test_a_sighting_without_a_receipt_is_an_answer_never_confirmed(plant: Plant) -> None:
    """The quarantine commits first: when the batch then fails, its sender got no answer and repeats it."""
    plant(
        "quarantine_sighting",
        "INSERT INTO quarantine_sighting (record_id, receipt, index, seen_at)"
        " SELECT id, gen_random_uuid(), 0, now() FROM quarantine_heldrecord WHERE event_id = 'x2'",
    )
    books = check_books()
    assert not books.failed
    assert [one["what"] for one in books.document["findings"]] == [
        "answers never confirmed",
        "unpriced use",
        "unpriced use",
    ]


def test_many_leaks_of_a_kind_are_counted_and_the_first_are_listed(plant: Plant) -> None:
    plant(
        "billing_register",
        "INSERT INTO billing_register SELECT gen_random_uuid(), gen_random_uuid(), 1, now()"
        " FROM generate_series(1, 250)",
        rows=250,
    )
    books = check_books()
    assert len(books.leaks(1)) == 100
    assert books.check(1)["figures"]["not_listed"] == 150
