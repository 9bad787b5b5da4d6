"""A study on a made folder: what is measured, what is left behind, what a second run does."""

import datetime as dt
import itertools
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import LookAtTheData
from pipeline.research.reproduction import reproduce
from pipeline.research.reproduction_plan import find_study
from pipeline.research.study import Period
from tests.made_studies import GAP, NOW, TESTED, StudyParts, write_prices

PARENT = "mlflow.parentRunId"
FIRST_TESTED = pd.Timestamp(TESTED[0])
slow = pytest.mark.slow


class Studies:
    """One home, in which the study "made" is run."""

    def __init__(self, home, folder):
        self.home = home
        self.parts = StudyParts(home, folder)

    def run(self, *tickers, recipe="", target="", last=None, seeds=2):
        self.parts.messages.clear()
        universe = self.parts.universe(*tickers)
        plan = find_study(self.parts.recipes, "made", universe, recipe, target)
        return reproduce(self.parts, universe, plan, seeds, Period(last=last), NOW)

    def files(self, report):
        """Return what lies in a study's folder, by name."""
        root = self.home / "artifacts" / report.folder
        return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}

    def runs(self):
        """Return all runs in MLflow."""
        from mlflow import MlflowClient

        client = MlflowClient(self.parts.settings.tracking_uri)
        return list(client.search_runs([client.get_experiment_by_name("studies").experiment_id]))

    def children(self):
        """Return the names of each parent's children, by its (tickers, target, period)."""
        runs = self.runs()
        return {
            tuple(parent.data.params[name] for name in ("tickers", "target", "period")): sorted(
                run.info.run_name for run in runs if run.data.tags.get(PARENT) == parent.info.run_id
            )
            for parent in runs
            if PARENT not in parent.data.tags
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_prices(tmp_path_factory.mktemp("prices"))


@pytest.fixture(scope="module")
def studies(tmp_path_factory, folder, mlflow_database):
    home = tmp_path_factory.mktemp("home")
    shutil.copy(mlflow_database, home / "mlflow.db")
    made = Studies(home, folder)
    with made.parts:
        yield made


@pytest.fixture(scope="module")
def report(studies):
    return studies.run()


@pytest.fixture(scope="module")
def later_studies(tmp_path_factory, folder, mlflow_database, studies, report):
    """Another home that has the networks of `studies`, but none of its runs."""
    home = tmp_path_factory.mktemp("later")
    shutil.copy(mlflow_database, home / "mlflow.db")
    for kept in ("models", "studies/predictions"):
        shutil.copytree(studies.home / "artifacts" / kept, home / "artifacts" / kept)
    made = Studies(home, folder)
    with made.parts:
        yield made


def bars_of(folder, ticker):
    return pd.read_csv(folder / f"{ticker}.csv", parse_dates=["date"])


def dull_highs(folder, ticker):
    """Return (high, high of the session before) by date, where a tested session has both."""
    bars = bars_of(folder, ticker).to_dict("records")
    pairs = {
        now["date"]: (now["high"], before["high"])
        for before, now in itertools.pairwise(bars)
        if now["date"] >= FIRST_TESTED
    }
    return {day: highs for day, highs in pairs.items() if not np.isnan(highs).any()}


def root_mean_square(errors):
    return np.sqrt(np.mean(np.square(errors)))


def dull_linear(folder, ticker, sessions):
    """Regress the next high, over the last close, on five sessions; on all that is not tested."""
    bars = bars_of(folder, ticker)
    values, dates = bars[["open", "high", "low", "close", "volume"]].to_numpy(), bars["date"]
    rows, goals, places = [], [], []
    for at in range(59, len(bars) - 1):
        window, close = values[at - 59 : at + 1], values[at, 3]
        volume = np.log(window[:, 4] / window[:, 4].mean())
        rows.append([*(window[-5:, :4] / close - 1).ravel(), *volume[-5:], 1.0])
        goals.append((values[at + 1, 1] - values[at, 1]) / close)
        places.append(at)
    rows, goals = np.array(rows), np.array(goals)
    old = np.array([dates[at + 1] < FIRST_TESTED for at in places])
    weights = np.linalg.pinv(rows[old]) @ goals[old]
    predictions = {
        dates[at + 1]: values[at, 1] + row @ weights * values[at, 3]
        for at, row in zip(places, rows, strict=True)
    }
    return np.array([predictions[session] for session in sessions])


def rows_of(report, ticker, recipe):
    rows = report.rows
    return rows[(rows["ticker"] == ticker) & (rows["recipe"] == recipe)]


def in_one_line(text):
    return " ".join(text.split())


@slow
def test_the_rows_are_what_a_loop_over_the_files_finds(studies, report, folder):
    rows = rows_of(report, "IBM", "short")
    expected = dull_highs(folder, "IBM")
    actual, naive = np.array(list(expected.values())).T
    line = dull_linear(folder, "IBM", list(expected))
    predictions = pd.read_csv(studies.files(report)["IBM-short.csv"], parse_dates=["date"])
    assert list(predictions.columns) == ["date", "actual", "prediction", "naive", "default"]
    assert list(predictions["date"]) == list(expected)
    np.testing.assert_allclose(predictions[["actual", "naive"]], np.column_stack([actual, naive]))
    first = rows.iloc[0]
    np.testing.assert_allclose(first["naive_rmse"], root_mean_square(actual - naive))
    np.testing.assert_allclose(first["linear_rmse"], root_mean_square(actual - line), rtol=1e-5)
    for name, column in (("rmse", "prediction"), ("default_rmse", "default")):
        np.testing.assert_allclose(first[name], root_mean_square(actual - predictions[column]))
    changes = [(predictions[name] - naive).std(ddof=0) for name in ("prediction", "actual")]
    np.testing.assert_allclose(first["spread"], changes[0] / changes[1])
    np.testing.assert_allclose(rows["ratio_to_naive"], rows["rmse"] / rows["naive_rmse"])
    assert list(rows["published_rmse"]) == [2.5, 2.5] and list(rows["seed"]) == [7, 8]


@slow
def test_errors_on_normalised_windows_are_as_the_sources_give_them(report, folder):
    """The recipe scales by the lowest and highest high before the test sessions."""
    bars = bars_of(folder, "IBM")
    highs, is_tested = bars["high"].to_numpy(), bars["date"].to_numpy() >= FIRST_TESTED
    before = highs[~is_tested]
    scaled = (highs - before.min()) / (before.max() - before.min())
    squares = np.diff(scaled) ** 2
    row = rows_of(report, "IBM", "short").iloc[0]
    tested = squares[is_tested[1:]].mean()
    np.testing.assert_allclose(row["naive_normalised_mse"], tested)
    trained = squares[9:][~is_tested[10:]].mean()  # the first window has ten sessions
    np.testing.assert_allclose(row["naive_normalised_mse_train"], trained)
    span = before.max() - before.min()
    np.testing.assert_allclose(row["normalised_mse"], row["rmse"] ** 2 / span**2)


@slow
def test_sessions_with_a_missing_cell_are_left_out_and_counted(report, folder):
    own = report.rows[report.rows["ticker"] == "KO"]
    expected = dull_highs(folder, "KO")
    actual, naive = np.array(list(expected.values())).T
    assert set(own["left_out"]) == {2} and set(own["sessions"]) == {len(expected)} == {61}
    np.testing.assert_allclose(own["naive_rmse"], root_mean_square(actual - naive))
    text = in_one_line(report.text)
    assert f"KO: 2 of 63 test sessions are left out, because the high of {GAP} is missing." in text
    gaps = "KO: in 9 of the windows tested, short sees the last known price in the place of a missi"
    assert gaps in text


@slow
def test_the_table_has_mean_and_range_over_the_seeds(report):
    own = rows_of(report, "IBM", "short")
    lines = report.text.splitlines()
    line = next(line for line in lines if line.startswith("IBM") and " short " in line)
    rmse, naive, linear = own["rmse"], own["naive_rmse"].iloc[0], own["linear_rmse"].iloc[0]
    default = own["default_rmse"].mean()
    expected = ["IBM", "short", "2.5000", f"{2.5 / naive:.3f}", f"{rmse.mean():.4f}"]
    expected += [f"{rmse.min():.4f}", "..", f"{rmse.max():.4f}", f"{rmse.mean() / naive:.3f}"]
    expected += [f"{naive:.4f}", f"{linear:.4f}", f"{linear / naive:.3f}"]
    expected += [f"{default:.4f}", f"{default / naive:.3f}", "63", "0"]
    assert line.split() == expected
    loss = "Loss after the last epoch of short: published training 5.000e-01 (on its source's own "
    loss += f"history); ours on IBM training {own['training_loss'].mean():.3e};"
    assert loss in in_one_line(report.text)
    assert all(len(line) <= 130 for line in lines)


@slow
def test_tickers_that_fail_are_named_and_do_not_stop_the_others(report):
    assert list(report.rows["ticker"].unique()) == ["IBM", "KO"]
    messages = {ticker: str(error) for ticker, error in report.failures.items()}
    assert sorted(messages) == ["FEW", "OLD", "TORN"]
    assert "FEW: 100 sessions from 2017-08-" in messages["FEW"]
    assert "short needs 10 as context and 100 to train on" in messages["FEW"]
    days = "2017-10-02 to 2017-12-29"
    assert f"OLD: no session from {days}, on which short is tested" in messages["OLD"]
    columns = "high, low, close"
    assert f"TORN.csv: no column {columns} in the first line" in messages["TORN"]
    text = in_one_line(report.text)
    assert all(f"failed: {message}" in text for message in messages.values())


@slow
def test_runs_are_tracked_below_one_parent(studies, report):
    runs = {run.info.run_name: run for run in studies.runs()}
    children = [
        f"{ticker} {recipe} seed {seed}"
        for ticker in ("IBM", "KO")
        for recipe in ("short", "pool", "default")
        for seed in (7, 8)
    ]
    assert sorted(runs) == sorted(["reproduce made", *children])
    child = runs["IBM short seed 8"]
    row = rows_of(report, "IBM", "short").iloc[1]
    assert child.data.metrics["rmse"] == pytest.approx(row["rmse"])
    assert child.data.metrics["sessions"] == 63 and "loss" in child.data.metrics
    assert child.data.params["epochs"] == "1" and child.data.tags["mode"] == "honest"
    assert child.data.tags[PARENT] == runs["reproduce made"].info.run_id
    mean = report.rows[report.rows["recipe"] == "pool"]["ratio_to_naive"].mean()
    metrics = runs["reproduce made"].data.metrics
    assert metrics["ratio_to_naive.pool"] == pytest.approx(mean)


@slow
def test_a_second_run_trains_nothing_and_changes_nothing(studies, report):
    def files():
        return {
            name: (path.stat().st_mtime_ns, path.read_bytes())
            for name, path in studies.files(report).items()
        }

    def runs():
        return {run.info.run_name: run.info.run_id for run in studies.runs()}

    before = files(), runs()
    again = studies.run()
    assert (again.text, again.folder) == (report.text, report.folder)
    assert (files(), runs()) == before
    pd.testing.assert_frame_equal(again.rows, report.rows)
    assert [message for _, _, message in studies.parts.messages if "epoch" in message] == []


@slow
def test_pictures_are_pictures(studies, report):
    files = studies.files(report)
    looks = ("look-ahead/IBM-short.png", "look-ahead/KO-pool.png")
    for name in ("IBM.png", "KO.png", *looks, "pool-stocks.png"):
        assert files[name].read_bytes().startswith(b"\x89PNG")
    names = ("look-ahead/IBM-short.csv", "IBM-short.csv")
    ways, points = (pd.read_csv(files[name]) for name in names)
    np.testing.assert_allclose(ways["point_by_point"], points["prediction"], rtol=1e-6)


@slow
def test_other_tickers_targets_and_periods_are_other_studies(later_studies):
    """Neither the files nor the runs of one touch those of another."""
    half = dt.date(2017, 11, 15)
    asked = [("IBM", "high", None), ("KO", "high", None), ("IBM", "close", None)]
    asked.append(("IBM", "high", half))
    reports = [
        later_studies.run(ticker, recipe="short", target=target, last=last, seeds=1)
        for ticker, target, last in asked
    ]
    assert len({report.folder for report in reports}) == len(asked)
    for (ticker, target, _), report in zip(asked, reports, strict=True):
        assert report.folder.startswith(f"studies/made-{target}-")
        files = later_studies.files(report)
        pictures = {name for name in files if name.endswith(".png") and "/" not in name}
        assert pictures == {f"{ticker}.png"}
    assert later_studies.children() == {
        (ticker, target, f"to {last}" if last else "all"): [
            f"{ticker} default seed 7",
            f"{ticker} short seed 7",
        ]
        for ticker, target, last in asked
    }
    # Only what was tested on all of the source's days is compared with its figures.
    rows = [report.rows[report.rows["recipe"] == "short"].iloc[0] for report in reports]
    assert [bool(row["published_sessions"]) for row in rows] == [True, True, True, False]
    assert [rows[at]["published_rmse"] for at in (0, 3)] == [2.5, 2.5]
    assert np.isnan(rows[2]["published_rmse"])  # it is of highs
    assert "is of other sessions" in in_one_line(reports[3].text)
    assert "is of other sessions" not in in_one_line(reports[0].text)


@slow
def test_a_network_for_many_stocks_is_not_trained_on_the_one_that_is_left(later_studies):
    report = later_studies.run("IBM", "FEW", seeds=1)
    assert list(report.rows["recipe"]) == ["short", "default"]
    left_out = "pool is one network for many stocks, and there is only IBM: left out."
    assert left_out in in_one_line(report.text)


def test_a_study_whose_tickers_all_fail_raises_the_first_error(tmp_path, folder):
    with pytest.raises(LookAtTheData, match=r"^OLD: no session from 2017-10-02 to 2017-12-29"):
        Studies(tmp_path, folder).run("OLD", "FEW")
