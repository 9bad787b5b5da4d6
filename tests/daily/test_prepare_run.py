"""The look at store, artifacts and tracking before a run: notes, and what was killed before."""

import dataclasses
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from pipeline.daily import plan, prepare_run
from pipeline.prices import CsvSource
from pipeline.tables import ACTIONS, PRICES
from tests.made_days import NOW, UNIVERSE
from tests.made_prices import LAST
from tests.servers import ROOT

FEWER = dataclasses.replace(UNIVERSE, tickers=("AAA",))


def notes(parts):
    return [message for step, _, message in parts.messages if step == "note"]


def test_nothing_is_noted_of_a_run_as_it_is_declared(parts):
    prepare_run(parts, plan(parts, UNIVERSE, LAST, NOW))
    assert notes(parts) == []


@pytest.mark.parametrize(("trains", "looked"), [(True, 1), (False, 0)])
def test_a_session_that_trains_on_a_gpu_looks_for_it_before_it_begins(parts, trains, looked):
    run = plan(parts, UNIVERSE, LAST, NOW)
    cutoff = run.session if trains else run.previous_cutoff
    run = dataclasses.replace(run, training_cutoff=cutoff)
    parts.workers.require_gpu = lambda: "a made GPU"
    prepare_run(parts, run)
    assert notes(parts) == []
    parts.settings = parts.settings.replaced(device="gpu")
    prepare_run(parts, run)
    assert notes(parts) == ["networks are trained on a made GPU"] * looked


@pytest.mark.parametrize(
    ("publish", "outcome"),
    [
        (False, "a rehearsal, kept under the name made.rehearsal: nothing is published (--publish"),
        (True, "published, though made is declared otherwise; networks learn from these tickers"),
    ],
)
def test_what_differs_from_the_declaration_is_noted(parts, tmp_path, publish, outcome):
    file = tmp_path / "universes.toml"
    file.write_text('[made]\nsource = "sample"\ntickers = ["AAA", "BBB"]\n')
    parts.settings = parts.settings.replaced(universes=str(file))
    shorter = dataclasses.replace(FEWER, horizon=2)
    prepare_run(parts, plan(parts, shorter, LAST, NOW, publish=publish))
    [note] = notes(parts)
    assert note.startswith(f"tickers AAA; horizon 2: {outcome}")


def test_prices_of_another_folder_in_the_same_home_are_noted(parts):
    prices = {"ticker": "AAA", "session": pd.Timestamp(LAST), "volume": 1.0}
    bars = pd.DataFrame([prices | dict.fromkeys(("open", "high", "low", "close"), 1.0)])
    parts.store.prices.save("csv:/elsewhere", PRICES.conform(bars), ACTIONS.empty(), LAST, LAST)
    run = plan(parts, FEWER, LAST, NOW)
    universe = dataclasses.replace(FEWER, name="csv", source="csv", data="/here")
    prepare_run(parts, dataclasses.replace(run, universe=universe))
    [note] = notes(parts)
    assert note.startswith("this home also has prices from /elsewhere: forecasts made from them")


@pytest.mark.parametrize(
    ("name", "words"), [("csv", ["is a name that any", "'A A'"]), ("b", ["'A A'"])]
)
def test_files_and_rows_of_no_ticker_are_noted(parts, tmp_path, name, words):
    """Which files a universe does not ask for, nobody has to be reminded of."""
    rows = ["AAA,2013-03-01,1,1,1,1,1\n", "A A,2013-03-01,1,1,1,1,1\n"]
    head = "Date,Open,High,Low,Close,Volume\n"
    (tmp_path / "all.csv").write_text("".join([f"Ticker,{head}", *rows]))
    (tmp_path / "download.csv").write_text(head + rows[0].removeprefix("AAA,"))
    run = plan(parts, FEWER, LAST, NOW)
    parts.made = CsvSource(tmp_path)
    prepare_run(parts, dataclasses.replace(run, universe=dataclasses.replace(FEWER, name=name)))
    found = notes(parts)
    assert len(found) == len(words)
    assert all(word in note for word, note in zip(words, found, strict=True))


#: Opens a session in MLflow and waits.
WAITING = """
import datetime as dt, sys
from pathlib import Path
from pipeline.daily import plan, prepare_run
from tests.made_days import NOW, UNIVERSE, MadeParts, made_source

parts = MadeParts(Path(sys.argv[1]), made_source())
prepare_run(parts, plan(parts, UNIVERSE, dt.date(2013, 2, 28), NOW))
print("open", flush=True)
input()
"""


@pytest.mark.slow
def test_the_run_of_a_killed_process_is_killed_by_the_next_run(make_parts):
    parts = make_parts()
    command = [sys.executable, "-c", WAITING, str(parts.settings.home)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ) as process:
        assert process.stdout.readline() == "open\n"
        client, experiment = mlflow_of(parts)
        [waiting] = client.search_runs([experiment], "tags.session = '2013-02-28'")
        assert waiting.info.status == "RUNNING"
        process.send_signal(signal.SIGKILL)
        process.wait()
    prepare_run(parts, plan(parts, UNIVERSE, LAST, NOW))
    killed = client.get_run(waiting.info.run_id)
    assert (killed.info.status, killed.data.tags["failure"]) == (
        "KILLED",
        "its process was killed",
    )
    assert notes(parts) == [
        "MLflow run 2013-02-28 default was left by a killed process: now KILLED"
    ]
    # The session of the training cutoff is there as well; this one is under way.
    statuses = {run.info.run_name: run.info.status for run in client.search_runs([experiment])}
    assert statuses == {
        "2013-02-01 default": "FINISHED",
        "2013-02-28 default": "KILLED",
        "2013-03-01 default": "RUNNING",
    }


def mlflow_of(parts):
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    return client, client.get_experiment_by_name(UNIVERSE.name).experiment_id
