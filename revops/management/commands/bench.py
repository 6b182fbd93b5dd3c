"""`bench`: figures, the limits they stand against, and proofs."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from revops.benchmarks import bill_run, entitlement, ingest, usage
from revops.benchmarks.sending import UnableToSend
from revops.embedded.commands import DatabaseCommand
from revops.serving import WORKERS, UnableToServe
from revops.simulation.databases import UnableToClone

SIZES = {
    "ingest": ingest.SIZE,
    "usage": usage.SIZE,
    "entitlement": entitlement.SIZE,
    "bill_run": bill_run.SIZE,
}


class Command(DatabaseCommand):
    help = "Measure on throw-away databases: the figure, the limit for the same rows, and their ratio."
    json_result = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=sorted(SIZES))
        parser.add_argument(
            "--size",
            type=int,
            help="Events; ingest: 200,000, usage: 1,000,000 (and 1 %%), entitlement: 100,000. "
            "bill_run: 10,000 customers (and 10 %%).",
        )
        parser.add_argument("--workers", type=int, default=WORKERS, help="Web server processes, and senders.")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        size = options["size"] or SIZES[options["what"]]
        if size < 1 or options["workers"] < 1:
            raise CommandError("--size and --workers are at least 1.")
        try:
            if options["what"] == "ingest":
                result = ingest.measure(size, options["workers"], at, self.say)
            elif options["what"] == "bill_run":
                with self.progress(size + size // bill_run.FEWER, "billing", "customers") as bar:
                    result = bill_run.measure(size, at, self.say, partial(advance, bar))
            elif options["what"] == "entitlement":
                with self.progress(size * len(entitlement.FEATURES), "ingesting", "events") as bar:
                    result = entitlement.measure(size, options["workers"], at, self.say, partial(advance, bar))
            else:
                with self.progress(size + size // usage.FEWER, "ingesting", "events") as bar:
                    result = usage.measure(size, options["workers"], at, self.say, partial(advance, bar))
        except (UnableToSend, UnableToServe, UnableToClone, bill_run.Unbilled) as error:
            raise CommandError(str(error)) from error
        self.finish(result, "\n".join(f"{name}: {shown(value)}" for name, value in result.items()), options["json"])
        if any(result.get(name) for name in ("lost", "doubled", "miscounted")):
            raise CommandError("Events were lost or counted twice.")


def advance(bar: tqdm[Any], count: int) -> None:
    bar.update(count)


def shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
