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
        actions.add_parser("start", help="start it, and migrate an empty database")
        actions.add_parser("stop", help="shut it down; open sessions are ended")
        status = actions.add_parser("status", help="whether it runs, and how the application connects")
        status.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        plan: ConnectionPlan = settings.PLAN
        if options["action"] == "status":
            self.status(plan, options["json"])
        elif not plan.embedded:
            raise CommandError(
                "DATABASE_URL names a server that is not ours to start or stop. Unset it for our own."
            )
        elif options["action"] == "start":
            prepare_database(self.stderr.write)
            self.stdout.write(f"PostgreSQL {launcher.status().version} is running.")
        else:
            self.stop()

    def stop(self) -> None:
        try:
            stopped = launcher.stop()
        except (UnableToStop, UnableToUseHome) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Stopped." if stopped else "It was not running.")

    def status(self, plan: ConnectionPlan, as_json: bool) -> None:
        if plan.embedded:
            found = launcher.status()
            plan = connection_settings(os.environ)
        else:
            found = answer_of(plan.application["default"])
        document = {"running": found.running, "version": found.version, **urls(plan)}
        if as_json:
            self.stdout.write(json.dumps(document, indent=2))
        else:
            state = "running" if found.running else "not running"
            self.stdout.write(f"PostgreSQL {found.version or ''} {state}".replace("  ", " "))
            for alias, url in urls(plan).items():
                self.stdout.write(f"{alias}: {url}")


def answer_of(url: str) -> launcher.Status:
    """What the operator's server says of itself."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            version = connection.info.parameter_status("server_version") or ""
    except psycopg.OperationalError:
        return launcher.Status(False, None)
    return launcher.Status(True, version.split()[0])
