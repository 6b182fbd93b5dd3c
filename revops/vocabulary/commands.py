"""What `load_catalog` and `load_contracts` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from catalog.pricing import FieldError
from revops.embedded.commands import DatabaseCommand
from revops.vocabulary.decoding import InvalidDocument, decode
from revops.vocabulary.documents import UnableToRead, read_file
from revops.vocabulary.loading import Load, UnableToLoad


class LoadingCommand(DatabaseCommand):
    """Loads one file, all or nothing, and says what changed."""

    json_result = True
    words: ClassVar[type[Any]]
    load: ClassVar[Callable[..., Load]]
    publish_help: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--publish", action="store_true", help=self.publish_help)

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        try:
            with self.progress(None, f"Loading {file.name}", " objects") as bar:
                words = decode(self.words, read_file(file))
                bar.total = size(words)
                load = Load(timezone.now(), file.name, progress=bar.update)
                self.load(words, load, publish=options["publish"])
        except UnableToRead as error:
            raise CommandError(str(error)) from error
        except (InvalidDocument, UnableToLoad) as error:
            raise CommandError(f"{file} cannot be loaded, and nothing of it was:\n{listing(error.errors)}") from error
        document = {"changes": [asdict(change) for change in load.changes], "unchanged": load.unchanged}
        self.finish(document, report(load), options["json"])


def size(words: Any) -> int:
    """How many objects a file lists."""
    return sum(len(listed) for listed in vars(words).values() if isinstance(listed, tuple))


def report(load: Load) -> str:
    """The changes, one a line."""
    lines = [
        f"{change.object}: {change.change}" + (f" ({change.detail})" if change.detail else "")
        for change in load.changes
    ]
    return "\n".join(lines) if lines else "Nothing changed: everything is as the file says."


def listing(errors: list[FieldError]) -> str:
    """Errors, one a line."""
    return "\n".join(f"  {error.path or 'the file'}: {error.detail}" for error in errors)
