"""Whole backtests with a network that trains in seconds: what they see, leave and make again."""

import dataclasses
import datetime as dt
import json
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.quantiles import PROBABILITIES
from pipeline.tables import BACKTESTS
from tests.made_backtests import FIRST_CUTOFF, HORIZON, REQUEST, TINY, BacktestParts, bars_of

#: Every test here trains networks or writes to MLflow.
pytestmark = pytest.mark.slow

EACH_NETWORK = sorted([("all", "tiny.pool"), ("IBM", "tiny"), ("MSFT", "tiny")])
PICTURES = {"reliability", "sharpness", "pit", "horizons", "through_time"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory, mlflow_database):
    home = tmp_path_factory.mktemp("home")
    shutil.copy(mlflow_database, home / "mlflow.db")
    bars = {"IBM": bars_of(0), "MSFT": bars_of(1), "NEW": bars_of(2, 300)}
    with BacktestParts(home, tmp_path_factory.mktemp("made") / "prices", bars) as made:
        yield made


@pytest.fixture(scope="module")
def first_run(parts):
    """Return the result, the networks that were trained, and the files that were left."""
    result = parts.run()
    return result, parts.trained, parts.files_below(result), networks_of(parts)


@pytest.fixture(scope="module")
def result(first_run):
    return first_run[0]


def forget_networks(parts):
    for folder in ("models", "forecasts"):
        shutil.rmtree(parts.settings.home / "artifacts" / folder)


def networks_of(parts):
    return {path.name for path in (parts.settings.home / "artifacts" / "models").glob("*.keras")}


def runs_of(parts, result):
    """Return the parent run of a backtest and its children."""
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    experiment = client.get_experiment_by_name("backtests").experiment_id
    digest = result.folder.split("/")[1]
    [parent] = client.search_runs([experiment], f"tags.study = 'backtest {digest}'")
    of_parent = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return client, parent, client.search_runs([experiment], of_parent)


def in_one_line(text):
    return " ".join(text.split())


# The table


def test_every_forecaster_has_every_cutoff_horizon_and_quantile_once(parts, result):
    table = parts.table(result)
    _, sessions = parts.closes_of("IBM")
    start = sessions.index(FIRST_CUTOFF)
    cutoffs = [day for day in sessions[start::10] if day <= dt.date(2016, 12, 30)]
    assert len(cutoffs) == 15
    for name in ("tiny", "random_walk", "naive", "ewma"):
        rows = table[table["recipe"] == name]
        assert len(rows) == 15 * 2 * HORIZON * len(PROBABILITIES)
        assert sorted({moment.date() for moment in rows["cutoff"]}) == cutoffs
        assert set(rows["ticker"]) == {"IBM", "MSFT"}
    row = table.iloc[0]
    assert row["session"].date() == sessions[sessions.index(row["cutoff"].date()) + row["horizon"]]
    assert not table.duplicated(list(BACKTESTS.key)).any()
    ordered = table["forecast"].to_numpy().reshape(-1, len(PROBABILITIES))
    assert (np.diff(ordered, axis=1) >= 0).all()
    assert (ordered > 0).all()


def test_prices_after_a_cutoff_move_no_forecast_at_it_or_before(
    parts, first_run, tmp_path, mlflow_database
):
    result, _, _, networks = first_run
    before = parts.table(result)
    moment = sorted(before["cutoff"].unique())[10]  # the third of the second block
    bars = {
        ticker: pd.read_csv(parts.folder / f"{ticker}.csv", parse_dates=["date"])
        for ticker in ("IBM", "MSFT", "NEW")  # which helps to fit the regression
    }
    random = np.random.default_rng(9)
    for table in bars.values():
        later = (table["date"] > moment).to_numpy()
        factors = 1.3 * np.exp(np.cumsum(random.normal(0, 0.05, later.sum())))
        for name in ("open", "high", "low", "close"):
            table.loc[later, name] *= factors
        table.loc[later, "volume"] *= 7
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    with BacktestParts(tmp_path, tmp_path / "prices", bars) as other:
        after = other.table(other.run())
        # All networks are trained again, and become the same: none has learnt from a later price.
        assert other.trained == sorted(2 * EACH_NETWORK)
        assert networks_of(other) == networks
    key = list(BACKTESTS.key)
    both = before.merge(after, on=key, suffixes=("", "_after"))
    assert len(both) == len(before) == len(after)
    seen = both["cutoff"] <= moment
    np.testing.assert_array_equal(both.loc[seen, "forecast"], both.loc[seen, "forecast_after"])
    assert (both.loc[~seen, "forecast"] != both.loc[~seen, "forecast_after"]).all()


# What is left, and going on


def test_each_block_trains_a_pooled_network_and_one_per_stock(first_run):
    _, trained, *_ = first_run
    assert trained == sorted(2 * EACH_NETWORK)


def test_a_second_run_makes_nothing_and_leaves_the_same_bytes_and_runs(parts, first_run):
    result, _, files, _ = first_run
    _, _, children = runs_of(parts, result)
    again = parts.run()
    assert (parts.jobs, parts.made_shards) == ([], [])
    assert (again.text, again.folder) == (result.text, result.folder)
    assert parts.files_below(again) == files
    _, parent, children_again = runs_of(parts, result)
    assert parent.info.status == "FINISHED"
    assert {run.info.run_id for run in children_again} == {run.info.run_id for run in children}


def test_another_backtest_with_the_same_first_cutoffs_trains_nothing(parts, result):
    other = parts.run(dataclasses.replace(REQUEST, recipes=[TINY], step=5, refit=16))
    assert other.folder != result.folder
    assert len(parts.made_shards) == 6
    assert parts.trained == []


def test_a_shard_that_is_gone_is_the_only_one_made_again(parts, first_run):
    result, _, files, _ = first_run
    forget_networks(parts)
    shards = parts.settings.home / "artifacts" / result.folder / "shards"
    (shards / "tiny-001.parquet").unlink()
    parts.run()
    assert parts.made_shards == ["tiny, block 2 of 2"]
    assert parts.trained == EACH_NETWORK
    assert parts.files_below(result) == files


def test_recipes_stand_side_by_side_in_mlflow(parts, result):
    client, parent, children = runs_of(parts, result)
    assert sorted(run.info.run_name for run in children) == ["ewma", "naive", "random_walk", "tiny"]
    board = result.board.set_index(["recipe", "horizon"])
    for run in children:
        name, metrics = run.info.run_name, run.data.metrics
        assert metrics["pinball"] == pytest.approx(board.loc[(name, 0), "pinball"])
        assert metrics["coverage_80.h2"] == pytest.approx(board.loc[(name, 2), "coverage_80"])
        assert (run.data.params["step"], run.data.params["refit"]) == ("10", "8")
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    tables = {"leaderboard.csv", "by_ticker.csv", "leaderboard.md"}
    tables |= {"distributions.csv", "quantiles.csv", "exceedances.csv"}
    assert {f"{name}.png" for name in PICTURES} | tables <= files


def test_the_text_names_who_was_left_out_and_that_the_cutoffs_are_few(parts, first_run):
    result, _, files, _ = first_run
    text = in_one_line(result.text)
    assert "left out of 2 blocks by tiny: NEW: " in text
    assert "sessions more." in text
    assert "cannot be distinguished from ewma on 15 cutoffs" in text
    pictures = [content for name, content in files.items() if name.endswith(".png")]
    assert len(pictures) == len(PICTURES)
    assert all(content.startswith(b"\x89PNG") for content in pictures)
    weights = pd.read_csv(parts.settings.home / "artifacts" / result.folder / "weights.csv")
    assert list(zip(weights["refitted"], weights["ticker"], strict=True)) == [
        (day, ticker) for day in ("2016-06-01", "2016-09-23") for ticker in ("IBM", "MSFT")
    ]
    assert weights["weight"].between(0, 1).all()


def test_a_warm_start_trains_one_pooled_network_for_all_blocks(parts, result):
    forget_networks(parts)
    warm = parts.run(dataclasses.replace(REQUEST, recipes=[TINY], warm_start=True))
    own = [("IBM", "tiny"), ("MSFT", "tiny")]
    assert parts.trained == sorted([("all", "tiny.pool"), *own, *own])
    assert "2 times, each time from the first on" in in_one_line(warm.text)


# The command


def test_the_command_prints_the_leaderboard_and_where_the_files_are(
    capsys, monkeypatch, tmp_path, mlflow_database
):
    from pipeline.cli import main

    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    (tmp_path / "prices").mkdir()
    bars_of(0).to_csv(tmp_path / "prices" / "IBM.csv", index=False)
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path))
    monkeypatch.setenv("STOCKCAST_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    line = (
        f"backtest --data {tmp_path}/prices --recipes window_average --baselines drift "
        "--from 2016-06-01 --to 2016-12-30 --step 3 --refit 0 --horizon 2"
    )
    assert main(shlex.split(line)) == 0
    out = capsys.readouterr().out
    cutoffs = "from 50 cutoffs between 2016-06-01 and 2016-12-29"
    assert f"close of IBM, 1 to 2 sessions ahead, {cutoffs}" in in_one_line(out)
    assert "window_average loses to naive and loses to ewma." in out
    assert f"{tmp_path}/artifacts/backtests/" in out
    assert "experiment backtests" in out
    assert main(shlex.split(f"{line} --format json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["recipe"] for row in rows} == {"window_average", "drift", "naive", "ewma"}
