"""What commands that touch the database share."""

import json
import sys
import time
from functools import partial
from threading import Timer
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from tqdm import tqdm

from revops.embedded.launcher import UnableToStart
from revops.embedded.provisioning import UnableToPrepare, prepare
from revops.embedded.roles import UnableToGrant

# Seconds: a command that takes no longer says nothing; off a terminal a line follows a line after so long.
PATIENCE = 1.0
PACE = 5.0


class Bar(tqdm):  # type: ignore[type-arg]
    """How far a job is. It shows up after `delay` seconds even where nothing has been done by then."""

    def __init__(self, *, delay: float, **given: Any) -> None:
        super().__init__(delay=delay, **given)
        self.alarm = Timer(max(0.0, delay), self.show)
        self.alarm.daemon = True
        if delay > 0:
            self.alarm.start()

    def show(self) -> None:
        """The first sight of it; what `update` has shown by then is not shown again."""
        if self.last_print_t <= self.start_t:
            self.refresh()
            self.last_print_t = time.time()

    def close(self) -> None:
        if hasattr(self, "alarm"):
            self.alarm.cancel()
        super().close()


class Lines(Bar):
    """The same off a terminal: a line now and then, and none at the end, where the result follows."""

    @staticmethod
    def status_printer(file: Any) -> Any:
        return partial(print, file=file, flush=True)

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        if msg == "":
            return False  # a bar would be wiped off the screen
        # The first line comes when the delay is over, whatever the pace after it.
        self.mininterval = PACE
        return super().display(msg, 0)


class DatabaseCommand(BaseCommand):
    """A command that finds its databases running and migrated.

    Its result, and nothing else, goes to stdout (`finish`); what it is doing goes to stderr (`say`,
    `progress`). Set `json_result` for a command that takes `--json`.
    """

    json_result = False
    begun = 0.0

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.json_result:
            parser.add_argument("--json", action="store_true", help="Print one JSON document.")
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        prepare_database(self.say)
        self.begun = time.monotonic()
        try:
            return super().execute(*args, **options)
        except (OperationalError, InterfaceError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise CommandError(
                f"The database does not answer any more ({reason}). What was committed by then is stored, and only "
                "that. Once the database is back, run it again: nothing is done twice."
            ) from error

    def say(self, text: str) -> None:
        self.stderr.write(text, self.style.NOTICE)

    def progress(self, total: int | None, label: str, unit: str = "it") -> "tqdm[Any]":
        """How far a job is, on stderr once the command has run for a second: a bar, or off a terminal lines.

        Call its `update(n)`, and use it in a `with`.
        """
        terminal = sys.stderr.isatty()
        delay = PATIENCE - (time.monotonic() - self.begun)
        given: dict[str, Any] = {"total": total, "desc": label, "unit": unit, "unit_scale": True, "file": sys.stderr}
        if terminal:
            return Bar(**given, delay=delay, mininterval=0.1)
        return Lines(**given, delay=delay, mininterval=0.1, miniters=1, leave=False)

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
