"""The home's permissions: it holds passwords and databases, so only its owner may enter it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from pipeline.errors import SettingsError

#: Permissions of a home.
OWNER_ONLY = 0o700
#: Left to a group where root owns the home: the embedded PostgreSQL's user may pass, not read.
GROUP_MAY_PASS = 0o010
FOR_OTHERS = 0o077


def private_home(home: Path) -> Path:
    """Return the home, made where missing, and closed to others where it is open.

    A folder of somebody else's, or one made for all to write to (such as /tmp), stays as it is.

    Raises:
        SettingsError: it cannot be made.
    """
    try:
        home.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable_home(home, error) from None
    mode = home.stat().st_mode
    if is_open(home) and not mode & stat.S_ISVTX:
        with contextlib.suppress(PermissionError):  # somebody else's; the doctor names it
            home.chmod(stat.S_IMODE(mode) & ~_refused())
    return home


def is_open(home: Path) -> bool:
    """Return whether others than its owner may enter, list or change a home."""
    return bool(home.stat().st_mode & _refused())


def unusable_home(home: Path, error: OSError) -> SettingsError:
    """Return the error of a home that cannot be made or written to."""
    return SettingsError(
        f"The home {home} cannot be written to ({error.strerror}). "
        "Name a folder that can (flag --home or STOCKCAST_HOME)."
    )


def _refused() -> int:
    return FOR_OTHERS & ~GROUP_MAY_PASS if os.geteuid() == 0 else FOR_OTHERS
