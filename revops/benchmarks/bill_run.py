"""How fast a bill run closes periods, for some customers and for ten times as many, and that it bills each once."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from django.db import connection, transaction
from psycopg import sql

from billing.invoicing import bill_run
from billing.metering.ingestion import ingest
from billing.models import Invoice, InvoiceLine, PeriodClose
from catalog.models import Seller
from contracts.checking import Surroundings
from contracts.drafts import LineDraft, terms_draft
from contracts.lifecycle import Drafts
from contracts.models import Contract, Customer
from revops.benchmarks.company import plan_of, source
from revops.benchmarks.sample import Load
from revops.serving import current_names, environment_for
from revops.simulation.databases import throw_away_databases

SIZE = 10_000  # customers
FEWER = 10  # the first run has this part of them
LINES = 3  # a base fee, and two meters
EVENTS = 4  # for each customer
BATCH = 4000

Say = Callable[[str], None]


class Unbilled(Exception):
    """A customer was left out, or billed twice."""


def measure(size: int, at: dt.datetime, say: Say, progress: Callable[[int], None]) -> dict[str, Any]:
    """Close a month of three lines for `size / FEWER` customers, then for `size`."""
    starts_at = (at - dt.timedelta(days=70)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    shown: dict[str, Any] = {"bench": "bill_run", "lines": LINES}
    with throw_away_databases(say):
        for name, customers in (("few", max(size // FEWER, 1)), ("many", size)):
            say(f"Signing {customers:,} customers, with {EVENTS} events each")
            sign(name, customers, starts_at, progress)
            say(f"Billing {customers:,} customers")
            shown[name] = bill(name, customers, starts_at)
            progress(customers)
        say("Copying the same rows")
        shown["copied_per_second"] = copy_rate(environment_for(current_names())["DATABASE_OWNER_URL"])
    shown["ratio"] = round(shown["many"]["invoices_per_second"] / shown["copied_per_second"], 2)
    shown["cost_ratio"] = round(shown["few"]["invoices_per_second"] / shown["many"]["invoices_per_second"], 2)
    return shown


def sign(prefix: str, customers: int, starts_at: dt.datetime, progress: Callable[[int], None]) -> None:
    """Customers with an approved contract each and a month of use, and the first month's fee invoiced."""
    seller, _ = Seller.objects.get_or_create(key="bench", defaults={"name": "Bench Inc"})
    source()
    version = plan_of(starts_at).versions.get()
    terms = terms_draft([LineDraft(version, starts_on=starts_at.date())])
    with transaction.atomic():
        rows = Customer.objects.bulk_create(
            [Customer(key=f"{prefix}-{number:05d}", name=f"{prefix}-{number:05d}") for number in range(customers)]
        )
        drafts = Drafts(Surroundings(), starts_at)
        drafts.surroundings.read(row.pk for row in rows)
        for customer in rows:
            contract = Contract(
                number=customer.key,
                customer=customer,
                seller=seller,
                currency="USD",
                starts_on=starts_at.date(),
                anchor="calendar",
            )
            drafts.approve(contract, terms, drafts.draft(contract, terms))
        drafts.write()
    load = Load(customers * EVENTS, customers, starts_at, dt.timedelta(days=27), prefix)
    for start in range(0, load.size, BATCH):
        batch = [msgspec.json.encode(load.record(number)) for number in range(start, min(start + BATCH, load.size))]
        ingest(batch, at=starts_at + dt.timedelta(days=28), door="bench")
        progress(0)
    bill_run.run(starts_at, customers=keys(prefix))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def keys(prefix: str) -> list[str]:
    return list(Customer.objects.filter(key__startswith=f"{prefix}-").values_list("key", flat=True))


def bill(prefix: str, customers: int, starts_at: dt.datetime) -> dict[str, Any]:
    """Close the month of these customers. Raises Unbilled where not each has one invoice of three lines for it."""
    named = keys(prefix)
    due_at = (starts_at + dt.timedelta(days=32)).replace(day=1) + dt.timedelta(days=1)
    begun, cpu = time.monotonic(), time.process_time()
    result = bill_run.run(due_at, customers=named)
    seconds, busy = time.monotonic() - begun, time.process_time() - cpu
    made = Invoice.objects.filter(customer__key__startswith=f"{prefix}-", purpose="close", status="issued")
    lines = InvoiceLine.objects.filter(invoice__in=made)
    closes = PeriodClose.objects.filter(invoice__in=made)
    found = (made.count(), lines.count(), closes.count(), len(result.failures))
    if found != (customers, LINES * customers, customers, 0):
        raise Unbilled(f"{customers:,} customers: {found[0]:,} invoices, {found[1]:,} lines, {found[3]} failures.")
    return {
        "customers": customers,
        "invoices_per_second": round(customers / seconds),
        "seconds": round(seconds, 2),
        "client_cpu_seconds": round(busy, 2),
    }


def copy_rate(owner: str) -> int:
    """Invoices a second, with lines and closes, that COPY by one process puts into tables with the same indexes."""
    tables = ("billing_invoice", "billing_invoiceline", "billing_periodclose")
    seconds = 0.0
    with psycopg.connect(owner) as database, database.cursor() as cursor:
        [(count,)] = cursor.execute("SELECT count(*) FROM billing_invoice WHERE purpose = 'close'").fetchall()
        for table in tables:
            name = sql.Identifier(table)
            with cursor.copy(sql.SQL("COPY {} TO STDOUT (FORMAT BINARY)").format(name)) as copy:
                data = b"".join(bytes(chunk) for chunk in copy)
            rows = cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchall()[0][0]
            made = sql.Identifier(f"copied_{table}")
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(made, name))
            database.commit()
            begun = time.monotonic()
            with cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(made)) as copy:
                copy.write(data)
            database.commit()
            seconds += (time.monotonic() - begun) * count / (rows if table != "billing_invoiceline" else rows / LINES)
    return round(int(count) / seconds)
