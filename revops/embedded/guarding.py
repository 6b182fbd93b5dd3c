"""A process that serves for long brings a killed embedded server back, and notices when it has moved.

A server that was stopped with `db stop` has taken its `postmaster.pid` with it, and stays down.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from threading import Thread

from revops.embedded.home import Home, UnableToUseHome, locate_home
from revops.embedded.launcher import UnableToStart, ensure_running, ground_of
from revops.embedded.postmaster import running_postmaster
from revops.embedded.provisioning import read_connections_anew

PACE = 1.0  # seconds between two looks
PACE_AFTER_FAILURE = 10.0

log = logging.getLogger(__name__)


def start_guard() -> Thread:
    """Guard the embedded server of this environment for as long as the process lives."""
    guard = Thread(target=_guard, args=(locate_home(os.environ),), name="embedded server guard", daemon=True)
    guard.start()
    return guard


def was_killed(data: Path) -> bool:
    """Whether the server of a data directory ended without saying so."""
    return (data / "postmaster.pid").exists() and running_postmaster(data) is None


def _guard(home: Home) -> None:
    known = _version(home)
    while True:
        time.sleep(PACE)
        try:
            if was_killed(ground_of(home) / "data"):
                log.error("The embedded database server was killed; starting it again")
                ensure_running()
                log.warning("The embedded database server runs again")
            if known != (known := _version(home)):
                read_connections_anew()
        except (UnableToStart, UnableToUseHome, OSError) as error:
            log.error("The embedded database server cannot be started: %s", error)
            time.sleep(PACE_AFTER_FAILURE)


def _version(home: Home) -> int:
    """Changes whenever port or passwords are written anew."""
    try:
        return home.credentials_path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
