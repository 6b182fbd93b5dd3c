"""What commands that touch the database share."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from tqdm import tqdm

from revops.embedded.launcher import UnableToStart
from revops.embedded.provisioning import UnableToPrepare, prepare
from revops.embedded.roles import UnableToGrant


class DatabaseCommand(BaseCommand):
    """A command that finds its databases running and migrated.

    Its result, and nothing else, goes to stdout (`finish`); what it is doing goes to stderr (`say`,
    `progress`). Set `json_result` for a command that takes `--json`.
    """

    json_result = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.json_result:
            parser.add_argument("--json", action="store_true", help="Print one JSON document.")
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        prepare_database(self.say)
        return super().execute(*args, **options)

    def say(self, text: str) -> None:
        self.stderr.write(text, self.style.NOTICE)

    def progress(self, total: int | None, label: str, unit: str = "it") -> "tqdm[Any]":
        """A bar on stderr that shows up after a second; call its `update(n)`, and use it in a `with`."""
        pace = 0.1 if sys.stderr.isatty() else 10.0
        return tqdm(total=total, desc=label, unit=unit, unit_scale=True, delay=1, mininterval=pace, file=sys.stderr)

    def finish(self, document: Any, text: str, as_json: bool) -> None:
        """Print the result: `document` as JSON, or `text`. Money and quantities are strings in it already."""
        self.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) if as_json else text)


def prepare_database(say: Any) -> None:
    """`prepare`, with what goes wrong as a CommandError."""
    try:
        prepare(say)
    except (UnableToStart, UnableToPrepare, UnableToGrant) as error:
        raise CommandError(str(error)) from error
    except OperationalError as error:
        raise CommandError(f"The database cannot be reached: {error}") from error
