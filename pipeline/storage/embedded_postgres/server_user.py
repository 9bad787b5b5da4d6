"""The system user that the server runs as where this program runs as root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TypedDict

from pipeline.errors import SettingsError
from pipeline.private_home import GROUP_MAY_PASS, OWNER_ONLY
from pipeline.storage.embedded_postgres.running_server import last_line

SYSTEM_USER = "stockcast"
USERADD = ("useradd", "--system", "--user-group", "--no-create-home")
#: Where it is; a plain `su` leaves these folders out of PATH.
ADMIN_FOLDERS = ("/usr/sbin", "/sbin")
#: Permissions that let others pass a folder, read a file, and do both.
MAY_PASS, MAY_READ, MAY_READ_AND_PASS = 0o001, 0o004, 0o005
EXECUTABLE_BY_OWNER = 0o100


class ProcessOptions(TypedDict):
    """Options of `subprocess` for a process of the server's user."""

    user: str | None
    group: str | None
    extra_groups: list[str] | None
    umask: int


def server_user() -> str | None:
    """Return the user that the server runs as, made where missing; None: the current one.

    Raises:
        SettingsError: the user cannot be made.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _make_user()
    return SYSTEM_USER


def _make_user() -> None:
    command = [*USERADD, "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=_admin_env())
    except (OSError, subprocess.CalledProcessError) as error:
        reason = last_line(getattr(error, "stderr", None) or str(error))
        raise SettingsError(
            f"PostgreSQL refuses to run as root, and user {SYSTEM_USER} could not be made "
            f"({reason}). Run as an ordinary user, or set STOCKCAST_STORE_URL."
        ) from error


def _admin_env() -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {**os.environ, "PATH": os.pathsep.join([*path, *ADMIN_FOLDERS])}


def process_options(user: str | None) -> ProcessOptions:
    """Return what makes a process run as `user` (None: the current one), for its own eyes only."""
    groups: list[str] | None = [] if user else None
    return {"user": user, "group": user, "extra_groups": groups, "umask": 0o077}


def admit(user: str | None, folder: Path, binaries: Path) -> None:
    """Let the server's user reach its data and its binaries.

    It may pass the folders above them, the home as its group only: no other user may. It may also
    read the binaries, which an installation under a strict umask forbids.
    """
    if user is None:
        return
    home, *above_home = folder.parents
    for private in (folder, home):
        shutil.chown(private, group=user)
        private.chmod(OWNER_ONLY | GROUP_MAY_PASS)
    for above in [*above_home, *binaries.parents]:
        _allow(above, MAY_PASS)
    if binaries.stat().st_mode & MAY_READ_AND_PASS != MAY_READ_AND_PASS:
        for path in [binaries.parent, *binaries.parent.rglob("*")]:
            runs = path.is_dir() or path.stat().st_mode & EXECUTABLE_BY_OWNER
            _allow(path, MAY_READ_AND_PASS if runs else MAY_READ)


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode | bits)
