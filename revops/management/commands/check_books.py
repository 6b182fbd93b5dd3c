"""`check_books`: prove that nothing leaked."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import CommandError, CommandParser

from revops.embedded.commands import DatabaseCommand
from revops.management.commands.bill_run import instant
from revops.reconciliation import books


class Command(DatabaseCommand):
    help = "Prove that all use that was reported is billed, free, open, held or refused; name every leak."
    json_result = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--at", type=instant, metavar="INSTANT", help="Which periods should be closed; default: now."
        )
        parser.add_argument(
            "--lineage",
            choices=["all", "sample"],
            help="Count the events behind all lines, or behind a fixed sample; default: all while the books are small.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        at = options["at"] or dt.datetime.now(dt.UTC)
        report = books.check(at, lineage=options["lineage"], watch=self.progress)
        self.finish(report.as_json(), report.as_text(), options["json"])
        if not report.ok:
            leaks = sum(check.leaked for check in report.checks)
            raise CommandError(f"The books leak: {leaks:,} time{'' if leaks == 1 else 's'}.")
