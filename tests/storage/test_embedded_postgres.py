"""The embedded PostgreSQL: started by its first user, gone with its last, however that ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.errors import SettingsError, StoreUnavailable
from pipeline.storage import embedded_postgres
from pipeline.storage.embedded_postgres.file_lock import FileLock

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A stopped server's state folder; its path needs quoting, and is too long for a socket."""
    above = Path(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))
    home = above / "it's a 100% long path" / ("x" * 100)
    yield home
    assert embedded_postgres.stop(home)
    shutil.rmtree(above)


def ask(url: str, query: str) -> object:
    """Return the one value that a query gives."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        answer = connection.scalar(sa.text(query))
    engine.dispose()
    return answer


USER = """
import os, sys, time
from pathlib import Path
from pipeline.storage import embedded_postgres
home = Path({home!r})
embedded_postgres.keep(home)
print('here', flush=True)
"""


def user(home: Path, then: str) -> subprocess.Popen:
    """Start another process that uses the server, prints a line, and goes on with `then`."""
    code = USER.format(home=str(home)) + then
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=-1, stdout=-1, text=True
    )
    assert process.stdout.readline() == "here\n"
    return process


def end(process: subprocess.Popen) -> int:
    """End a user that waits for its standard input; return its exit code."""
    process.communicate()
    return process.returncode


def until(holds: Callable[[], bool]) -> bool:
    """Wait until something holds, 30 seconds at most; return whether it does."""
    deadline = time.monotonic() + 30
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def guard_of(home: Path) -> int:
    """Return the process id of the server's guard."""
    return int((home / "postgres" / "guard.lock").read_text())


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_both_drivers_reach_a_database_by_its_url_also_where_pgport_is_set(
    postgres_home, monkeypatch
):
    monkeypatch.setenv("PGPORT", "99")
    assert ask(embedded_postgres.url(postgres_home, "one"), "SELECT current_database()") == "one"
    assert ask(embedded_postgres.url(postgres_home, "one"), "SHOW listen_addresses") == ""

    async def ask_asyncpg() -> str:
        from sqlalchemy.ext.asyncio import create_async_engine  # collecting does not wait for it

        engine = create_async_engine(
            embedded_postgres.url(postgres_home, "one", driver="postgresql+asyncpg")
        )
        async with engine.connect() as connection:
            answer = await connection.scalar(sa.text("SELECT current_database()"))
        await engine.dispose()
        return answer

    assert asyncio.run(ask_asyncpg()) == "one"


def test_only_the_servers_user_may_read_the_data_or_connect(postgres_home):
    url = embedded_postgres.url(postgres_home, "one")
    sockets = Path(sa.make_url(url).query["host"])
    assert stat.S_IMODE((postgres_home / "postgres" / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((sockets / ".s.PGSQL.5432").stat().st_mode) == 0o700
    for private in (postgres_home, postgres_home / "postgres"):
        state = private.stat()
        owner, mode = private.owner(), stat.S_IMODE(state.st_mode)
        # Root's server has a user of its own, whose group may pass, but not list.
        passable = ("root", "stockcast", 0o710)
        assert mode == 0o700 or (owner, private.group(), mode) == passable


def test_its_home_may_need_quoting_and_be_too_long_for_a_socket(home):
    url = embedded_postgres.url(home, "two")
    assert ask(url, "SELECT current_database()") == "two"
    assert "%" not in url, "Alembic's and Airflow's configuration files would interpolate it"
    assert embedded_postgres.running(home)
    sockets = Path(sa.make_url(url).query["host"])
    above = next(folder for folder in home.parents if folder.name.startswith("stockcast-test-"))
    assert stat.S_IMODE(above.stat().st_mode) in (0o700, 0o701), (
        "root's server has a user of its own, who may pass, but not list"
    )
    assert embedded_postgres.stop(home)
    assert not embedded_postgres.running(home)
    assert not sockets.exists()


@pytest.mark.parametrize(
    "last_act", ["os.kill(os.getpid(), 9)", "os._exit(0)", "sys.exit()", "raise SystemError"]
)
def test_the_server_ends_with_its_last_user_however_that_ends(home, last_act):
    first = user(home, "sys.stdin.read()")
    second = user(home, f"sys.stderr = None; sys.stdin.read(); {last_act}")
    guard = guard_of(home)
    assert end(first) == 0
    assert embedded_postgres.running(home)
    end(second)
    assert until(lambda: gone(guard))
    assert not embedded_postgres.running(home)
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    assert not pid_file.exists(), "it was shut down, not killed"


def test_a_regular_end_waits_for_the_servers_end(home):
    process = user(home, "")
    assert end(process) == 0
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()


def test_a_forked_child_keeps_the_server_beyond_its_parent_and_does_not_stop_it_when_it_ends(home):
    fork = "if os.fork() == 0:\n    sys.stdin.read()\n    sys.exit()\nos._exit(0)"
    process = user(home, fork)
    process.wait()
    assert embedded_postgres.running(home)
    wait = "os.wait(); print('child gone', flush=True); sys.stdin.read()"
    child_ends_first = user(home, f"if os.fork() == 0: sys.exit()\n{wait}")
    assert child_ends_first.stdout.readline() == "child gone\n"
    end(process)
    assert embedded_postgres.running(home)
    assert end(child_ends_first) == 0
    assert until(lambda: not embedded_postgres.running(home))


def test_four_that_start_at_once_share_one_server(home):
    code = "print(embedded_postgres.url(home, 'three'), flush=True); sys.stdin.read()"
    users = [user(home, code) for _ in range(4)]
    urls = {process.stdout.readline() for process in users}
    assert len(urls) == 1
    assert not embedded_postgres.stop(home), "others use it"
    for process in users:
        end(process)
    assert until(lambda: not embedded_postgres.running(home))


def test_a_crashed_server_is_started_again_with_its_data_even_if_its_process_id_is_taken(home):
    url = embedded_postgres.url(home, "two")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE facts (fact TEXT)"))
        connection.execute(sa.text("INSERT INTO facts VALUES ('kept')"))
    engine.dispose()
    data = home / "postgres" / "data"
    lines = (data / "postmaster.pid").read_text().splitlines()
    files = [data / "postmaster.pid", Path(lines[4], ".s.PGSQL.5432.lock")]
    os.kill(int(lines[0]), signal.SIGKILL)
    assert until(lambda: not embedded_postgres.running(home))
    for file in files:
        file.write_text("\n".join([str(os.getppid()), *file.read_text().splitlines()[1:], ""]))
    assert embedded_postgres.url(home, "two") == url, "who still has the URL can go on"
    assert ask(url, "SELECT fact FROM facts") == "kept"
    assert embedded_postgres.stop(home)


def test_a_server_whose_disk_was_full_as_it_started_is_started_again(home):
    embedded_postgres.keep(home)
    assert embedded_postgres.stop(home)
    (home / "postgres" / "data" / "postmaster.pid").touch()
    embedded_postgres.keep(home)
    assert embedded_postgres.running(home)
    assert embedded_postgres.stop(home)


def test_a_guard_that_ends_between_two_looks_is_no_other_user(home, monkeypatch):
    embedded_postgres.keep(home)
    guard, take = guard_of(home), FileLock.take

    def take_slowly(lock: FileLock, kind: int, wait: bool = True) -> bool:
        was_free = take(lock, kind, wait)
        if not was_free and os.path.sameopenfile(lock.fd, users.fd):
            assert until(lambda: gone(guard))
        return was_free

    with FileLock(home / "postgres" / "users.lock") as users:
        monkeypatch.setattr(FileLock, "take", take_slowly)
        assert embedded_postgres.stop(home)
    assert not embedded_postgres.running(home)


def test_a_killed_guard_is_replaced_by_the_next_user_or_not_missed(home):
    embedded_postgres.keep(home)
    first = guard_of(home)
    os.kill(first, signal.SIGKILL)
    assert until(lambda: gone(first))
    assert embedded_postgres.running(home)
    embedded_postgres.keep(home)
    second = guard_of(home)
    assert second != first
    os.kill(second, signal.SIGKILL)
    assert until(lambda: gone(second))
    assert embedded_postgres.stop(home)
    assert not embedded_postgres.running(home)


def test_a_server_that_cannot_start_says_why_and_starts_once_mended(home):
    embedded_postgres.url(home, "two")
    assert embedded_postgres.stop(home)
    configuration = home / "postgres" / "data" / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "\nnonsense\n")
    nonsense = r"did not start \(FATAL: .* contains errors\)\. See .*log\.$"
    with pytest.raises(StoreUnavailable, match=nonsense):
        embedded_postgres.url(home, "two")
    configuration.unlink()
    missing = r"did not start \(.*could not access the server configuration file"
    with pytest.raises(StoreUnavailable, match=missing):
        embedded_postgres.url(home, "two")  # and not the reason of the last time
    configuration.write_text(good)
    assert ask(embedded_postgres.url(home, "two"), "SELECT 1") == 1
    assert embedded_postgres.stop(home)


def test_a_cluster_of_an_unknown_version_is_refused_and_left_alone(tmp_path):
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(SettingsError, match=r"made by PostgreSQL 9; .* are installed"):
        embedded_postgres.url(tmp_path, "stockcast")
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]
    embedded_postgres.stop(tmp_path)


def test_the_guard_imports_no_library():
    """Without site-packages, there is none."""
    command = [sys.executable, "-S", "-c", "import pipeline.storage.embedded_postgres.guard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
