"""`make run`, `make up` and `make down` for real: a universe whose one stock is too young for a network, so nothing is trained."""

from __future__ import annotations

import datetime as dt
import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from pipeline import embedded_postgres
from pipeline.errors import SettingsError
from pipeline.scheduling import services
from pipeline.scheduling.environment import PRICE_POOL_SLOTS, admin_password
from pipeline.scheduling.rest import Airflow
from pipeline.scheduling.timetable import run_moment
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from tests import servers
from tests.servers import Deployment
from tests.test_docs_examples import block_with

DAG = "daily_forecast_young"
YOUNG = '[young]\nsource = "sample"\ntickers = ["FB"]\n'


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with servers.deployment(universes=YOUNG, universe="young") as deployed:
        yield deployed


def _table(output: str) -> str:
    """What a run prints between its progress and where everything is."""
    return output.partition("\n\n")[2].partition("\nReport ")[0]


@pytest.fixture(scope="module")
def first(deployment) -> subprocess.CompletedProcess:
    """What the first `make run` of this home says."""
    return deployment.call("run", "--session", "2013-02-28")


@pytest.mark.slow
def test_a_run_prints_its_progress_and_its_forecasts_and_the_same_again(deployment, first):
    assert (first.returncode, first.stderr) == (0, "")
    steps = [line.split()[0] for line in first.stdout.partition("\n\n")[0].splitlines()[1:]]
    assert sorted(steps[2:4]) == ["build_windows", "pretrain"]  # at the same time
    assert steps[:2] + steps[4:] == ["ingest", "check", "train", "evaluate", "promote", "publish", "score", "watch", "report"]
    assert "FB" in _table(first.stdout)
    again = deployment.call("run", "--session", "2013-02-28")
    assert (again.returncode, _table(again.stdout)) == (0, _table(first.stdout))


#: The slots of the pool that a run has made; and again, after somebody has changed them. (In a process of its own: who uses the server keeps it up.)
POOL = """
import sqlalchemy as sa
from pipeline import embedded_postgres
from pipeline.scheduling.databases import make_price_pool
from pipeline.settings import Settings

url = embedded_postgres.url(Settings.from_env().home, "airflow")
for change in ("SELECT 1", "UPDATE slot_pool SET slots = 5 WHERE pool = 'prices'"):
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text(change))
    make_price_pool(url)
    with sa.create_engine(url).begin() as connection:
        print(*connection.scalars(sa.text("SELECT slots FROM slot_pool WHERE pool = 'prices'")))
"""


@pytest.mark.slow
def test_a_run_makes_the_pool_that_ingest_takes_and_leaves_the_slots_that_people_give_it(deployment, first):
    told = deployment.python("-c", POOL)
    assert (told.stdout.split(), told.stderr) == ([str(PRICE_POOL_SLOTS), "5"], "")


#: `make run` on a day when the source does not answer for one of the tickers.
OUTAGE = """
import sys
from pipeline import steps
from pipeline.errors import SourceUnavailable
from pipeline.scheduling.__main__ import main

def ingest(parts, run, tickers, real=steps.ingest):
    if tickers == ["GONE"]:
        raise SourceUnavailable("GONE: no answer")
    real(parts, run, tickers)

steps.ingest = ingest
sys.exit(main(["run", "--session", "2013-02-28"]))
"""


@pytest.mark.slow
def test_a_ticker_that_fails_does_not_stop_the_others_and_is_named(deployment, tmp_path):
    sessions = Calendar("XNYS").sessions(dt.date(2012, 9, 4), dt.date(2013, 2, 28))
    for ticker, price in (("FINE", 20), ("GONE", 30), ("GOOD", 40)):
        bars = [(day, price + (7 * number) % 11 / 10) for number, day in enumerate(sessions)]
        rows = [f"{day},{close},{close + 1},{close - 1},{close},{1000 + number}" for number, (day, close) in enumerate(bars)]
        (tmp_path / f"{ticker}.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    chosen = {"STOCKCAST_UNIVERSE": "", "STOCKCAST_SOURCE": "csv", "STOCKCAST_DATA": str(tmp_path)}
    done = deployment.python("-c", OUTAGE, **chosen)
    assert (done.returncode, done.stderr) == (1, "FAILED ingest of GONE: GONE: no answer\n")
    assert [line.split()[0] for line in _table(done.stdout).splitlines() if "last close" in line] == ["FINE", "GOOD"]


@pytest.mark.slow
def test_what_cannot_be_run_is_one_line_and_starts_nothing(deployment):
    holiday = deployment.call("run", "--session", "2013-02-18")
    assert (holiday.returncode, len(holiday.stderr.splitlines())) == (2, 1)
    assert "2013-02-18 is no session of XNYS" in holiday.stderr
    unknown = deployment.call("run", "--universe", "yung")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)
    assert "There is no universe 'yung'" in unknown.stderr


@pytest.mark.slow
def test_up_shows_the_run_takes_requests_and_backfills_and_down_leaves_nothing(deployment, first):
    settings, calendar = deployment.settings, Calendar("XNYS")
    up = deployment.call("up")
    assert (up.returncode, up.stderr) == (0, "")
    assert f"http://127.0.0.1:{settings.airflow_port}   user admin, password " in up.stdout
    assert "already" in deployment.call("up").stdout

    airflow = Airflow(settings)
    earlier = airflow.backfill_runs(DAG, *[run_moment(calendar, dt.date(2013, 2, 28))] * 2)
    assert [run["state"] for run in earlier] == ["success"]

    through_the_scheduler = deployment.call("run", "--session", "2013-02-28")
    assert (through_the_scheduler.returncode, through_the_scheduler.stderr) == (0, "")

    # A weekend and Presidents' Day lie between these two sessions.
    backfill = deployment.call("backfill", "--from", "2013-02-15", "--to", "2013-02-19", "--wait")
    assert (backfill.returncode, backfill.stderr) == (0, "")
    expected = [run_moment(calendar, dt.date(2013, 2, day)) for day in (15, 19)]
    runs = airflow.backfill_runs(DAG, expected[0], expected[-1])
    assert [dt.datetime.fromisoformat(run["logical_date"]) for run in runs] == expected
    assert {run["state"] for run in runs} == {"success"}

    _pages_say_what_is_stored(deployment, airflow, earlier[0]["dag_run_id"])

    ours = [process for process in psutil.process_iter() if services.is_marked(process, settings.home)]
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in ours
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", settings.airflow_port), ("127.0.0.1", settings.mlflow_port)}

    down = deployment.call("down")
    assert (down.returncode, down.stdout) == (0, "It is down.\n")
    assert [process for process in ours if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    assert not embedded_postgres.running(settings.home)


def _pages_say_what_is_stored(deployment: Deployment, airflow: Airflow, run_id: str) -> None:
    """The Forecasts pages inside the running Airflow: nothing without its login; with it, the store's rows and the way to the run."""
    pages = f"{airflow.address}/forecasts"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{pages}/api/forecasts")
    with urllib.request.urlopen(f"{pages}/stocks/FB") as answer:
        assert "/auth/login" in answer.url and b">FB<" not in answer.read()
    rows = json.loads(airflow.get("/forecasts/api/stocks/FB/forecasts?universe=young&session=2013-02-28"))
    stored = deployment.python("-m", "pipeline", "forecasts", "--session", "2013-02-28", "--format", "json")
    wanted = ("ticker", "horizon", "session", "y_hat", "lower_80", "upper_80")
    assert [[row[name] for name in wanted] for row in rows] == [[row[name] for name in wanted] for row in json.loads(stored.stdout)]
    page = airflow.get("/forecasts/stocks/FB?universe=young&session=2013-02-28").decode()
    assert f"/dags/{DAG}/runs/{urllib.parse.quote(run_id, safe='')}/tasks/evaluate/mapped/0" in page
    assert b'"name":"Forecasts"' in airflow.get("/api/v2/plugins").replace(b": ", b":")
    _the_readmes_curl_gets_the_same_rows(deployment, len({row["ticker"] for row in rows}))


def _the_readmes_curl_gets_the_same_rows(deployment: Deployment, tickers: int) -> None:
    """The example of the README, as it is but for port, password and universe."""
    settings = deployment.settings
    script = block_with("/auth/token").replace("127.0.0.1:8080", f"127.0.0.1:{settings.airflow_port}")
    script = script.replace('"..."', json.dumps(admin_password(settings.home))).replace("universe=sample", "universe=young")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert (head.split(",")[0], [line.split(",")[0] for line in lines]) == ("ticker", ["FB"] * tickers)


def test_a_taken_port_is_named_with_its_setting(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"Port {port} for api-server .* Set STOCKCAST_AIRFLOW_PORT to a free port"):
            services.up(Settings(home=tmp_path, airflow_port=port))
    assert list(tmp_path.iterdir()) == []
