"""Django's `migrate` with the owner's rights, on both databases unless `--database` names one."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as DjangoMigrate

from revops.databases import ALIASES
from revops.embedded.launcher import UnableToStart
from revops.embedded.provisioning import UnableToPrepare, as_owner, create_if_missing, start_server


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
        except (UnableToStart, UnableToPrepare) as error:
            raise CommandError(str(error)) from error
