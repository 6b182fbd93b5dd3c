"""Real servers in throw-away homes; every one that a test starts is stopped, and its files are removed."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from revops.embedded.home import locate_home
from revops.embedded.launcher import Cluster, ensure_running, ground_of, stop

DEBIAN_15 = "/usr/lib/postgresql/15/bin"

Environment = dict[str, str]


@contextmanager
def throw_away_homes() -> Iterator[Callable[..., Environment]]:
    roots: list[Path] = []
    made: list[Environment] = []

    def make(below: str = "", mode: int = 0o755, **variables: str) -> Environment:
        # Not pytest's own folder: that is 0700, which is one of the cases.
        root = Path(tempfile.mkdtemp(prefix="wt-test-", dir="/tmp"))
        root.chmod(mode)
        roots.append(root)
        environment = {"WATERTIGHT_HOME": str(root / below / "home"), **variables}
        made.append(environment)
        return environment

    try:
        yield make
    finally:
        for environment in made:
            discard(environment)
        for root in roots:
            shutil.rmtree(root)


def discard(environment: Mapping[str, str]) -> None:
    home = locate_home(environment)
    if home.path.exists():
        stop(environment)
        record = home.record()
        shutil.rmtree(ground_of(home), ignore_errors=True)
        if record.socket_directory:
            shutil.rmtree(record.socket_directory, ignore_errors=True)


@pytest.fixture
def make_home() -> Iterator[Callable[..., Environment]]:
    with throw_away_homes() as make:
        yield make


@pytest.fixture(scope="session", params=["wheel", "debian 15"])
def server(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running server of each supported origin, shared by tests that leave it as it was."""
    binaries = {}
    if request.param == "debian 15":
        if not os.access(f"{DEBIAN_15}/postgres", os.X_OK):
            pytest.skip(f"Debian's PostgreSQL 15 is not installed ({DEBIAN_15}): apt-get install postgresql-15")
        binaries["WATERTIGHT_POSTGRES_BIN"] = DEBIAN_15
    with throw_away_homes() as make:
        yield ensure_running(make(**binaries))
