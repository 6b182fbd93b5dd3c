"""A whole Watertight of its own that a test may break: a home, the embedded server in it, and `serve` in front of it.

Everything is done from outside, as an operator or a sender would: commands, HTTP, signals; and SQL as the superuser to
look at what is there, or to plant a fault.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from revops.embedded.furnishing import SUPERUSER
from revops.embedded.home import CHECKOUT, locate_home
from revops.embedded.launcher import ensure_running, ground_of, stop
from revops.embedded.postmaster import Postmaster, running_postmaster
from revops.serving import free_port

MAIN, QUARANTINE = "watertight", "watertight_quarantine"

# What would lead a command to another server than that of its home, or let it do what the application may not.
FOREIGN = (
    "DATABASE_URL", "DATABASE_OWNER_URL", "QUARANTINE_DATABASE_URL", "QUARANTINE_OWNER_URL", "WATERTIGHT_ROLE",
    "DJANGO_SETTINGS_MODULE",
)  # fmt: skip

PATIENCE = 60.0  # seconds until what was broken must work again


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    give_up_at = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < give_up_at, f"{what}: not within {patience:.0f} s"
        time.sleep(0.02)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Installation:
    home: Path
    secret: str = ""
    port: int = 0
    workers: int = 2
    extra: dict[str, str] = field(default_factory=dict)
    _web: subprocess.Popen[bytes] | None = None

    # Commands

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return {**kept, "WATERTIGHT_HOME": str(self.home), **self.extra}

    def start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """`manage.py COMMAND` in a process group of its own."""
        options.setdefault("env", self.environment)
        line = [sys.executable, str(CHECKOUT / "manage.py"), *command]
        return subprocess.Popen(line, cwd=CHECKOUT, start_new_session=True, **options)

    def run(self, *command: str, env: Mapping[str, str] | None = None, code: int = 0) -> str:
        """What a command printed; it must end with this code."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self.start(*command, env={**self.environment, **(env or {})}, **pipes)
        said, told = process.communicate(timeout=300)
        assert process.returncode == code, f"{command} ended with {process.returncode}:\n{told.decode()}{said.decode()}"
        return said.decode()

    def python(self, program: str, *arguments: str) -> str:
        """What a program printed that runs inside this installation, with everything loaded."""
        preamble = (
            "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'revops.settings'\nimport django\ndjango.setup()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", preamble + program, *arguments],
            cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def check_books(self, at: str, env: Mapping[str, str] | None = None) -> Any:
        """The report of `check_books`, which must find no leak."""
        return json.loads(self.run("check_books", "--at", at, "--json", env=env))

    # The web server

    @property
    def log(self) -> Path:
        """All that the web server ever wrote to its terminal."""
        return self.home / "web.log"

    def serve(self) -> None:
        self.port = self.port or free_port()
        with self.log.open("ab") as log:
            self._web = self.start(
                "serve", "--port", str(self.port), "--workers", str(self.workers), stdout=log, stderr=log
            )
        until(self.is_healthy, f"the web server answers ({self.log.read_text()[-2000:]})")

    def is_healthy(self) -> bool:
        assert self._web is not None and self._web.poll() is None, self.log.read_text()[-3000:]
        with suppress(OSError, http.client.HTTPException):
            return self.call("GET", "/healthz", timeout=5).status == 200
        return False

    def kill_web(self) -> None:
        """kill -9 of all its processes at once."""
        assert self._web is not None
        os.killpg(self._web.pid, signal.SIGKILL)
        self._web.wait()

    def web_processes(self) -> list[int]:
        """The pids of the web server's worker processes."""
        assert self._web is not None
        said = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._web.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in said.stdout.split()]

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.secret}", **({"Content-Type": "application/json"} if data else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, body: Any, query: str = "", **options: Any) -> Answer:
        return self.call("POST", f"/api/v1/events{query}", body, **options)

    # The database server

    def sql(self, statement: str, parameters: Any = None, database: str = MAIN) -> list[tuple[Any, ...]]:
        """The rows of a statement, as the superuser."""
        with self.superuser(database) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def number(self, statement: str, parameters: Any = None, database: str = MAIN) -> Any:
        return self.sql(statement, parameters, database)[0][0]

    def superuser(self, database: str = MAIN) -> psycopg.Connection[tuple[Any, ...]]:
        postmaster = self.postmaster()
        assert postmaster is not None and postmaster.socket_directory is not None, "the database server does not run"
        return psycopg.connect(
            host=str(postmaster.socket_directory), port=postmaster.port, user=SUPERUSER, dbname=database,
            autocommit=True, connect_timeout=10,
        )  # fmt: skip

    @property
    def data(self) -> Path:
        return ground_of(locate_home(self.environment)) / "data"

    def postmaster(self) -> Postmaster | None:
        return running_postmaster(self.data)

    def kill_database(self) -> None:
        """kill -9 of the server's first process; its children notice and end."""
        postmaster = self.postmaster()
        assert postmaster is not None
        os.kill(postmaster.pid, signal.SIGKILL)

    def kill_backend(self) -> bool:
        """kill -9 of one busy session of the application, upon which the server restarts all. False: none was busy."""
        found = self.sql(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'watertight_app' AND state <> 'idle'"
            " ORDER BY random() LIMIT 1"
        )
        for (pid,) in found:
            os.kill(pid, signal.SIGKILL)
        return bool(found)

    # Life and death

    def start_database(self) -> None:
        ensure_running(self.environment)

    def stop(self) -> None:
        if self._web is not None and self._web.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._web.pid, signal.SIGTERM)
            try:
                self._web.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._web.pid, signal.SIGKILL)
                self._web.wait()
        stop(self.environment)

    def remove(self) -> None:
        self.stop()
        ground = ground_of(locate_home(self.environment))
        shutil.rmtree(ground, ignore_errors=True)
        shutil.rmtree(self.home.parent, ignore_errors=True)

    def copy(self) -> Installation:
        """The same once more, with its data; this one must be stopped."""
        home = new_home()
        subprocess.run(["cp", "-a", str(self.home), str(home)], check=True)
        return Installation(home, self.secret)


def new_home() -> Path:
    """A folder below /tmp that the server's own user can pass into, yet not list."""
    root = Path(tempfile.mkdtemp(prefix="wt-fault-", dir="/tmp"))
    root.chmod(0o711)
    return root / "home"


# Senders


@dataclass
class Traffic:
    """Batches under way from several senders at once, each repeating a batch until it is answered with 200."""

    installation: Installation
    answered: list[dict[str, Any]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)  # statuses that asked for a repeat
    cut: int = 0  # no answer at all
    faults: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, batches: list[bytes], senders: int) -> None:
        for place in range(senders):
            thread = threading.Thread(target=self._send_all, args=(batches[place::senders],), daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), f"a sender is still waiting for its answer; so far {self.refused}, {self.cut}"
        assert not self.faults, self.faults[:3]

    def _send_all(self, batches: list[bytes]) -> None:
        for batch in batches:
            try:
                self.answered.append(self._send(batch))
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                return

    def _send(self, batch: bytes) -> dict[str, Any]:
        give_up_at = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < give_up_at, "no answer"
            try:
                answer = self.installation.post(batch, timeout=30)
            except (OSError, http.client.HTTPException):
                self.cut += 1
                time.sleep(0.05)
                continue
            if answer.status == 200:
                found: dict[str, Any] = answer.json
                return found
            assert answer.status == 503, f"{answer.status}: {answer.raw[:500]!r}"
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            self.refused.append(answer.status)
            time.sleep(0.1)
