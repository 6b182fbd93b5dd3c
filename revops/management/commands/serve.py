"""`serve`: the production web server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connections

from revops.embedded.commands import DatabaseCommand
from revops.serving import CHECKOUT, PORT, THREADS, WORKERS, gunicorn_arguments, is_taken


class Command(DatabaseCommand):
    help = "Serve the console and the API with gunicorn until interrupted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on; default: this machine only.")
        parser.add_argument("--port", type=int, default=PORT, help=f"Default: {PORT}.")
        parser.add_argument("--workers", type=int, default=WORKERS, help=f"Processes; default: {WORKERS}.")
        parser.add_argument("--threads", type=int, default=THREADS, help=f"Per process; default: {THREADS}.")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if is_taken(host, port):
            raise CommandError(f"Something already listens on {host}:{port}; choose another with --port.")
        if options["workers"] < 1 or options["threads"] < 1:
            raise CommandError("A server needs at least one worker and one thread.")
        self.say(f"Serving at http://{host}:{port}")
        connections.close_all()
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
        sys.stderr.flush()
        os.chdir(CHECKOUT)
        # The server takes over this process, so that a signal to it reaches the server.
        arguments = gunicorn_arguments(host, port, options["workers"], options["threads"])
        os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments])
