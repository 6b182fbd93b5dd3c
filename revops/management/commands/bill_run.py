"""`bill_run`: close what is due at an instant."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.invoicing import bill_run
from contracts.models import Customer
from revops.embedded.commands import DatabaseCommand


class Command(DatabaseCommand):
    help = "Close every period that is due at an instant, and invoice it. A second run does nothing."
    json_result = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--at", required=True, type=instant, metavar="INSTANT", help="2026-02-02T00:00:00Z")
        parser.add_argument("--customer", action="append", metavar="KEY", help="Only this customer; repeatable.")
        parser.add_argument("--dry-run", action="store_true", help="Show what would be made, and make nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        self.check_customers(options["customer"] or [])
        with self.progress(None, "Billing", " contracts") as bar:

            def move(done: int, of: int) -> None:
                bar.total = of
                bar.update(done - bar.n)

            result = bill_run.run(
                options["at"],
                customers=options["customer"],
                dry_run=options["dry_run"],
                progress=move,
            )
        document = {
            "at": result.at.isoformat(),
            "invoices": result.invoices,
            "credit_notes": result.credit_notes,
            "failures": result.failures,
        }
        self.finish(document, summary(document), options["json"])
        if result.failures:
            count = len(result.failures)
            contracts = "1 contract" if count == 1 else f"{count} contracts"
            raise CommandError(f"{contracts} could not be billed; the next run tries again.")

    def check_customers(self, keys: list[str]) -> None:
        known = set(Customer.objects.filter(key__in=keys).values_list("key", flat=True))
        missing = [key for key in keys if key not in known]
        if missing:
            raise CommandError(f"There is no customer {missing[0]!r}.")


def summary(document: dict[str, Any]) -> str:
    """A line for each document and each failure."""
    lines = [
        f"{one['number'] or 'draft'}  {one['customer']}  {one['contract']}  {one['period_start']} to"
        f" {one['period_end']}  {one['total']} {one['currency']}"
        for one in [*document["invoices"], *document["credit_notes"]]
    ]
    lines += [f"failed: {one['contract']}: {one['error']}" for one in document["failures"]]
    return "\n".join(lines or ["Nothing is due."])


def instant(text: str) -> dt.datetime:
    """ISO 8601 with an offset."""
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an instant like 2026-02-02T00:00:00Z") from error
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} needs an offset, for example {text}Z")
    return at.astimezone(dt.UTC)
