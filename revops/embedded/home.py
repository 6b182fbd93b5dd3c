"""`WATERTIGHT_HOME`: the folder that holds the embedded server's files, port and passwords.

lock               held (flock) by whoever changes anything here
credentials.json   port and generated passwords, 0600
secret_key.json    signs sessions, 0600
cluster.json       where the server's files are, and whether roles and databases were made in full
server/            data, socket and log, owned by the user the server runs as
"""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
# Below what the kernel hands out for outgoing connections, so that the port is still free at the next start.
PORTS = range(20_000, 30_000)


class UnableToUseHome(Exception):
    """The home folder cannot be created, read or written."""


@dataclass(frozen=True)
class Credentials:
    """How the embedded server is reached; made once and kept, before the server itself exists."""

    home_id: str
    port: int
    owner_password: str = field(repr=False)
    application_password: str = field(repr=False)
    quarantine_password: str = field(repr=False)


@dataclass(frozen=True)
class ClusterRecord:
    """What a home remembers of its cluster; the two paths only where they are not the usual ones."""

    ground: str | None = None
    socket_directory: str | None = None
    furnished: int = 0


@dataclass(frozen=True)
class Home:
    path: Path

    @property
    def credentials_path(self) -> Path:
        return self.path / "credentials.json"

    @property
    def record_path(self) -> Path:
        return self.path / "cluster.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home's lock; a killed holder loses it by itself. Not re-entrant."""
        self.create()
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UnableToUseHome(explanation(self.path, error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def create(self) -> None:
        # As root the server runs as another user, who must be able to pass through, though not to list.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.path.mkdir(parents=True)
            self.path.chmod(mode)
        except FileExistsError as error:
            if not self.path.is_dir():
                raise UnableToUseHome(f"{self.path} is not a folder; set WATERTIGHT_HOME.") from error
        except OSError as error:
            raise UnableToUseHome(explanation(self.path, error)) from error

    def credentials(self) -> Credentials:
        """Port and passwords, made at the first call. Starts nothing."""
        known = self._read(self.credentials_path)
        if known is None:
            with self.locked():
                known = self._read(self.credentials_path)
                if known is None:
                    made = generated_credentials()
                    self.keep_credentials(made)
                    return made
        try:
            return Credentials(**known)
        except TypeError as error:
            raise UnableToUseHome(
                f"{self.credentials_path} was not written by this program. Move it away: new passwords are "
                "made and given to the server at its next start."
            ) from error

    def keep_credentials(self, credentials: Credentials) -> None:
        """Call with the lock held."""
        self._write(self.credentials_path, asdict(credentials))

    def secret_key(self) -> str:
        """Django's signing key, made at the first call."""
        path = self.path / "secret_key.json"
        known = self._read(path)
        if known is None:
            with self.locked():
                known = self._read(path)
                if known is None:
                    known = {"secret_key": secrets.token_urlsafe(48)}
                    self._write(path, known)
        return str(known["secret_key"])

    def record(self) -> ClusterRecord:
        return ClusterRecord(**(self._read(self.record_path) or {}))

    def keep_record(self, record: ClusterRecord) -> None:
        """Call with the lock held."""
        self._write(self.record_path, asdict(record))

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnableToUseHome(explanation(self.path, error)) from error
        except ValueError as error:
            raise UnableToUseHome(f"{path} is not JSON: {error}. Move it away to have it made anew.") from error
        if not isinstance(document, dict):
            raise UnableToUseHome(f"{path} holds no JSON object. Move it away to have it made anew.")
        return document

    def _write(self, path: Path, document: dict[str, Any]) -> None:
        draft = path.with_suffix(".draft")
        try:
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                json.dump(document, stream, indent=2)
                stream.flush()
                os.fsync(descriptor)
            draft.replace(path)
        except OSError as error:
            raise UnableToUseHome(explanation(self.path, error)) from error


def locate_home(env: Mapping[str, str]) -> Home:
    """`WATERTIGHT_HOME`, relative to the checkout, or `.watertight/` in it."""
    chosen = Path(env.get("WATERTIGHT_HOME") or ".watertight").expanduser()
    return Home(Path(os.path.normpath(CHECKOUT / chosen)))


def generated_credentials() -> Credentials:
    return Credentials(
        home_id=secrets.token_hex(8),
        port=free_port(),
        owner_password=secrets.token_urlsafe(24),
        application_password=secrets.token_urlsafe(24),
        quarantine_password=secrets.token_urlsafe(24),
    )


def with_free_port(credentials: Credentials) -> Credentials:
    """The same credentials; another port if theirs is taken."""
    if is_free(credentials.port):
        return credentials
    return replace(credentials, port=free_port())


def free_port() -> int:
    for _ in range(200):
        port = secrets.choice(PORTS)
        if is_free(port):
            return port
    raise UnableToUseHome(f"No free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop - 1}.")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server itself binds: a connection of an earlier server that lingers is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def explanation(path: Path, error: OSError) -> str:
    return (
        f"Cannot use {path} ({error.strerror or error}). Run as the user it belongs to, or set "
        "WATERTIGHT_HOME to a folder of your own, or DATABASE_URL to a server."
    )
