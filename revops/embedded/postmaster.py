"""The running server as the operating system sees it: `postmaster.pid`, zombies, orphans.

A pid in `postmaster.pid` proves nothing. After `kill -9` the pid may stay as a zombie until pid 1 reaps it
(in a container perhaps never), or belong to another program by now, while the dead server's backends may
still be at work.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


class UnableToStop(Exception):
    """A server process does not end."""


@dataclass(frozen=True)
class Postmaster:
    pid: int
    port: int
    socket_directory: Path | None


def running_postmaster(data: Path) -> Postmaster | None:
    """The live server of a data directory, as its `postmaster.pid` describes it."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    # Lines: pid, data directory, start time, port, socket directory, listen address, shared memory, status.
    if len(lines) < 5 or not lines[0].isdigit() or not lines[3].isdigit():
        return None
    pid = int(lines[0])
    if not is_at_work(pid, data):
        return None
    return Postmaster(pid, int(lines[3]), Path(lines[4]) if lines[4] else None)


def is_at_work(pid: int, data: Path) -> bool:
    """Whether the process lives (a zombie does not) and, where /proc tells, works in the data directory."""
    if Path("/proc/self/cwd").exists():
        return working_directory(pid) == data.resolve()
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.strip().startswith("Z")


def working_directory(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def orphans(data: Path) -> list[int]:
    """Processes that work in the data directory (Linux); without a live postmaster they are its orphans."""
    if not Path("/proc/self/cwd").exists():
        return []
    home = data.resolve()
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and working_directory(int(entry.name)) == home
    ]


def clear_after_crash(data: Path, sockets: Path) -> None:
    """Remove the lock files of a killed postmaster, once none of its backends is at work any more.

    Only when the server is known to be dead: two servers on one data directory would destroy it.
    """
    ask_again_at = time.monotonic() + 3
    give_up_at = time.monotonic() + 15
    while left := orphans(data):
        if time.monotonic() > give_up_at:
            raise UnableToStop(f"Processes {left} of a killed server still work in {data}; end them first.")
        if time.monotonic() > ask_again_at:
            for pid in left:
                signal_process(pid, signal.SIGQUIT)
            ask_again_at = time.monotonic() + 3
        time.sleep(0.05)
    # The server takes a zombie, or whoever got its number, for a living server and would refuse to start.
    for lock in [data / "postmaster.pid", *sockets.glob(".s.PGSQL.*")]:
        lock.unlink(missing_ok=True)


def shut_down(data: Path, postmaster: Postmaster, patience: float = 60) -> None:
    """Fast shutdown: sessions end, a checkpoint is written. Raises UnableToStop after `patience` seconds."""
    signal_process(postmaster.pid, signal.SIGINT)
    give_up_at = time.monotonic() + patience
    while is_at_work(postmaster.pid, data):
        if time.monotonic() > give_up_at:
            raise UnableToStop(f"The server (process {postmaster.pid}) did not stop within {patience:.0f} seconds.")
        time.sleep(0.05)


def signal_process(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise UnableToStop(f"The server (process {pid}) belongs to another user.") from error
