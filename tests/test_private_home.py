"""Only its owner may enter a home: a new one, and one that an older version has made."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.private_home import is_open, private_home

ROOT = Path(__file__).parents[1]
#: What an ordinary user sees of a home: run by one, whose number is the second argument. All is
#: imported before, as Python itself may be in a folder that root alone may enter.
AS_ANOTHER = """
import os, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from pipeline.private_home import private_home
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
print(oct(private_home(Path(sys.argv[1])).stat().st_mode & 0o7777))
"""
#: The number of a user that need not exist.
ANOTHER = 61234


def mode_of(home: Path) -> int:
    return stat.S_IMODE(home.stat().st_mode)


def test_a_home_is_made_for_its_owner_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        home = private_home(tmp_path / "above" / "home")
    finally:
        os.umask(before)
    assert mode_of(home) == 0o700
    assert not is_open(home)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o777])
def test_an_open_home_is_closed(tmp_path, mode):
    tmp_path.chmod(mode)
    assert is_open(tmp_path)
    assert not is_open(private_home(tmp_path))
    # Of root's, the group may pass: the user of its PostgreSQL is one.
    assert mode_of(tmp_path) == (0o710 if os.geteuid() == 0 and mode & 0o010 else 0o700)


def test_a_folder_that_all_may_write_to_by_intent_stays_as_it_is(tmp_path):
    tmp_path.chmod(0o1777)
    assert is_open(private_home(tmp_path))
    assert mode_of(tmp_path) == 0o1777


def test_a_home_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"The home .*file/home cannot be written to"):
        private_home(tmp_path / "file" / "home")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
@pytest.mark.parametrize(
    ("mode", "owner", "closed"), [(0o755, ANOTHER, "0o700"), (0o755, 0, "0o755")]
)
def test_an_ordinary_user_closes_their_own_home_and_leaves_anothers(mode, owner, closed):
    import tempfile

    home = Path(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))
    try:
        home.chmod(mode)
        os.chown(home, owner, owner)
        arguments = [str(home), str(ANOTHER), str(ROOT)]
        done = subprocess.run(
            [sys.executable, "-I", "-c", AS_ANOTHER, *arguments], capture_output=True, text=True
        )
    finally:
        home.rmdir()
    assert (done.stdout.strip(), done.stderr) == (closed, "")
