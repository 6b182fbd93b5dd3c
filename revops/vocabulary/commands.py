"""What `load_catalog` and `load_contracts` share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from catalog.pricing import FieldError
from revops.embedded.commands import DatabaseCommand
from revops.vocabulary.decoding import InvalidDocument, decode
from revops.vocabulary.differences import as_json, as_lines
from revops.vocabulary.documents import UnableToRead, read_file
from revops.vocabulary.loading import Load, UnableToLoad


class LoadingCommand(DatabaseCommand):
    """Loads one file, all or nothing, and says what changed.

    Where it `asks`, a person at a terminal sees that first, and says whether it is to be; scripts are never asked.
    """

    json_result = True
    asks = False
    words: ClassVar[type[Any]]
    load: ClassVar[Callable[..., Load]]
    publish_help: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--publish", action="store_true", help=self.publish_help)
        parser.add_argument("--dry-run", action="store_true", help="Say what would change, and store nothing.")
        if self.asks:
            parser.add_argument("--yes", action="store_true", help="At a terminal: do not ask before it is applied.")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        is_asked = self.asks and not (options["yes"] or options["json"] or options["dry_run"]) and sys.stdin.isatty()
        shown = None
        if is_asked:
            tried = self._loaded(file, options["publish"], only_try=True)
            shown = report(tried)
            self.stdout.write(shown)
            if not tried.changes:
                return
            self._ask()
        load = self._loaded(file, options["publish"], only_try=options["dry_run"], shown=shown)
        if shown is not None:
            self.say("Applied.")
            return
        document: dict[str, Any] = {
            "changes": [asdict(change) for change in load.changes],
            "unchanged": load.unchanged,
            "drafted": [
                {"version": one.after, "against": one.before, **as_json(one, currencies)}
                for one, currencies in load.drafted
            ],
        }
        if options["dry_run"]:
            document["dry_run"] = True
        self.finish(document, report(load, is_tried=options["dry_run"]), options["json"])

    def _loaded(self, file: Path, publish: bool, *, only_try: bool, shown: str | None = None) -> Load:
        """The file loaded, or tried and taken back. Where something else comes out than was `shown`, it is refused."""
        try:
            with self.progress(None, f"Loading {file.name}", " objects") as bar:
                words = decode(self.words, read_file(file))
                bar.total = size(words)
                load = Load(timezone.now(), file.name, progress=bar.update)
                with transaction.atomic():
                    self.load(words, load, publish=publish)
                    if shown is not None and report(load) != shown:
                        raise CommandError("What is stored, or the file, has changed meanwhile: run it again.")
                    transaction.set_rollback(only_try)
        except UnableToRead as error:
            raise CommandError(str(error)) from error
        except (InvalidDocument, UnableToLoad) as error:
            raise CommandError(f"{file} cannot be loaded, and nothing of it was:\n{listing(error.errors)}") from error
        return load

    def _ask(self) -> None:
        self.stderr.write("Apply this? [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was stored.")


def size(words: Any) -> int:
    """How many objects a file lists."""
    return sum(len(listed) for listed in vars(words).values() if isinstance(listed, tuple))


def report(load: Load, is_tried: bool = False) -> str:
    """The changes, one a line; below a drafted version what it says otherwise."""
    differences = {f"plan version {one.after}": one for one, _ in load.drafted}
    lines = []
    for change in load.changes:
        lines.append(f"{change.object}: {change.change}" + (f" ({change.detail})" if change.detail else ""))
        if change.change == "drafted" and change.object in differences:
            lines += [f"  {line}" for line in as_lines(differences[change.object])]
    if not lines:
        return "Nothing changed: everything is as the file says."
    return "\n".join([*lines, "Nothing is stored: this was a dry run."] if is_tried else lines)


def listing(errors: list[FieldError]) -> str:
    """Errors, one a line."""
    return "\n".join(f"  {error.path or 'the file'}: {error.detail}" for error in errors)
