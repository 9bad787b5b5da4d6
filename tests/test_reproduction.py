"""Studies on made folders, with recipes shortened to an epoch: what is measured, on which sessions, and what a second run does."""

import contextlib
import dataclasses
import datetime as dt
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline import assembly, cli, reproduction, study
from pipeline.models import DEFAULT, find_recipe
from pipeline.models.recurrent import Stack
from pipeline.prices.csv_files import CsvSource
from pipeline.settings import Settings
from pipeline.spec import Windowing
from pipeline.study import Period
from tests.made_prices import random_walk

NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
LAST = dt.date(2017, 12, 29)
PARENT = "mlflow.parentRunId"
GAP = "2017-07-31"
FIRST_RECIPE = dataclasses.replace(
    find_recipe("fastnu-default"),
    name="short",
    study="made",
    window=Windowing(10),
    network=Stack((3,)),
    epochs=1,
    batch_size=256,
    published={"IBM": 2.5},
    published_loss={"training": 0.5},
)
SECOND_RECIPE = dataclasses.replace(
    FIRST_RECIPE, name="pool", window=Windowing(5), network=Stack((3,), embedding=2), pooled=True, published={}, published_loss={}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tickers, of which KO lacks a high in the year tested, and two that cannot be tested."""
    made = tmp_path_factory.mktemp("prices")
    for seed, (ticker, last, count) in enumerate(
        [("IBM", LAST, 850), ("KO", LAST, 850), ("FEW", LAST, 255), ("OLD", dt.date(2013, 3, 1), 600)]
    ):
        bars = random_walk(seed, count, last)
        if ticker == "KO":
            bars.loc[bars["date"] == GAP, "high"] = np.nan
        bars.to_csv(made / f"{ticker}.csv", index=False)
    (made / "TORN.csv").write_text("Date,Open\n2017-01-03,1\n")
    return made


@contextlib.contextmanager
def short_recipes():
    """The recipes there are: two that take seconds, and the default one likewise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "with_modes", lambda: [FIRST_RECIPE, SECOND_RECIPE])
        patch.setattr(reproduction, "DEFAULT", dataclasses.replace(DEFAULT, epochs=1))
        yield


class Studies:
    """One home, in which the made study is run; what it says as it goes on is kept."""

    def __init__(self, home, folder):
        self.said = []
        settings = Settings(
            home=home, data=str(folder), store_url=f"sqlite:///{home}/s.db", tracking_uri=f"sqlite:///{home}/mlflow.db", workers=1
        )
        self.parts = assembly.parts(settings, progress=lambda *words: self.said.append(words))
        self.universe = study.universe_of(settings)

    def run(self, tickers=(), recipe="", target="", last=None, seeds=2):
        self.said.clear()
        universe = dataclasses.replace(self.universe, tickers=tuple(tickers) or self.universe.tickers)
        with short_recipes():
            the = reproduction.find_study("made", universe, recipe, target)
            return reproduction.reproduce(self.parts, universe, the, seeds, Period(last=last), NOW)

    def files(self, outcome):
        """By name: what lies in the study's folder."""
        root = self.parts.settings.home / "artifacts" / "studies" / outcome.folder
        return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}

    def runs(self):
        from mlflow import MlflowClient

        client = MlflowClient(self.parts.settings.tracking_uri)
        found = client.search_runs([client.get_experiment_by_name("studies").experiment_id])
        return {run.info.run_name: run for run in found}

    def children(self):
        """(tickers, target, period) of each parent run: the names of its children."""
        from mlflow import MlflowClient

        client = MlflowClient(self.parts.settings.tracking_uri)
        found = client.search_runs([client.get_experiment_by_name("studies").experiment_id])
        parents = [run for run in found if PARENT not in run.data.tags]
        return {
            tuple(parent.data.params[name] for name in ("tickers", "target", "period")): sorted(
                run.info.run_name for run in found if run.data.tags.get(PARENT) == parent.info.run_id
            )
            for parent in parents
        }


@pytest.fixture(scope="module")
def home(tmp_path_factory, mlflow_database):
    def make():
        made = tmp_path_factory.mktemp("home")
        shutil.copy(mlflow_database, made / "mlflow.db")
        return made

    return make


@pytest.fixture(scope="module")
def studies(home, folder):
    return Studies(home(), folder)


@pytest.fixture(scope="module")
def outcome(studies):
    return studies.run()


def bars_of(folder, ticker):
    return pd.read_csv(folder / f"{ticker}.csv", parse_dates=["date"])


def dull(folder, ticker):
    """date -> (high, high of the session before) over the sessions of 2017 that have both."""
    bars = bars_of(folder, ticker)
    found = {}
    for before, now in zip(bars.to_dict("records")[:-1], bars.to_dict("records")[1:], strict=True):
        if now["date"].year == 2017 and not np.isnan(now["high"]) and not np.isnan(before["high"]):
            found[now["date"]] = (now["high"], before["high"])
    return found


def root_mean_square(errors):
    return np.sqrt(np.mean(np.square(errors)))


def dull_linear(folder, ticker, sessions):
    """A regression of next day's high over the last close on five sessions, on all that is before 2017."""
    bars = bars_of(folder, ticker)
    values, dates = bars[["open", "high", "low", "close", "volume"]].to_numpy(), bars["date"]
    rows, goals, where = [], [], []
    for at in range(59, len(bars) - 1):
        window, close = values[at - 59 : at + 1], values[at, 3]
        volume = np.log(window[:, 4] / window[:, 4].mean())
        rows.append([*(window[-5:, :4] / close - 1).ravel(), *volume[-5:], 1.0])
        goals.append((values[at + 1, 1] - values[at, 1]) / close)
        where.append(at)
    rows, goals = np.array(rows), np.array(goals)
    old = np.array([dates[at + 1].year < 2017 for at in where])
    weights = np.linalg.pinv(rows[old]) @ goals[old]
    said = {dates[at + 1]: values[at, 1] + row @ weights * values[at, 3] for at, row in zip(where, rows, strict=True)}
    return np.array([said[session] for session in sessions])


def test_the_rows_are_what_a_loop_over_the_files_finds(studies, outcome, folder):
    rows = outcome.rows[(outcome.rows["ticker"] == "IBM") & (outcome.rows["recipe"] == "short")]
    expected = dull(folder, "IBM")
    actual, naive = np.array(list(expected.values())).T
    line = dull_linear(folder, "IBM", list(expected))
    predictions = pd.read_csv(studies.files(outcome)["IBM-short.csv"], parse_dates=["date"])
    assert list(predictions.columns) == ["date", "actual", "prediction", "naive", "default"]
    assert list(predictions["date"]) == list(expected)
    np.testing.assert_allclose(predictions[["actual", "naive"]], np.column_stack([actual, naive]))
    first = rows.iloc[0]
    np.testing.assert_allclose(first["naive_rmse"], root_mean_square(actual - naive))
    np.testing.assert_allclose(first["linear_rmse"], root_mean_square(actual - line), rtol=1e-5)
    np.testing.assert_allclose(first["rmse"], root_mean_square(actual - predictions["prediction"]))
    np.testing.assert_allclose(first["default_rmse"], root_mean_square(actual - predictions["default"]))
    np.testing.assert_allclose(rows["ratio_to_naive"], rows["rmse"] / rows["naive_rmse"])
    assert list(rows["published_rmse"]) == [2.5, 2.5] and list(rows["seed"]) == [7, 8]


def test_sessions_with_a_missing_cell_are_left_out_and_counted(outcome, folder):
    own = outcome.rows[outcome.rows["ticker"] == "KO"]
    expected = dull(folder, "KO")
    actual, naive = np.array(list(expected.values())).T
    assert set(own["left_out"]) == {2} and set(own["sessions"]) == {len(expected)} == {249}
    np.testing.assert_allclose(own["naive_rmse"], root_mean_square(actual - naive))
    assert f"KO: 2 of 251 test sessions are left out, because the high of {GAP} is missing." in outcome.text
    assert "KO: in 9 of the windows tested, short sees the last known price in the place of a missing one" in outcome.text


def test_the_table_has_mean_and_range_over_the_seeds(outcome):
    own = outcome.rows[(outcome.rows["ticker"] == "IBM") & (outcome.rows["recipe"] == "short")]
    line = next(line for line in outcome.text.splitlines() if line.startswith("IBM") and " short " in line)
    naive = own["naive_rmse"].iloc[0]
    expected = [
        *("IBM", "short", "2.5000", f"{2.5 / naive:.3f}", f"{own['rmse'].mean():.4f}"),
        *(f"{own['rmse'].min():.4f}", "..", f"{own['rmse'].max():.4f}", f"{own['rmse'].mean() / naive:.3f}", f"{naive:.4f}"),
        *(f"{own['linear_rmse'].iloc[0]:.4f}", f"{own['linear_rmse'].iloc[0] / naive:.3f}"),
        *(f"{own['default_rmse'].mean():.4f}", f"{own['default_rmse'].mean() / naive:.3f}", "251", "0"),
    ]
    assert line.split() == expected
    loss = "Loss after the last epoch of short: published training 5.000e-01 (on its source's own history); ours on IBM training "
    loss += f"{own['training_loss'].mean():.3e};"
    assert loss in " ".join(outcome.text.split())
    assert all(len(line) <= 130 for line in outcome.text.splitlines())


def test_tickers_that_fail_are_named_and_do_not_stop_the_others(outcome):
    assert list(outcome.rows["ticker"].unique()) == ["IBM", "KO"]
    told = {ticker: str(error) for ticker, error in outcome.failures.items()}
    assert sorted(told) == ["FEW", "OLD", "TORN"]
    assert "FEW: 255 sessions from 2016-12-" in told["FEW"] and "short needs 10 as context and 250 to train on" in told["FEW"]
    assert "OLD: no session from 2017-01-01 to 2017-12-31, on which short is tested" in told["OLD"]
    assert "TORN.csv: no column high, low, close, volume in the first line" in told["TORN"]
    assert all(f"failed: {message}"[:60] in outcome.text for message in told.values())


def test_runs_are_tracked_below_one_parent(studies, outcome):
    runs = studies.runs()
    children = [
        f"{ticker} {recipe} seed {seed}" for ticker in ("IBM", "KO") for recipe in ("short", "pool", "default") for seed in (7, 8)
    ]
    assert sorted(runs) == sorted(["reproduce made", *children])
    child = runs["IBM short seed 8"]
    row = outcome.rows[(outcome.rows["ticker"] == "IBM") & (outcome.rows["recipe"] == "short")].iloc[1]
    assert child.data.metrics["rmse"] == pytest.approx(row["rmse"]) and "loss" in child.data.metrics
    assert child.data.params["epochs"] == "1" and child.data.tags["mode"] == "honest"
    assert child.data.tags["mlflow.parentRunId"] == runs["reproduce made"].info.run_id


def test_a_second_run_trains_nothing_and_changes_nothing(studies, outcome):
    def files():
        return {name: (path.stat().st_mtime_ns, path.read_bytes()) for name, path in studies.files(outcome).items()}

    before, runs = files(), {name: run.info.run_id for name, run in studies.runs().items()}
    again = studies.run()
    assert (again.text, again.folder, files()) == (outcome.text, outcome.folder, before)
    pd.testing.assert_frame_equal(again.rows, outcome.rows)
    assert {name: run.info.run_id for name, run in studies.runs().items()} == runs
    assert [message for _, _, message in studies.said if "epoch" in message] == []


def test_pictures_are_pictures(studies, outcome):
    for name in ("IBM.png", "KO.png", "look-ahead/IBM-short.png", "look-ahead/KO-pool.png", "pool-stocks.png"):
        assert studies.files(outcome)[name].read_bytes().startswith(b"\x89PNG")
    ways, points = (pd.read_csv(studies.files(outcome)[name]) for name in ("look-ahead/IBM-short.csv", "IBM-short.csv"))
    np.testing.assert_allclose(ways["point_by_point"], points["prediction"], rtol=1e-6)


def test_the_default_recipe_learns_nothing_from_the_year_tested(studies, outcome):
    with short_recipes():
        the = reproduction.find_study("made", studies.universe)
        stock = reproduction._stock(studies.parts, studies.universe, the, "IBM", Period(), NOW)
    default, tested = stock.data["default"].dataset, stock.data["short"].dataset.test.sessions
    assert default.train.sessions.max() < default.validation.sessions.min() < default.validation.sessions.max() < tested.min()
    np.testing.assert_array_equal(default.test.sessions, tested)


def test_other_tickers_targets_and_periods_are_other_studies(home, folder):
    """Neither the files nor the runs of one touch those of another."""
    here, half = Studies(home(), folder), dt.date(2017, 6, 30)
    asked = [(("IBM",), "high", None), (("KO",), "high", None), (("IBM",), "close", None), (("IBM",), "high", half)]
    outcomes = [here.run(tickers, "short", target, last, seeds=1) for tickers, target, last in asked]
    assert len({outcome.folder for outcome in outcomes}) == len(asked)
    for (tickers, target, _), outcome in zip(asked, outcomes, strict=True):
        assert outcome.folder.startswith(f"made-{target}-")
        pictures = {name for name in here.files(outcome) if name.endswith(".png") and "/" not in name}
        assert pictures == {f"{ticker}.png" for ticker in tickers}
    assert here.children() == {
        (*("IBM", "high"), "all"): ["IBM default seed 7", "IBM short seed 7"],
        (*("KO", "high"), "all"): ["KO default seed 7", "KO short seed 7"],
        (*("IBM", "close"), "all"): ["IBM default seed 7", "IBM short seed 7"],
        (*("IBM", "high"), f"to {half}"): ["IBM default seed 7", "IBM short seed 7"],
    }
    # Only what was tested on all of the source's days stands beside its figures.
    own = [outcome.rows[outcome.rows["recipe"] == "short"].iloc[0] for outcome in outcomes]
    assert [bool(row["published_sessions"]) for row in own] == [True, True, True, False]
    assert [row["published_rmse"] for row in own if row["ticker"] == "IBM" and row["target"] == "high"] == [2.5, 2.5]
    assert np.isnan(own[2]["published_rmse"])  # it is of highs
    assert "is of other sessions" in outcomes[3].text and "is of other sessions" not in outcomes[0].text


def test_a_network_for_many_stocks_is_not_trained_on_the_one_that_is_left(home, folder):
    outcome = Studies(home(), folder).run(("IBM", "FEW"), seeds=1)
    assert list(outcome.rows["recipe"]) == ["short", "default"]
    assert "pool is one network for many stocks, and there is only IBM: left out." in outcome.text


def test_the_help_names_every_study():
    told = next(action.help for action in _arguments("reproduce") if action.dest == "study").partition(";")[0]
    assert sorted(told.replace(" or ", ", ").split(", ")) == sorted(reproduction.names())


def _arguments(command):
    commands = next(action for action in cli.parser()._actions if isinstance(action.choices, dict))
    return commands.choices[command]._actions


def test_the_adjusted_close_is_read_from_its_own_column(tmp_path):
    bars = random_walk(1, 30)
    bars.assign(**{"Adj Close": bars["close"] / 2}).to_csv(tmp_path / "DIS.csv", index=False)
    np.testing.assert_allclose(CsvSource(tmp_path).adjusted_close("DIS"), bars["close"] / 2)


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path / "home"))

    def run(line):
        code = cli.main(shlex.split(line))
        captured = capsys.readouterr()
        return code, captured.err

    return run


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("reproduce fastnow --data {folder}", 2, "There is no study 'fastnow'. The studies are: weng, sezer, fastnu, aungiers."),
        ("reproduce fastnu", 2, "fastnu needs a folder of price files (flag --data"),
        ("reproduce fastnu --data /nowhere/at/all", 2, "/nowhere/at/all is no folder"),
        ("reproduce fastnu --data {folder} --tickers OLD", 1, "OLD: no session from 2017-01-01 to 2017-12-31"),
        ("reproduce fastnu --data {folder} --tickers NOPE", 2, "NOPE is not among the tickers"),
        ("reproduce sezer --data {folder} --tickers IBM", 1, "IBM.csv has no column Adj Close"),
        ("reproduce sezer --data {folder} --tickers FEW --target close", 1, "sezer-dis needs 240 as context"),
        ("reproduce fastnu --data {folder} --target volume", 2, "volume"),
        ("reproduce fastnu --data {folder} --target low", 2, "fastnu-default does not forecast low; its targets are high, close"),
        ("reproduce fastnu --data {folder} --recipe walia", 2, "'walia' is no recipe of the study fastnu"),
        ("reproduce fastnu --data {folder} --seeds 0", 2, "'0' is no whole number above 0"),
        ("reproduce fastnu --data {folder} --tickers IBM --from 2019-01-01", 1, "IBM: no prices from 2019-01-01"),
        ("reproduce weng --data {folder} --tickers IBM --recipe weng-multi", 2, "weng-multi is one network for many stocks"),
    ],
)
def test_what_cannot_be_reproduced_is_one_line(call, folder, line, code, told):
    found, err = call(line.format(folder=folder))
    assert (found, err.count("\n")) == (code, 1)
    assert told in err
