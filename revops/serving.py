"""How the production web server is started, and waited for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connections

from revops.databases import ALIASES, QUARANTINE, ConnectionPlan

PORT = 8000
WORKERS = 2
THREADS = 4  # each holds its own connections to both databases

CHECKOUT = Path(__file__).resolve().parent.parent


class UnableToServe(Exception):
    """The web server ended, or did not answer in time."""


def gunicorn_arguments(host: str, port: int, workers: int, threads: int) -> list[str]:
    """The rest is in revops/gunicorn_settings.py."""
    return [
        "--config", "python:revops.gunicorn_settings",
        "--bind", f"{host}:{port}", "--workers", str(workers), "--threads", str(threads),
    ]  # fmt: skip


def environment_for(names: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server process on other databases of the same servers: `names` by alias."""
    plan: ConnectionPlan = settings.PLAN
    urls = {
        "DATABASE_URL": with_name(plan.application["default"], names["default"]),
        "DATABASE_OWNER_URL": with_name(plan.owner["default"], names["default"]),
        "QUARANTINE_DATABASE_URL": with_name(plan.application[QUARANTINE], names[QUARANTINE]),
        "QUARANTINE_OWNER_URL": with_name(plan.owner[QUARANTINE], names[QUARANTINE]),
    }
    return {**os.environ, **urls, "WATERTIGHT_ROLE": "application"}


def current_names() -> dict[str, str]:
    """The databases this thread's connections lead to, by alias."""
    return {alias: str(connections[alias].settings_dict["NAME"]) for alias in ALIASES}


def with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False


def start_server(
    port: int, environment: Mapping[str, str] = os.environ, workers: int = WORKERS, threads: int = THREADS
) -> subprocess.Popen[bytes]:
    """`serve` in a process of its own. Stop it with `terminate()`."""
    command = [sys.executable, str(CHECKOUT / "manage.py"), "serve", "--port", str(port)]
    return subprocess.Popen(
        [*command, "--workers", str(workers), "--threads", str(threads)], env=dict(environment), cwd=CHECKOUT
    )


def wait_until_healthy(port: int, server: subprocess.Popen[bytes], patience: float = 60) -> None:
    """Return once `/healthz` answers 200. Raises UnableToServe."""
    give_up_at = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError) as error:
            if server.poll() is not None:
                raise UnableToServe(f"The web server ended with code {server.returncode}.") from error
            if time.monotonic() > give_up_at:
                raise UnableToServe(f"The web server does not answer within {patience:.0f} s: {error}.") from error
        time.sleep(0.05)
