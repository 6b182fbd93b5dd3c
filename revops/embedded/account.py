"""The user the server runs as: PostgreSQL refuses to run as root."""

import os
import pwd
import stat
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What server programs may see of our environment: no PG* variable that would redirect them, and no secret.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class UnableToChooseUser(Exception):
    """No user is there for the server to run as."""


@dataclass(frozen=True)
class Account:
    """A user of this machine; `is_self` when programs already run as this user."""

    name: str
    uid: int
    gid: int
    is_self: bool

    def run(self, command: Sequence[str | Path], given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program as this user, apart from our terminal; its failure is for the caller to judge.

        Raises PermissionError where the user cannot reach the program.
        """
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return subprocess.run(
            [str(part) for part in command],
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "TZ": "UTC", **environment},
            start_new_session=True,
            user=None if self.is_self else self.uid,
            group=None if self.is_self else self.gid,
            extra_groups=None if self.is_self else [],
        )

    def can(self, test: str, path: Path) -> bool:
        """Whether this user passes `test -r|-w|-x path`: asked of the system, not computed from mode bits."""
        return self.run(["/bin/sh", "-c", f'test {test} "$0"', path]).returncode == 0

    def write(self, path: Path, text: str, append: bool = False) -> None:
        """Write a file as this user, so that root never follows a link the user may have placed."""
        redirection = ">>" if append else ">"
        done = self.run(["/bin/sh", "-c", f'umask 077; cat {redirection} "$0"', path], given=text)
        if done.returncode != 0:
            raise PermissionError(f"{self.name} cannot write {path}: {done.stderr.strip()}")

    def own(self, directory: Path) -> None:
        """Make a 0700 directory of this user's (its parent must exist). What others made of it is refused."""
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        if not self.is_self and directory.lstat().st_uid == os.geteuid():
            os.chown(directory, self.uid, self.gid, follow_symlinks=False)
        if not self.has_private(directory):
            raise PermissionError(f"{directory} must be a folder of user {self.name}, with mode 0700")

    def has_private(self, directory: Path) -> bool:
        try:
            found = directory.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == self.uid and stat.S_IMODE(found.st_mode) == 0o700


def choose_account(env: Mapping[str, str], data: Path | None) -> Account:
    """Ourselves; as root the owner of existing data, or `WATERTIGHT_POSTGRES_USER`, `postgres`, `nobody`."""
    if os.geteuid() != 0:
        return Account(name=user_name(os.geteuid()), uid=os.geteuid(), gid=os.getegid(), is_self=True)
    if data is not None and data.exists():
        uid = data.stat().st_uid
        if uid != 0:
            return Account(name=user_name(uid), uid=uid, gid=data.stat().st_gid, is_self=False)
    wanted = env.get("WATERTIGHT_POSTGRES_USER")
    for name in [wanted] if wanted else ["postgres", "nobody"]:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, is_self=False)
    raise UnableToChooseUser(
        f"PostgreSQL does not run as root, and there is no ordinary user {wanted or 'postgres or nobody'}. "
        "Set WATERTIGHT_POSTGRES_USER to one that exists."
    )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
