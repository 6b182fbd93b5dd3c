"""`simulate`: play scenarios on throw-away databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from revops.embedded.commands import DatabaseCommand
from revops.simulation import UnableToPlay, play
from revops.simulation.databases import UnableToClone
from revops.vocabulary.documents import UnableToRead, read_file


class Command(DatabaseCommand):
    help = "Plays scenario files with the real operations, on throw-away databases and a clock of their own."
    json_result = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", metavar="FILE", nargs="+", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        files: list[Path] = options["files"]
        with self.progress(len(files), "Playing", "file") as progress:
            outcomes = []
            for file in files:
                outcomes.append(self.outcome(file))
                progress.update(1)
        self.finish(outcomes[0] if len(outcomes) == 1 else outcomes, "", as_json=True)
        wrong = [str(file) for file, outcome in zip(files, outcomes, strict=True) if self.is_wrong(outcome)]
        if wrong:
            raise CommandError(f"Not as expected: {', '.join(wrong)}")

    def outcome(self, file: Path) -> dict[str, Any]:
        """The outcome of one file; a file that cannot be played has `errors` instead, and costs no other."""
        try:
            outcome = play(read_file(file), self.say)
        except UnableToPlay as unable:
            errors = [{"path": one.path, "code": one.code, "detail": one.detail} for one in unable.errors]
            outcome = {"errors": errors}
        except UnableToRead as unable:
            outcome = {"errors": [{"path": "", "code": "unreadable", "detail": str(unable)}]}
        except UnableToClone as unable:
            raise CommandError(str(unable)) from unable
        for error in outcome.get("errors", []):
            self.say(f"{file}: {error['path'] or 'the file'}: {error['detail']}")
        for one in outcome.get("mismatches", []):
            self.say(f"{file}: {one['path']}: expected {one['expected']}, got {one['actual']}")
        return outcome

    @staticmethod
    def is_wrong(outcome: dict[str, Any]) -> bool:
        return bool(outcome.get("errors") or outcome.get("mismatches"))
