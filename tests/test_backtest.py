"""Backtests on a made folder with a network that trains in seconds: what they may see, what they leave, and what a second run does."""

import dataclasses
import datetime as dt
import json
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline import assembly, backtest, cli, statistical, windows
from pipeline.backtest import Asked
from pipeline.errors import LookAtTheData, NotEnoughHistory, NothingStored, SettingsError
from pipeline.models import DEFAULT
from pipeline.quantiles import PROBABILITIES
from pipeline.settings import Settings
from pipeline.tables import BACKTESTS
from tests.made_prices import random_walk

NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
LAST = dt.date(2017, 1, 31)
FIRST_CUTOFF, HORIZON = dt.date(2016, 6, 1), 2
TINY = dataclasses.replace(
    DEFAULT,
    name="tiny",
    window=dataclasses.replace(DEFAULT.window, context_length=20),
    split=dataclasses.replace(DEFAULT.split, min_train_windows=100),
    network=dataclasses.replace(DEFAULT.network, units=2, means=(1, 5), strengths=(0.1,), rounds=2),
    epochs=1,
    fine_tuning=dataclasses.replace(DEFAULT.fine_tuning, epochs=1),
)
ASKED = Asked([TINY, "random_walk"], FIRST_CUTOFF, dt.date(2016, 12, 30), step=10, refit=8)


def prices_of(seed, count=800):
    return random_walk(seed, count, LAST)


class Bench:
    """A folder of price files, a home, and what has been said."""

    def __init__(self, home, folder, bars, **settings):
        folder.mkdir()
        for ticker, table in bars.items():
            table.to_csv(folder / f"{ticker}.csv", index=False)
        self.folder, self.said = folder, []
        self.settings = Settings(
            home=home, data=str(folder), tracking_uri=f"sqlite:///{home}/mlflow.db", workers=1, horizon=HORIZON, **settings
        )
        self.parts = assembly.parts(self.settings, progress=lambda *words: self.said.append(words))
        self.universe = assembly.universe_of(self.settings)

    def run(self, asked=ASKED):
        self.said.clear()
        return backtest.backtest(self.parts, self.universe, asked, NOW)

    def plan(self, asked):
        return backtest.plan(self.parts, self.universe, asked, NOW)

    def file(self, outcome, name):
        return self.parts.artifacts.read(f"{outcome.folder}/{name}")

    def table(self, outcome):
        return BACKTESTS.conform(backtest._read_parquet(self.file(outcome, "forecasts.parquet")))

    @property
    def trained(self):
        """The networks that were trained, as (stock, recipe)."""
        return sorted((stock, message.split(":")[0]) for _, stock, message in self.said if " epochs, " in message)

    @property
    def made(self):
        """The shards that were made."""
        return [message.split(" (")[0] for _, _, message in self.said if ", block " in message]


@pytest.fixture(scope="module")
def home(tmp_path_factory, mlflow_database):
    home = tmp_path_factory.mktemp("home")
    shutil.copy(mlflow_database, home / "mlflow.db")
    return home


@pytest.fixture(scope="module")
def bench(home, tmp_path_factory):
    bars = {"IBM": prices_of(0), "MSFT": prices_of(1), "NEW": prices_of(2, 300)}
    return Bench(home, tmp_path_factory.mktemp("made") / "prices", bars)


@pytest.fixture(scope="module")
def ran(bench):
    """(the bench, its outcome, the networks that were trained, the files that it left by name)."""
    outcome = bench.run()
    trained = bench.trained
    return bench, outcome, trained, files_below(bench, outcome)


def files_below(bench, outcome):
    root = bench.settings.home / "artifacts" / outcome.folder
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def quick(tmp_path):
    """A function that makes a bench of its own for what needs neither networks nor MLflow."""
    return lambda **bars: Bench(tmp_path, tmp_path / "prices", bars or {"IBM": prices_of(0)})


def closes_of(bench, ticker):
    table = pd.read_csv(bench.folder / f"{ticker}.csv", parse_dates=["date"])
    return table["close"].to_numpy(), [moment.date() for moment in table["date"]]


# The table


@pytest.mark.slow
def test_every_forecaster_has_every_cutoff_horizon_and_quantile_once(ran):
    bench, outcome, _, _ = ran
    table = bench.table(outcome)
    _, sessions = closes_of(bench, "IBM")
    start = sessions.index(FIRST_CUTOFF)
    cutoffs = [day for day in sessions[start::10] if day <= dt.date(2016, 12, 30)]
    assert len(cutoffs) == 15
    for name in ("tiny", "random_walk", "naive", "ewma"):
        own = table[table["recipe"] == name]
        assert len(own) == 15 * 2 * HORIZON * len(PROBABILITIES)
        assert sorted({moment.date() for moment in own["cutoff"]}) == cutoffs and set(own["ticker"]) == {"IBM", "MSFT"}
    row = table.iloc[0]
    assert row["session"].date() == sessions[sessions.index(row["cutoff"].date()) + row["horizon"]]
    assert not table.duplicated(list(BACKTESTS.key)).any()
    ordered = table["forecast"].to_numpy().reshape(-1, len(PROBABILITIES))
    assert (np.diff(ordered, axis=1) >= 0).all() and (ordered > 0).all()


@pytest.mark.slow
def test_naive_is_what_a_plain_loop_makes_of_the_prices(ran):
    bench, outcome, _, _ = ran
    table = bench.table(outcome).query("recipe == 'naive'")
    checked = 0
    for ticker in ("IBM", "MSFT"):
        closes, sessions = closes_of(bench, ticker)
        own = table[table["ticker"] == ticker]
        cutoffs = sorted({moment.date() for moment in own["cutoff"]})
        for block in (cutoffs[:8], cutoffs[8:]):
            refitted = sessions.index(block[0])
            # Between a part's last session and the next part's first forecast lie as many sessions as the embargo: the horizon.
            validated = refitted - HORIZON - HORIZON  # the last session that validation forecasts from
            trained = validated - 251 - HORIZON - HORIZON  # the last that training does
            changes = [
                [(closes[at + ahead] - closes[at]) / closes[at] for at in range(DEFAULT.window.context_length - 1, trained + 1)]
                for ahead in (1, 2)
            ]
            for cutoff in block:
                at = sessions.index(cutoff)
                for ahead in (1, 2):
                    said = own[(own["cutoff"] == pd.Timestamp(cutoff)) & (own["horizon"] == ahead)]
                    wanted = [closes[at] * (1 + np.quantile(changes[ahead - 1], share)) for share in PROBABILITIES]
                    np.testing.assert_allclose(said["forecast"], wanted)
                    assert set(said["actual"]) == {closes[at + ahead]} and set(said["last"]) == {closes[at]}
                    checked += 1
    assert checked == 15 * 2 * 2


@pytest.mark.slow
def test_a_statistical_model_sees_the_prices_up_to_each_cutoff(ran):
    bench, outcome, _, _ = ran
    table = bench.table(outcome).query("recipe == 'random_walk' and ticker == 'MSFT'")
    closes, sessions = closes_of(bench, "MSFT")
    for cutoff, said in table.groupby("cutoff"):
        wanted = statistical.forecast("random_walk", closes[: sessions.index(cutoff.date()) + 1], HORIZON).quantiles
        np.testing.assert_allclose(said["forecast"], wanted.reshape(-1))


# What may be seen


@pytest.mark.parametrize("embargo", [0, 2, 10])
def test_an_embargo_lies_between_what_is_learnt_from_and_what_is_forecast(quick, embargo):
    bench = quick()
    the = bench.plan(dataclasses.replace(ASKED, recipes=["naive"], embargo=embargo))
    histories = backtest._histories(the, bench.parts.calendar(bench.universe), the.blocks[1], *backtest._kept(bench.parts, the))
    files, _ = backtest._files(the, TINY, the.blocks[1], histories)
    dataset = windows.load_dataset(files["IBM"])
    refitted = int(np.searchsorted(histories["IBM"]["session"], pd.Timestamp(the.blocks[1].cutoffs[0])))
    first_tested = dataset.test.position[0] + 1  # the session after the cutoff
    assert first_tested == refitted + 1
    assert dataset.validation.position[-1] + HORIZON == refitted - embargo
    assert dataset.train.position[-1] + HORIZON == dataset.validation.position[0] - embargo
    assert len(dataset.validation) == 252


@pytest.mark.slow
def test_prices_after_a_cutoff_move_no_forecast_at_it_or_before(ran, home, tmp_path):
    bench, outcome, _, _ = ran
    before = bench.table(outcome)
    moment = sorted(before["cutoff"].unique())[10]  # the third of the second block
    bars = {ticker: pd.read_csv(bench.folder / f"{ticker}.csv", parse_dates=["date"]) for ticker in ("IBM", "MSFT")}
    random = np.random.default_rng(9)
    for table in bars.values():
        later = (table["date"] > moment).to_numpy()
        factors = 1.3 * np.exp(np.cumsum(random.normal(0, 0.05, later.sum())))
        for name in ("open", "high", "low", "close"):
            table.loc[later, name] *= factors
        table.loc[later, "volume"] *= 7
    other = Bench(home, tmp_path / "prices", bars)
    after = other.table(other.run())
    key = list(BACKTESTS.key)
    both = before.merge(after, on=key, suffixes=("", "_after"))
    assert len(both) == len(before) == len(after)
    seen = both["cutoff"] <= moment
    np.testing.assert_array_equal(both.loc[seen, "forecast"], both.loc[seen, "forecast_after"])
    assert (both.loc[~seen, "forecast"] != both.loc[~seen, "forecast_after"]).all()
    # The first block ends before that moment: not even its files are others.
    assert set(other.trained) == {("IBM", "tiny"), ("MSFT", "tiny"), ("all", "tiny.pool")} and len(other.trained) == 3


# What is left, and going on


@pytest.mark.slow
def test_each_block_trains_a_pooled_network_and_one_per_stock(ran):
    _, _, trained, _ = ran
    assert trained == sorted(2 * [("all", "tiny.pool"), ("IBM", "tiny"), ("MSFT", "tiny")])


@pytest.mark.slow
def test_a_second_run_makes_nothing_and_leaves_the_same_bytes_and_runs(ran):
    from mlflow import MlflowClient

    bench, outcome, _, files = ran
    client = MlflowClient(bench.settings.tracking_uri)
    experiment = client.get_experiment_by_name("backtests").experiment_id
    own = f"tags.study = 'backtest {outcome.folder.split('/')[1]}'"
    [parent] = client.search_runs([experiment], own)
    found = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    runs = {run.info.run_id for run in client.search_runs([experiment], found)}
    again = bench.run()
    assert (bench.trained, bench.made) == ([], [])
    assert (again.text, again.folder) == (outcome.text, outcome.folder)
    assert files_below(bench, again) == files
    assert {run.info.run_id for run in client.search_runs([experiment], found)} == runs


@pytest.mark.slow
def test_a_shard_that_is_gone_is_the_only_one_made_again(ran):
    bench, outcome, _, files = ran
    shutil.rmtree(bench.settings.home / "artifacts" / "fits")
    (bench.settings.home / "artifacts" / outcome.folder / "shards" / "tiny-001.parquet").unlink()
    bench.run()
    assert bench.made == ["tiny, block 2 of 2"]
    assert bench.trained == sorted([("all", "tiny.pool"), ("IBM", "tiny"), ("MSFT", "tiny")])
    assert files_below(bench, outcome) == files


@pytest.mark.slow
def test_recipes_stand_side_by_side_in_mlflow(ran):
    from mlflow import MlflowClient

    bench, outcome, _, _ = ran
    client = MlflowClient(bench.settings.tracking_uri)
    experiment = client.get_experiment_by_name("backtests").experiment_id
    [parent] = client.search_runs([experiment], f"tags.study = 'backtest {outcome.folder.split('/')[1]}'")
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert sorted(run.info.run_name for run in children) == ["ewma", "naive", "random_walk", "tiny"]
    board = outcome.board.set_index(["recipe", "horizon"])
    for run in children:
        assert run.data.metrics["pinball"] == pytest.approx(board.loc[(run.info.run_name, 0), "pinball"])
        assert run.data.metrics["coverage_80.h2"] == pytest.approx(board.loc[(run.info.run_name, 2), "coverage_80"])
        assert (run.data.params["step"], run.data.params["refit"]) == ("10", "8")
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    pictures = {f"{name}.png" for name in ("reliability", "sharpness", "pit", "horizons", "through_time")}
    assert pictures | {"leaderboard.csv", "by_ticker.csv", "leaderboard.md"} <= artifacts


@pytest.mark.slow
def test_the_text_says_who_was_left_out_and_that_few_cutoffs_tell_nothing(ran):
    bench, outcome, _, files = ran
    assert "left out of 2 blocks by tiny: NEW: " in outcome.text and "sessions more." in " ".join(outcome.text.split())
    assert "cannot be told from ewma on 15 cutoffs" in " ".join(outcome.text.split())
    assert all(content.startswith(b"\x89PNG") for name, content in files.items() if name.endswith(".png"))
    weights = pd.read_csv(bench.settings.home / "artifacts" / outcome.folder / "weights.csv")
    assert list(zip(weights["refitted"], weights["ticker"], strict=True)) == [
        (day, ticker) for day in ("2016-06-01", "2016-09-23") for ticker in ("IBM", "MSFT")
    ]
    assert weights["weight"].between(0, 1).all()


@pytest.mark.slow
def test_a_warm_start_trains_one_pooled_network_for_all_blocks(ran):
    bench, *_ = ran
    shutil.rmtree(bench.settings.home / "artifacts" / "fits", ignore_errors=True)
    outcome = bench.run(dataclasses.replace(ASKED, recipes=[TINY], warm_start=True))
    assert bench.trained == sorted([("all", "tiny.pool"), *2 * [("IBM", "tiny"), ("MSFT", "tiny")]])
    assert "2 times, each time from the first on" in " ".join(outcome.text.split())


# Plans


def test_a_plan_is_read_as_it_was_written(quick):
    bench = quick()
    the = bench.plan(dataclasses.replace(ASKED, recipes=["default", "window_average"], seeds=2))
    read = backtest.read_plan(bench.parts, the.digest)
    assert (read.digest, read.blocks, read.forecasters) == (the.digest, the.blocks, the.forecasters)
    assert [forecaster.name for forecaster in read.forecasters] == [
        "default seed 7",
        "default seed 8",
        "window_average",
        "naive",
        "ewma",
    ]


def test_a_plan_whose_recipe_has_changed_since_is_refused(quick):
    bench = quick()
    the = bench.plan(dataclasses.replace(ASKED, recipes=["default"]))
    file = bench.settings.home / "artifacts" / the.folder / "plan.json"
    values = json.loads(file.read_text())
    values["embargo"] += 1
    file.write_text(json.dumps(values))
    with pytest.raises(LookAtTheData, match="Plan it anew"):
        backtest.read_plan(bench.parts, the.digest)


def test_refitting_never_makes_one_block_and_blocks_end_with_their_last_outcome(quick):
    the = quick().plan(dataclasses.replace(ASKED, recipes=["naive"], refit=0))
    [block] = the.blocks
    assert (len(block.cutoffs), block.cutoffs[0], block.after) == (15, FIRST_CUTOFF, dt.date(2016, 6, 2))
    assert (block.cutoffs[-1], block.end) == (dt.date(2016, 12, 19), dt.date(2016, 12, 21))


def test_cutoffs_whose_outcomes_have_not_come_are_left_out(quick):
    the = quick().plan(dataclasses.replace(ASKED, recipes=["naive"], first=dt.date(2017, 1, 24), last=dt.date(2017, 3, 1), step=1))
    assert the.cutoffs == [dt.date(2017, 1, day) for day in (24, 25, 26, 27)]  # prices end on the 31st, two sessions later


def test_without_all_shards_nothing_is_compared(quick):
    bench = quick()
    with pytest.raises(NothingStored, match="naive-000"):
        backtest.compare(bench.parts, bench.plan(dataclasses.replace(ASKED, recipes=["naive"])))


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"recipes": ["nonesuch"]}, SettingsError, "There is no forecaster 'nonesuch'. There are: default, "),
        ({"recipes": ["ganegedara-ema.faithful"]}, SettingsError, "ganegedara-ema.faithful peeks .* Name ganegedara-ema"),
        ({"recipes": ["statquest-unit"]}, SettingsError, "needs no prices"),
        ({"first": dt.date(2016, 12, 24), "last": dt.date(2016, 12, 26)}, SettingsError, "no session of XNYS"),
        (
            {"first": dt.date(2014, 9, 2)},
            NotEnoughHistory,
            "IBM: .* sessions up to 2014-09-02 leave 0 windows .* Give a later --from",
        ),
        ({"first": dt.date(2017, 1, 30), "last": dt.date(2017, 1, 31)}, NotEnoughHistory, "prices end on 2017-01-31"),
        ({"first": dt.date(2018, 1, 30), "last": dt.date(2018, 1, 31)}, NotEnoughHistory, "prices end on 2017-01-31"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(quick, changes, error, told):
    bench = quick()
    with pytest.raises(error, match=told):
        bench.plan(dataclasses.replace(ASKED, **{"recipes": ["naive"], **changes}))
    assert not list((bench.settings.home / "artifacts").rglob("plan.json"))


def test_a_recipe_that_does_not_forecast_the_target_names_its_targets():
    with pytest.raises(SettingsError, match="castilla does not forecast high; its targets are close"):
        backtest.forecasters_of(["castilla"], "high", 7, 1)


@pytest.mark.parametrize(("name", "value"), [("step", 0), ("refit", -1), ("embargo", -1), ("seeds", 0)])
def test_a_number_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"--{name} is {value}"):
        dataclasses.replace(ASKED, **{name: value})


# The command


@pytest.mark.slow
def test_the_command_prints_the_leaderboard_and_where_the_files_are(capsys, monkeypatch, tmp_path, mlflow_database):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    (tmp_path / "prices").mkdir()
    prices_of(0).to_csv(tmp_path / "prices" / "IBM.csv", index=False)
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path))
    monkeypatch.setenv("STOCKCAST_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    line = (
        f"backtest --data {tmp_path}/prices --recipes window_average --baselines drift --from 2016-06-01 --to 2016-12-30 --step 3"
    )
    line += " --refit 0 --horizon 2"
    assert cli.main(shlex.split(line)) == 0
    out = capsys.readouterr().out
    assert "close of IBM, 1 to 2 sessions ahead, from 50 cutoffs between 2016-06-01 and 2016-12-29" in " ".join(out.split())
    assert "window_average loses to naive and loses to ewma." in out
    assert f"{tmp_path}/artifacts/backtests/" in out and "experiment backtests" in out
    assert cli.main(shlex.split(f"{line} --format json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["recipe"] for row in rows} == {"window_average", "drift", "naive", "ewma"}
