"""`calculate`: what a price makes of a quantity or of events."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.rating.calculate import InvalidRequest, calculate
from revops.vocabulary.commands import listing
from revops.vocabulary.documents import UnableToRead, read_text


class Command(BaseCommand):
    help = "Calculates {currency, price, quantity | events}, or a list of such, from a YAML or JSON file."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="A file, or - for standard input.")
        parser.add_argument("--json", action="store_true", help="Print one JSON document (it always does).")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
            answer = calculate(read_text(text))
        except (OSError, UnicodeDecodeError, UnableToRead) as error:
            raise CommandError(f"{name}: {error}") from error
        except InvalidRequest as invalid:
            raise CommandError(f"{name} cannot be calculated:\n{listing(invalid.errors)}") from invalid
        self.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2))
