"""Fixtures that several test files share: stores, and the tables of MLflow and Airflow."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Before TensorFlow: it brings a libcurl of its own for all to see, and yfinance's would then lack
# what makes it look like a browser. (The product never has both in one process.)
import curl_cffi  # noqa: F401
import pytest

from pipeline.garbage import search_rarely
from tests.airflow_homes import migrate_database
from tests.made_once import MadeOnce

# The process that only hands out tests begins with this file, too: all others wait for it, so that
# a fixture imports what it needs.
if TYPE_CHECKING:
    from pipeline.run import Run
    from tests.made_days import MadeParts

# What these say is for tests/browser.py; as settings they would be refused.
for name in ("STOCKCAST_TEST_BROWSER", "STOCKCAST_SCREENSHOTS"):
    if name in os.environ:
        os.environ[f"_{name}"] = os.environ.pop(name)
search_rarely()  # while what tests need is imported


#: An expression that leaves out marks and asks for nothing else.
WITHOUT_MARKS = re.compile(r"not \w+(?: and not \w+)*")
#: The line of a module all of whose tests have a mark.
ALL_MARKED = re.compile(r"^pytestmark = (?:\[\s*)?pytest\.mark\.(\w+)", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module all of whose tests are left out: what slow ones import is large."""
    expression = config.option.markexpr
    if not WITHOUT_MARKS.fullmatch(expression) or not collection_path.match("test_*.py"):
        return None
    marked = ALL_MARKED.search(collection_path.read_text("utf-8"))
    return True if marked and marked[1] in expression.split() else None


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at what all tests share, over and over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def unsynced_files() -> Iterator[None]:
    """Leave files to the system's cache: no test cuts the power, and disks are slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def postgres_home() -> Iterator[Path]:
    """The state folder of a running embedded server.

    Not in pytest's own temporary folder: as root, the server runs as another user, whom pytest
    locks out again each time it starts.
    """
    from pipeline.storage import embedded_postgres

    home = Path(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))
    embedded_postgres.keep(home)
    yield home
    embedded_postgres.stop(home)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def postgres_store_url(postgres_home: Path) -> str:
    from pipeline.storage import embedded_postgres

    return embedded_postgres.url(postgres_home, "stockcast_test")


@pytest.fixture(scope="session")
def made_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Folders that take long to fill, each filled once for all processes that run the tests."""
    root = tmp_path_factory.getbasetemp()
    is_one_of_several = hasattr(request.config, "workerinput")
    return MadeOnce(root.parent if is_one_of_several else root)


@pytest.fixture(scope="session")
def mlflow_database(made_once: MadeOnce) -> Path:
    """An SQLite file with MLflow's empty tables (seconds of work), made once, then copied."""
    from pipeline.tracking import Tracker

    def make(folder: Path) -> None:
        Tracker(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"), "none").prepare()

    return made_once("mlflow", make) / "mlflow.db"


@pytest.fixture(scope="session")
def airflow_database(made_once: MadeOnce) -> Path:
    """An SQLite file with Airflow's empty tables: made once, then copied."""
    return made_once("airflow", migrate_database) / "airflow.db"


@pytest.fixture(scope="session")
def made_day(made_once: MadeOnce, mlflow_database: Path) -> Iterator[tuple[MadeParts, Run]]:
    """A whole day of `made_days.TRAINED`, whose networks are published.

    For tests that look at what it left and change nothing.
    """
    from pipeline.daily import passed
    from pipeline.run import Run
    from tests.made_days import TRAINED, MadeParts, made_source, run_made_day

    def make(home: Path) -> None:
        shutil.copy(mlflow_database, home / "mlflow.db")
        with MadeParts(home, made_source(signalled=True)) as parts:
            run = run_made_day(parts, universe=TRAINED)
            assert passed(parts, run) == list(TRAINED.tickers), parts.messages
        (home / "run.json").write_text(json.dumps(run.to_json()))

    home = made_once("made_day", make)
    run = Run.from_json(json.loads((home / "run.json").read_text()))
    with MadeParts(home, made_source(signalled=True)) as parts:
        yield parts, run
