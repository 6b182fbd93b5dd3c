"""`db start|stop|status`: the embedded server."""

import json
import os
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from revops.databases import ConnectionPlan, connection_settings, urls
from revops.embedded import launcher
from revops.embedded.commands import prepare_database
from revops.embedded.home import UnableToUseHome
from revops.embedded.postmaster import UnableToStop


class Command(BaseCommand):
    help = "Start, stop or describe the embedded database server."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        helps = {
            "start": "start it, and migrate an empty database",
            "stop": "shut it down; open sessions are ended",
            "status": "whether it runs, and how the application connects",
        }
        for action, words in helps.items():
            parser_of_action = actions.add_parser(action, help=words)
            parser_of_action.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        plan: ConnectionPlan = settings.PLAN
        if options["action"] == "status":
            self.status(plan, options["json"])
        elif not plan.embedded:
            raise CommandError("DATABASE_URL names a server that is not ours to start or stop. Unset it for our own.")
        elif options["action"] == "start":
            prepare_database(self.stderr.write)
            document = description(plan)
            self.finish(document, f"PostgreSQL {document['version']} is running.", options["json"])
        else:
            self.stop(plan, options["json"])

    def stop(self, plan: ConnectionPlan, as_json: bool) -> None:
        try:
            stopped = launcher.stop()
        except (UnableToStop, UnableToUseHome) as error:
            raise CommandError(str(error)) from error
        self.finish(description(plan), "Stopped." if stopped else "It was not running.", as_json)

    def status(self, plan: ConnectionPlan, as_json: bool) -> None:
        document = description(plan)
        state = "running" if document["running"] else "not running"
        lines = [f"PostgreSQL {document['version'] or ''} {state}".replace("  ", " ")]
        lines += [f"{alias}: {document[alias]}" for alias in urls(plan)]
        self.finish(document, "\n".join(lines), as_json)

    def finish(self, document: dict[str, Any], text: str, as_json: bool) -> None:
        self.stdout.write(json.dumps(document, indent=2) if as_json else text)


def description(plan: ConnectionPlan) -> dict[str, Any]:
    """Whether the server runs, its version, and how the application connects to each database."""
    if plan.embedded:
        found = launcher.status()
        plan = connection_settings(os.environ)
    else:
        found = answer_of(plan.application["default"])
    return {"running": found.running, "version": found.version, **urls(plan)}


def answer_of(url: str) -> launcher.Status:
    """What the operator's server says of itself."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            version = connection.info.parameter_status("server_version") or ""
    except psycopg.OperationalError:
        return launcher.Status(False, None)
    return launcher.Status(True, version.split()[0])
