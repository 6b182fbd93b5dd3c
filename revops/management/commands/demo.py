"""`demo`: from nothing to a running product with a sample company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from catalog.models import Seller
from revops.demo import children, people
from revops.demo.company import SELLER, months_so_far
from revops.demo.months import Months
from revops.demo.story import Story
from revops.embedded.commands import DatabaseCommand
from revops.schedules import schedule_work
from revops.serving import PORT, UnableToServe, is_taken, wait_until_healthy

HOST = "127.0.0.1"
TRIED = 50  # ports, from the usual one upwards


class Command(DatabaseCommand):
    help = "Makes a sample company through the real operations, then runs web server and worker until interrupted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help=f"Of the web server. Default: {PORT}, or the next that is free.")
        parser.add_argument("--no-serve", action="store_true", help="End once the company is made.")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.WATERTIGHT_HOME) / "demo.json"
        port = options["port"] or PORT
        if not options["no_serve"]:
            port = self.usable_port(options["port"])
        note = people.Note.read(path)
        note.url = f"http://{HOST}:{port}"
        self.make_company(note, path)
        note.write(path)
        schedule_work(timezone.now())
        if options["no_serve"]:
            self.stdout.write(self.summary(note, path))
        else:
            self.serve(note, path, port)

    def usable_port(self, asked: int | None) -> int:
        if asked is not None:
            if is_taken(HOST, asked):
                raise CommandError(f"Something already listens on {HOST}:{asked}; choose another with --port.")
            return asked
        free = next((port for port in range(PORT, PORT + TRIED) if not is_taken(HOST, port)), None)
        if free is None:
            raise CommandError(f"Ports {PORT} to {PORT + TRIED - 1} are all in use; choose one with --port.")
        if free != PORT:
            self.say(f"Port {PORT} is in use; serving on {free} instead.")
        return free

    def make_company(self, note: people.Note, path: Path) -> None:
        """People, then the company's months up to now, then the key: the mark that all is there."""
        staff = people.employ(note)
        note.write(path)  # passwords are known from here on, whatever happens
        at = timezone.now().replace(microsecond=0)
        if people.is_complete():
            if not note.api_key:
                people.hand_out_key(note, at)
            return
        if not Seller.objects.filter(key=SELLER).exists() and Seller.objects.exists():
            raise CommandError("There is another company in this database; set WATERTIGHT_HOME to a new folder.")
        story = Story(months_so_far() or Months.before(at), at, staff)
        self.say("Making the sample company")
        with self.progress(story.records(), "Events", unit=" events") as bar:
            story.play(bar.update)
        people.hand_out_key(note, at)

    def serve(self, note: people.Note, path: Path, port: int) -> None:
        connections.close_all()
        running = {}
        try:
            with children.stopping_on_signals():
                running["web server"] = server = children.start_server(port)
                running["worker"] = children.start_worker()
                wait_until_healthy(port, server)
                self.stdout.write(self.summary(note, path))
                self.stdout.write("\nRunning. Stop with Ctrl-C; the database stays up until `manage.py db stop`.")
                self.stdout.flush()
                children.watch(running)
        except children.Stopped:
            self.say("Stopping")
        except (UnableToServe, children.ChildEnded) as error:
            raise CommandError(str(error)) from error
        finally:
            children.stop_all(running)

    def summary(self, note: people.Note, path: Path) -> str:
        width = max(len(login.username) for login in note.users)
        logins = [f"  {login.username:<{width}}  {login.password}  ({login.role})" for login in note.users]
        return "\n".join(
            [
                f"Console   {note.url}/admin/",
                f"API       {note.url}/api/docs",
                f"Logins    (also in {path})",
                *logins,
                f"API key   {note.api_key}",
                f"          reports events of the source {note.source}, reads everything",
            ]
        )
