"""The web server and the worker as children of this process: started, watched, and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from revops.serving import CHECKOUT, WORKERS

PATIENCE = 40  # seconds a child gets to finish what it is doing


class ChildEnded(Exception):
    """A child that should run has ended by itself."""


def start(command: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A manage.py command in a process group of its own, so that an interrupt at the keyboard reaches only us."""
    line = [sys.executable, str(CHECKOUT / "manage.py"), command, *arguments]
    return subprocess.Popen(line, cwd=CHECKOUT, start_new_session=True, stdout=sys.stderr.fileno())


def start_server(port: int) -> subprocess.Popen[bytes]:
    return start("serve", "--port", str(port), "--workers", str(WORKERS))


def start_worker() -> subprocess.Popen[bytes]:
    return start("qcluster")


class Stopped(Exception):
    """A signal asked this process to end."""


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Stopped inside."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch(children: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Return never, unless a child ends: raises ChildEnded."""
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                raise ChildEnded(f"The {name} ended with code {child.returncode}.")
        time.sleep(0.5)


def stop_all(children: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Ask each child to end; who has not after a while is killed with all it started."""
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    give_up_at = time.monotonic() + PATIENCE
    for child in children.values():
        try:
            child.wait(max(0.1, give_up_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
