"""`import_usage`: usage from files."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from billing.metering.formats import Layout, UnableToRead
from billing.metering.importing import ImportReceipt, import_file
from billing.metering.ingestion import UnableToIngest
from revops.embedded.commands import DatabaseCommand


class Command(DatabaseCommand):
    help = "Import usage from files of any size. The same records again, or an overlapping file, add nothing."
    json_result = True

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("files", nargs="+", metavar="FILE", type=Path)
        add("--source", required=True, metavar="KEY", help="Who reports this usage; created where it is new.")
        add("--format", required=True, choices=["csv", "jsonl", "cloudevents", "clf"])
        add("--type", metavar="T", help="The type of the events; needed unless each event names its own.")
        add("--subject", metavar="COL|=CONST", help="The column that names the customer, or =NAME for all records.")
        add("--time", metavar="COL", help="The column with the time of use; without one, it is the arrival.")
        add("--id", metavar="COL", help="The column that identifies a record; without one, its content does.")
        add(
            "--value",
            action="append",
            default=[],
            type=assignment,
            metavar="NAME=COL",
            help="A property of the event and its column; repeatable. Without any, every other column is one.",
        )
        add("--timezone", default="UTC", type=zone, metavar="Z", help="Of times without an offset; default: UTC.")

    def handle(self, *args: Any, **options: Any) -> None:
        files: list[Path] = options["files"]
        for path in files:
            if not path.is_file():
                raise CommandError(f"There is no file {path}.")
        layout = Layout(
            format=options["format"],
            source=options["source"],
            type=options["type"],
            subject=options["subject"],
            time=options["time"],
            id=options["id"],
            values=dict(options["value"]),
            timezone=options["timezone"],
        )
        total = ImportReceipt()
        for path in files:
            self.import_one(path, layout, total)
        document = {**vars(total), "receipt": str(total.receipt) if total.receipt else None}
        self.finish(document, "\n".join(f"{name}: {value}" for name, value in document.items()), options["json"])

    def import_one(self, path: Path, layout: Layout, total: ImportReceipt) -> None:
        with path.open("rb") as stream, self.progress(path.stat().st_size, path.name, "B") as bar:
            try:
                import_file(
                    stream,
                    layout,
                    at=timezone.now(),
                    total=total,
                    progress=partial(move_to, bar),
                )
            except UnableToRead as error:
                raise CommandError(f"{path}: {error}") from error
            except UnableToIngest as error:
                raise CommandError(
                    f"{path}: {error} Import it again: {total.received} records are stored, and none counts twice."
                ) from error


def move_to(bar: tqdm[Any], position: int) -> None:
    bar.update(position - bar.n)


def assignment(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COL")
    return name, column


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{name!r} is no time zone; take a name like Europe/Berlin") from error
