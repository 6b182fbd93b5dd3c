"""Starts the embedded server where it does not run, and never leaves two.

A start: under the home's lock, make the cluster if there is none, start it on a loopback port, furnish it.
Whoever starts it may be killed; the server lives on until `db stop`.
"""

import hashlib
import os
import platform
import shlex
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from revops.embedded.account import Account, UnableToChooseUser, choose_account
from revops.embedded.binaries import (
    SHARED_STATE,
    Binaries,
    UnableToFindServer,
    find_binaries,
    make_shared_state,
)
from revops.embedded.furnishing import (
    DATABASE,
    OWNER,
    RECIPE,
    SUPERUSER,
    Connection,
    UnableToFurnish,
    furnish_cluster,
    furnish_template,
)
from revops.embedded.home import (
    Credentials,
    Home,
    UnableToUseHome,
    free_port,
    generated_credentials,
    locate_home,
    with_free_port,
)
from revops.embedded.postmaster import (
    Postmaster,
    UnableToStop,
    clear_after_crash,
    running_postmaster,
    shut_down,
)

PATIENCE = 120  # seconds until a server that is starting, or recovering from a crash, must accept connections
LONGEST_SOCKET_PATH = 103  # bytes: macOS's limit, the shorter one

# For a box with two cores; an operator may change them in postgresql.conf of the data directory.
CONFIGURATION = """
# --- watertight ---
cluster_name = 'watertight'
shared_buffers = 256MB
maintenance_work_mem = 128MB
work_mem = 16MB
max_connections = 100
max_locks_per_transaction = 256
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = pglz
synchronous_commit = on
fsync = on
jit = off
random_page_cost = 1.1
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
# A file per weekday, overwritten after a week.
logging_collector = on
log_filename = 'server-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] %q%u@%d %a '
"""

# The socket's directory is 0700, so whoever reaches the socket runs as the server's user or as root.
ACCESS = f"""\
local all {SUPERUSER}              trust
local all all                                  scram-sha-256
host  all {SUPERUSER} 0.0.0.0/0    reject
host  all {SUPERUSER} ::0/0        reject
host  all all                     127.0.0.1/32 scram-sha-256
"""


class UnableToStart(Exception):
    """The embedded server cannot be started; the message says what to do."""


@dataclass(frozen=True)
class Cluster:
    """A running embedded server."""

    home: Home
    credentials: Credentials
    data: Path
    socket_directory: Path
    version: str

    def connect_as_superuser(self, database: str = DATABASE) -> Connection:
        """An autocommit connection over the socket: for operators, and for tests that plant damage."""
        return psycopg.connect(
            host=str(self.socket_directory),
            port=self.credentials.port,
            user=SUPERUSER,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
            application_name="watertight launcher",
        )


@dataclass(frozen=True)
class Status:
    running: bool
    version: str | None


def ensure_running(env: Mapping[str, str] = os.environ) -> Cluster:
    """The embedded server of this environment's home, started if need be. Cheap when it runs; safe to race.

    Raises UnableToStart.
    """
    home = locate_home(env)
    try:
        running = connected(home)
        if running is None:
            with home.locked():
                running = connected(home) or start(home, env)
    except (UnableToUseHome, UnableToFindServer, UnableToChooseUser, UnableToFurnish, UnableToStop) as error:
        raise UnableToStart(str(error)) from error
    except OSError as error:
        raise UnableToStart(f"The embedded server's files in {home.path} cannot be used: {error}") from error
    return running


def stop(env: Mapping[str, str] = os.environ) -> bool:
    """Fast shutdown. False when it was not running. Raises UnableToStop, UnableToUseHome."""
    home = locate_home(env)
    with home.locked():
        data = ground_of(home) / "data"
        postmaster = running_postmaster(data)
        if postmaster is not None:
            shut_down(data, postmaster)
        return postmaster is not None


def status(env: Mapping[str, str] = os.environ) -> Status:
    """Whether the server answers, and its version (of the data, when it is down). Starts nothing."""
    home = locate_home(env)
    running = connected(home)
    if running is not None:
        return Status(True, running.version)
    try:
        return Status(False, (ground_of(home) / "data" / "PG_VERSION").read_text().strip())
    except OSError:
        return Status(False, None)


def connected(home: Home) -> Cluster | None:
    """The cluster, if it is furnished and the owner can connect to it just now."""
    record = home.record()
    if record.furnished != RECIPE:
        return None
    credentials = home.credentials()
    # Without this, a stranger on our port could ask for the password in clear.
    guard: dict[str, Any] = {"require_auth": "scram-sha-256"} if psycopg.pq.version() >= 160000 else {}
    try:
        connection = psycopg.connect(
            host="127.0.0.1",
            port=credentials.port,
            user=OWNER,
            password=credentials.owner_password,
            dbname=DATABASE,
            connect_timeout=5,
            application_name="watertight launcher",
            **guard,
        )
    except psycopg.OperationalError:
        return None
    with connection:
        version = connection.info.parameter_status("server_version") or ""
    ground = ground_of(home)
    sockets = Path(record.socket_directory) if record.socket_directory else ground / "socket"
    return Cluster(home, credentials, ground / "data", sockets, version.split()[0])


def ground_of(home: Home) -> Path:
    """The folder of the server's own files."""
    kept = home.record().ground
    return Path(kept) if kept else home.path / "server"


def start(home: Home, env: Mapping[str, str]) -> Cluster:
    """Make, start and furnish the server. Call with the home's lock held."""
    credentials = home_credentials(home)
    account = choose_account(env, ground_of(home) / "data")
    ground = settle(home, credentials, account)
    data = ground / "data"
    sockets = socket_directory(home, ground, account)
    postmaster = running_postmaster(data)
    if postmaster is None:
        binaries = find_binaries(env, account)
        if not data.exists():
            initialise(data, binaries, account)
        check_version(data, binaries)
        clear_after_crash(data, sockets)
        credentials = launch(home, data, sockets, binaries, account)
    else:
        # It runs, yet the owner could not connect: it is still starting, or the credentials were lost.
        credentials = replace(credentials, port=postmaster.port)
        home.keep_credentials(credentials)
        sockets = postmaster.socket_directory or sockets
    return furnished(Cluster(home, credentials, data, sockets, version=""), postmaster)


def home_credentials(home: Home) -> Credentials:
    """As `Home.credentials`, with the lock already held."""
    if not home.credentials_path.exists():
        home.keep_credentials(generated_credentials())
    return home.credentials()


def settle(home: Home, credentials: Credentials, account: Account) -> Path:
    """The folder of the server's files, owned by its user: in the home, or where that user can reach it."""
    ground = ground_of(home)
    if home.record().ground is None and not usable(ground, account):
        if account.is_self or (ground / "data").exists():
            # Never an empty cluster elsewhere in place of the data that is here.
            raise UnableToStart(
                f"User {account.name} cannot use {ground}: it must belong to this user with mode 0700, and every "
                "folder above it must let the user pass. Or set WATERTIGHT_HOME."
            )
        # The home lies below a folder that is closed to the server's user, and it stays closed.
        make_shared_state()
        mark = hashlib.sha256(f"{home.path}\0{credentials.home_id}".encode()).hexdigest()[:16]
        ground = SHARED_STATE / mark
        home.keep_record(replace(home.record(), ground=str(ground)))
    account.own(ground)
    account.own(ground / "log")
    return ground


def usable(ground: Path, account: Account) -> bool:
    try:
        account.own(ground)
    except OSError:
        return False
    return account.can("-w", ground)


def socket_directory(home: Home, ground: Path, account: Account) -> Path:
    """A 0700 directory whose path is short enough for a socket in it."""
    usual = ground / "socket"
    if len(os.fsencode(usual / ".s.PGSQL.65535")) <= LONGEST_SOCKET_PATH:
        account.own(usual)
        return usual
    kept = home.record().socket_directory
    if kept and account.has_private(Path(kept)):
        return Path(kept)
    made = Path(tempfile.mkdtemp(prefix="watertight-", dir="/tmp"))
    account.own(made)
    home.keep_record(replace(home.record(), socket_directory=str(made)))
    return made


def initialise(data: Path, binaries: Binaries, account: Account) -> None:
    """A new, empty cluster; it gets its name when it is whole, so that a killed start leaves none behind."""
    draft = data.with_name("data.partial")
    if draft.exists():
        shutil.rmtree(draft)
    if binaries.major >= 17:
        # The same order on every system, free of the C library's and ICU's versions.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    else:
        locale = ["--locale=C" if platform.system() == "Darwin" else "--locale=C.UTF-8"]
    command: list[str | Path] = [
        binaries.program("initdb"),
        "-D",
        draft,
        "-U",
        SUPERUSER,
        "-E",
        "UTF8",
        *locale,
    ]
    done = account.run([*command, "--data-checksums", "--auth=trust", "--no-instructions"])
    if done.returncode != 0:
        raise UnableToStart(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
    account.write(draft / "postgresql.conf", CONFIGURATION, append=True)
    account.write(draft / "pg_hba.conf", ACCESS)
    draft.rename(data)


def check_version(data: Path, binaries: Binaries) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != str(binaries.major):
        raise UnableToStart(
            f"The data in {data} is of PostgreSQL {made_by}, the server binaries in {binaries.folder} are of "
            f"{binaries.version}. Dump with {made_by}, restore with {binaries.major}: start it with "
            f"WATERTIGHT_POSTGRES_BIN set to binaries of {made_by}, write both databases with pg_dump, move "
            f"{data} away, start with {binaries.major} and load them with pg_restore as the owner."
        )


def launch(home: Home, data: Path, sockets: Path, binaries: Binaries, account: Account) -> Credentials:
    """Start the server on the home's port, or another if that is taken; returns the credentials that hold."""
    credentials = with_free_port(home.credentials())
    for attempt in (1, 2):
        home.keep_credentials(credentials)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(credentials.port),
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            "log_directory": str(data.with_name("log")),
        }
        given = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in options.items())
        first_words = data.with_name("log") / "start.log"
        account.write(first_words, "")
        command: list[str | Path] = [
            binaries.program("pg_ctl"),
            "-D",
            data,
            "-l",
            first_words,
            "-w",
            "-t",
            str(PATIENCE),
        ]
        done = account.run([*command, "-o", given, "start"])
        if done.returncode == 0:
            break
        said = last_words(first_words.parent)
        # Somebody took the port between our look and the server's.
        if attempt == 1 and "could not create any TCP/IP sockets" in said:
            credentials = replace(credentials, port=free_port())
            continue
        raise UnableToStart(f"The server did not start (logs in {first_words.parent}):\n{said}")
    return credentials


def last_words(folder: Path) -> str:
    """What the server wrote last, over all its logs: it changes from `start.log` to the day's file."""
    lines = [line for log in folder.iterdir() for line in log.read_text(errors="replace").splitlines()[-20:]]
    return "\n".join(sorted(lines)[-12:])


def furnished(cluster: Cluster, postmaster: Postmaster | None) -> Cluster:
    """Wait until the superuser can connect, make what is missing, and remember that nothing is."""
    give_up_at = time.monotonic() + PATIENCE
    while True:
        try:
            connection = cluster.connect_as_superuser("postgres")
            break
        except psycopg.OperationalError as error:
            ended = postmaster is not None and running_postmaster(cluster.data) is None
            if ended or time.monotonic() > give_up_at:
                raise UnableToStart(
                    f"The server {'ended' if ended else 'runs'} but does not accept connections: {error}"
                ) from error
            time.sleep(0.1)
    with cluster.connect_as_superuser("template1") as template:
        furnish_template(template)
    with connection:
        furnish_cluster(connection, cluster.credentials)
        version = connection.info.parameter_status("server_version") or ""
    cluster.home.keep_record(replace(cluster.home.record(), furnished=RECIPE))
    return replace(cluster, version=version.split()[0])
