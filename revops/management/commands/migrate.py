"""Django's `migrate` with the owner's rights, on both databases unless `--database` names one.

Migrated whole, the regular work of the worker is on the clock too.
"""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.utils import timezone

from revops.databases import ALIASES
from revops.embedded.launcher import UnableToStart
from revops.embedded.provisioning import UnableToPrepare, as_owner, create_if_missing, start_server
from revops.schedules import schedule_work


class Command(DjangoMigrate):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database=None)

    def execute(self, *args: Any, **options: Any) -> None:
        # Not `handle`: Django's checks before it already ask the server for its version.
        aliases = [options["database"]] if options["database"] else ALIASES
        try:
            start_server(self.stderr.write)
            for alias in aliases:
                create_if_missing(alias, self.stderr.write)
                with as_owner(alias):
                    super().execute(*args, **{**options, "database": alias})
            if not options["database"] and not any(options[name] for name in ("app_label", "plan", "check_unapplied")):
                schedule_work(timezone.now())
        except (UnableToStart, UnableToPrepare) as error:
            raise CommandError(str(error)) from error
