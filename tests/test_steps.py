"""The whole day on made prices with every real part: nothing peeks, repeating changes nothing, order does not matter."""

import contextlib
import dataclasses
import datetime as dt
import itertools
import re
import shutil
import sqlite3

import pandas as pd
import pytest

from pipeline import networks, steps
from pipeline.errors import NothingStored, QualityGateFailed, SettingsError, SourceUnavailable, UnknownTicker
from pipeline.models import lent
from pipeline.prices.source import LONG_AGO
from pipeline.tables import CHECKS, FINDINGS, FORECASTS, MODELS, PROMOTIONS, SCORES, STORED
from tests.made_days import NOW, SMALL, TRAINED, UNIVERSE, MadeParts, made_source, run_day
from tests.made_prices import LAST, MadeSource, random_walk

pytestmark = pytest.mark.slow
#: One ticker with networks of its own, one with the pooled one, one with none.
FEWER = dataclasses.replace(TRAINED, tickers=("OLD", "YNG", "AAA"))


@pytest.fixture
def source():
    return made_source()


@pytest.fixture
def make_parts(tmp_path, source, mlflow_database):
    """Parts in a home of their own at each call, closed afterwards."""
    made = []

    def make(home="home", prices=None, **changes):
        (tmp_path / home).mkdir()
        shutil.copy(mlflow_database, tmp_path / home / "mlflow.db")
        made.append(MadeParts(tmp_path / home, prices or source, **changes))
        return made[-1]

    yield make
    for parts in made:
        parts.__exit__()


def everything(parts):
    """All rows of the store but the moments of knowing, what MLflow shows, and all artifacts; but for the training's duration."""
    tables = {table.name: parts.store.load(table).drop(columns="known_at", errors="ignore") for table in STORED}
    root = parts.settings.home / "artifacts"
    kept = ("datasets", "models", "predictions", "reports", "choices", "replays")
    mine = (".json", ".tracked")  # seconds of training; a run's id in this MLflow
    paths = [path for name in kept for path in (root / name).rglob("*") if path.is_file() and path.suffix not in mine]
    files = {path.relative_to(root): path.read_bytes() for path in paths}
    return {**tables, **tracked(parts)}, files


def tracked(parts, tables=("params", "latest_metrics"), database="mlflow.db"):
    """Parameters and metrics of all runs in MLflow, by run name."""
    with contextlib.closing(sqlite3.connect(parts.settings.home / database)) as connection:
        return {
            f"mlflow {table}": pd.read_sql_query(
                f"SELECT name, key, value FROM {table} JOIN runs USING (run_uuid) "
                "WHERE key <> 'training/seconds' AND lifecycle_stage = 'active' ORDER BY name, key",
                connection,
            )
            for table in tables
        }


def assert_same(ours, theirs):
    for name in ours[0]:
        pd.testing.assert_frame_equal(ours[0][name], theirs[0][name], obj=name)
    assert sorted(ours[1]) == sorted(theirs[1])
    assert [str(name) for name in ours[1] if ours[1][name] != theirs[1][name]] == []


def test_the_day_twice_leaves_the_same_rows_and_files(made_day):
    parts, _ = made_day
    before = everything(parts)
    run_day(parts, universe=TRAINED)
    assert_same(before, everything(parts))
    forecasts, evaluations = before[0]["forecasts"], before[0]["evaluations"]
    assert forecasts.groupby("ticker")["horizon"].apply(list).to_dict() == {ticker: [1, 2, 3, 4, 5] for ticker in TRAINED.tickers}
    assert (forecasts["session"] > forecasts["cutoff"]).all()
    # Four baselines for all; two networks for OLD and TWO, the pooled one for YNG; each on the same sessions as the others.
    assert evaluations.groupby("dataset")["model"].nunique().sort_values().tolist() == [4, 5, 6, 6]
    assert (evaluations.groupby(["dataset", "split", "horizon"])["sessions"].nunique() == 1).all()


def test_a_session_between_trainings_measures_nothing_and_another_mlflow_is_filled(make_parts, mlflow_database, monkeypatch):
    parts = make_parts()
    run_day(parts, dt.date(2013, 2, 27), FEWER)
    measured = []
    monkeypatch.setattr(
        networks, "measure", lambda parts, run, stocks, real=networks.measure: measured.append(stocks) or real(parts, run, stocks)
    )
    run_day(parts, dt.date(2013, 2, 28), FEWER)
    young = [[the.ticker for the, _ in stocks] for stocks in measured]
    assert young == [["YNG", "AAA"]], "those whose windows end at the session itself"
    other = parts.settings.home / "other.db"
    shutil.copy(mlflow_database, other)
    parts.settings = dataclasses.replace(parts.settings, tracking_uri=f"sqlite:///{other}")
    parts._trackers.clear()
    run_day(parts, dt.date(2013, 2, 28), FEWER)
    assert len(measured[-1]) == 3
    names = {
        "2013-02-01 default",
        "OLD 2013-02-01 default",
        "2013-02-28 default",
        "YNG 2013-02-28 default",
        "AAA 2013-02-28 default",
    }
    assert set(tracked(parts, database="other.db")["mlflow params"]["name"]) == names


def test_what_nobody_has_evaluated_cannot_be_promoted(made_day):
    parts, _ = made_day
    other = dataclasses.replace(TRAINED, name="unevaluated", tickers=("AAA",), horizon=TRAINED.horizon + 1)
    run = steps.plan(parts, other, LAST, NOW)
    with lent(SMALL):
        steps.ingest(parts, run, ["AAA"])
        steps.build_windows(parts, run, steps.check(parts, run))
        with pytest.raises(NothingStored, match=r"AAA 2013-03-01: it has not been evaluated. Run `train` and `evaluate`"):
            steps.promote(parts, run)


def test_statistical_baselines_asked_for_later_are_measured_then(make_parts):
    parts = make_parts()
    run_day(parts, universe=FEWER)
    assert "test/pinball_drift" not in set(tracked(parts)["mlflow latest_metrics"]["key"])
    parts.settings = dataclasses.replace(parts.settings, baselines="drift")
    run_day(parts, universe=FEWER)
    assert "test/pinball_drift" in set(tracked(parts)["mlflow latest_metrics"]["key"])


def test_nothing_after_the_cutoff_moves_anything(make_parts, source):
    cutoff = dt.date(2013, 2, 20)
    one = make_parts("one")
    run_day(one, cutoff, FEWER)

    changed = {}
    for ticker, bars in source.bars.items():
        later = bars["date"] > pd.Timestamp(cutoff)
        table = bars.copy()
        table.loc[later, ["open", "high", "low", "close"]] *= 3.7
        table.loc[later, "volume"] *= 11
        changed[ticker] = table
    split = pd.DataFrame({"date": pd.to_datetime(["2013-02-21", "2013-02-25"]), "kind": ["split", "dividend"], "value": [3.0, 1.5]})
    two = make_parts("two", prices=MadeSource(changed, dict.fromkeys(changed, split)))
    run_day(two, cutoff, FEWER)

    assert_same(everything(one), _moved(everything(two), two, one))


def _moved(found, parts, home):
    """What a run left, with its home's name replaced: pages and URLs may show it."""
    old, new = (str(each.settings.home).encode() for each in (parts, home))
    return found[0], {name: content.replace(old, new) for name, content in found[1].items()}


def test_a_backfill_gives_the_same_rows_in_any_order(make_parts):
    sessions = [dt.date(2013, 2, 27), dt.date(2013, 2, 28), LAST]
    forward, backward = make_parts("forward"), make_parts("backward")
    for session in sessions:
        run_day(forward, session, FEWER)
    for session in reversed(sessions):
        run_day(backward, session, FEWER)
    ours, theirs = everything(forward), _moved(everything(backward), backward, forward)
    pages = [name for name in ours[1] if name.parts[0] == "reports"]  # a page shows what was scored when it was made
    for _, files in (ours, theirs):
        for name in pages:
            files.pop(name)
    assert_same(ours, theirs)
    assert [len(ours[0][name]) for name in ("promotions", "calibrations", "scores")] == [3 * 3, 3 * 3 * 5, 3 * (2 + 1)]


def test_a_stock_that_was_suspended_for_long_keeps_nobody_from_being_trained(make_parts, source):
    """TWO has rows enough, and no prices in the year that networks are measured on."""
    bars = source.bars["TWO"]
    source.bars["TWO"] = pd.concat([bars[:-130], bars[-60:]])
    parts = make_parts()
    run = run_day(parts, universe=dataclasses.replace(TRAINED, tickers=("OLD", "TWO")))
    promotions = parts.rows(PROMOTIONS, run).set_index("ticker")
    assert (
        "no network of its own: of 420 sessions up to 2013-03-01, too many are without a price" in promotions.loc["TWO", "reasons"]
    )
    assert "lstm against ewma" in promotions.loc["OLD", "reasons"]
    assert len(parts.rows(FORECASTS, run)) == 2 * 5


def test_two_universes_with_other_trainings_do_not_write_over_each_others_random_walk(make_parts):
    one, other = (
        dataclasses.replace(FEWER, name=name, retrain=retrain, tickers=("OLD",))
        for name, retrain in (("a", "monthly"), ("b", "daily"))
    )
    parts, session = make_parts(), dt.date(2013, 2, 27)
    run = run_day(parts, session, one)
    asked = ["OLD"], [pd.Timestamp(session)]
    before = steps._random_walk(parts, run, *asked)
    run_day(parts, session, other)
    pd.testing.assert_frame_equal(steps._random_walk(parts, run, *asked), before)
    assert len(before) == 5
    assert not before["q025"].equals(steps._random_walk(parts, dataclasses.replace(run, universe=other), *asked)["q025"])


def test_a_bad_ticker_is_quarantined_with_its_reasons_and_the_others_go_on(make_parts, source):
    source.bars["BBB"] = source.bars["BBB"][source.bars["BBB"]["date"] != pd.Timestamp(LAST)]
    parts = make_parts()
    run = run_day(parts)
    checks = parts.rows(CHECKS, run).set_index("ticker")
    assert checks["verdict"].to_dict() == {"AAA": "passed", "BBB": "quarantined", "CCC": "passed"}
    assert "2013-03-01" in checks.loc["BBB", "reasons"]
    assert set(parts.rows(FORECASTS, run)["ticker"]) == {"AAA", "CCC"}


def test_too_many_bad_tickers_fail_the_run_and_publish_nothing(make_parts, source):
    for ticker in ("AAA", "BBB"):
        source.bars[ticker] = source.bars[ticker][source.bars[ticker]["date"] != pd.Timestamp(LAST)]
    parts = make_parts()
    with pytest.raises(QualityGateFailed, match=r"2 of 3 tickers are quarantined.*AAA.*BBB"):
        run_day(parts)
    assert parts.store.load(FORECASTS).empty


def test_an_outage_of_one_ticker_keeps_the_others_and_is_recorded(make_parts, source):
    class Flaky(MadeSource):
        def fetch_raw(self, ticker, first, last, now):
            if ticker == "BBB" and first != LONG_AGO:  # which `plan` asks from
                raise SourceUnavailable("BBB: the source answers 500. Try again later.")
            return super().fetch_raw(ticker, first, last, now)

    parts = make_parts(prices=Flaky(source.bars))
    run = run_day(parts)
    assert "500" in parts.rows(CHECKS, run).set_index("ticker").loc["BBB", "reasons"]
    parts.made = source
    run_day(parts)
    assert set(parts.rows(CHECKS, run)["verdict"]) == {"passed"}


def test_little_history_means_the_random_walk_with_intervals_of_its_own(make_parts):
    parts = make_parts()
    run = run_day(parts)
    row = parts.rows(PROMOTIONS, run, ["AAA"]).iloc[0]
    assert (row["champion"], row["model_id"], row["weight"]) == ("ewma", "ewma", 0.0)
    assert "120 sessions up to" in row["reasons"]
    forecasts = parts.rows(FORECASTS, run, ["AAA"])
    assert (forecasts["y_hat"] == forecasts["last_value"]).all()
    assert (forecasts["lower_95"] <= forecasts["lower_80"]).all() and (forecasts["lower_80"] < forecasts["y_hat"]).all()


def test_a_history_too_short_to_measure_anything_on_sits_out_in_one_line_and_the_others_go_on(make_parts, source):
    parts = make_parts(prices=MadeSource({**source.bars, "NEW": random_walk(9, 30)}))
    universe = dataclasses.replace(UNIVERSE, tickers=("AAA", "NEW"), horizon=20)
    run = run_day(parts, universe=universe)
    checks = parts.rows(CHECKS, run).set_index("ticker")
    assert list(parts.rows(FORECASTS, run)["ticker"].unique()) == ["AAA"]
    assert checks.loc["NEW", "verdict"] == "quarantined"
    assert "NEW: 30 sessions up to 2013-03-01 leave none to measure a forecast of 20 sessions on" in checks.loc["NEW", "reasons"]
    steps.train(parts, run, ["AAA", "NEW"])  # as a shard's next task is called, with the tickers it began with
    steps.evaluate(parts, run, ["AAA", "NEW"])


def test_a_source_s_recipe_is_trained_rolled_forward_and_measured_beside_the_default_one(make_parts):
    parts = make_parts()
    universe = dataclasses.replace(TRAINED, name="castilla", recipe="castilla.faithful", horizon=3)
    run = run_day(parts, universe=universe)
    [first, *_] = found = parts.rows(FORECASTS, run, ["OLD"]).to_dict("records")
    assert [row["horizon"] for row in found] == [1, 2, 3]
    assert first["champion"] == "naive"  # it peeks, so it is never published
    rows = tracked(parts, ("tags", "latest_metrics"))
    tags, metrics = (
        rows[f"mlflow {name}"].query("name == 'OLD 2013-03-01 castilla.faithful'").set_index("key")["value"]
        for name in ("tags", "latest_metrics")
    )
    assert tags["mode"] == "faithful"
    assert tags["leak"].startswith("MinMax is fitted on the whole history")
    told = tags["mlflow.note.content"]
    assert re.match(r"\*\*OLD: the distribution is [\d.]+% (better|worse) than ewma's; the median, one session ahead, is ", told)
    assert (
        f"| RMSE one session ahead | {metrics['test/rmse']:.4f} | {metrics['test/rmse_ewma']:.4f} | {metrics['test/rmse_naive']:.4f} |"
        in told
    )
    assert "This protocol peeks: MinMax" in told and "Nothing of it is published." in told
    names = ("test/rmse", "test/rmse_naive", "test/rmse_default_recipe", "test/spread", "test/sessions_shared")
    assert all(metrics[name] > 0 for name in names)
    [results] = parts.settings.home.rglob("results.csv")
    assert pd.read_csv(results).columns.tolist() == ["date", "actual", "prediction"]


def test_nothing_is_published_of_a_smoothed_price(make_parts):
    parts = make_parts()
    run = run_day(parts, universe=dataclasses.replace(TRAINED, recipe="ganegedara-ema.faithful", target="mid", tickers=("OLD",)))
    assert parts.rows(FORECASTS, run).empty
    assert parts.rows(PROMOTIONS, run)["champion"].tolist() == ["ewma"]


def test_a_split_is_seen_from_its_day_on_and_forecasts_are_in_the_dollars_of_their_cutoff(make_parts, source):
    day = pd.Timestamp("2013-02-26")
    bars = source.bars["AAA"].copy()
    after = bars["date"] >= day
    bars.loc[after, ["open", "high", "low", "close"]] /= 2
    bars.loc[after, "volume"] *= 2
    split = pd.DataFrame({"date": [day], "kind": ["split"], "value": [2.0]})
    parts = make_parts(prices=MadeSource({**source.bars, "AAA": bars}, {"AAA": split}))
    before, later = (run_day(parts, dt.date(2013, 2, number)) for number in (25, 26))
    tape = bars.set_index("date")["close"]
    last = [parts.rows(FORECASTS, run, ["AAA"])["last_value"].iloc[0] for run in (before, later)]
    assert last == [tape[pd.Timestamp("2013-02-25")], tape[day]]
    score = parts.store.load(SCORES, ticker="AAA", cutoff=before.session, horizon=1).iloc[0]
    assert score["actual"] == pytest.approx(2 * tape[day])


def test_a_past_run_can_be_repeated_with_what_was_known_then(make_parts, source):
    parts = make_parts()
    first = run_day(parts)
    published = parts.rows(FORECASTS, first)
    source.bars["AAA"] = source.bars["AAA"].copy()
    source.bars["AAA"].loc[source.bars["AAA"].index[-3:], ["open", "high", "low", "close"]] *= 1.01
    corrected = steps.plan(parts, UNIVERSE, LAST, NOW + dt.timedelta(days=1))
    steps.day(parts, corrected)
    assert not parts.rows(FORECASTS, corrected).equals(published)
    replay = steps.plan(parts, UNIVERSE, LAST, NOW + dt.timedelta(days=2), known_at=NOW)
    steps.day(parts, replay)
    pd.testing.assert_frame_equal(parts.rows(FORECASTS, replay), published)


def test_a_replay_of_a_moment_before_anything_was_known_is_refused_and_changes_nothing(make_parts):
    parts = make_parts()
    run_day(parts)
    before = everything(parts)
    replay = steps.plan(parts, UNIVERSE, LAST, NOW, known_at=dt.datetime(2012, 1, 3, tzinfo=dt.UTC))
    with pytest.raises(NothingStored, match="AAA 2013-03-01: at 2012-01-03T00:00:00\\+00:00 the newest session known was None"):
        steps.day(parts, replay)
    assert_same(before, everything(parts))


def test_a_step_without_the_step_before_it_says_which_to_run(make_parts):
    parts = make_parts()
    run = steps.plan(parts, UNIVERSE, LAST, NOW)
    for step, told in (
        (steps.check, "`ingest`"),
        (steps.promote, "`check`"),
        (steps.publish, "`check`"),
        (steps.report, "`check`"),
    ):
        with pytest.raises(NothingStored, match=told):
            step(parts, run)
    for step in (steps.train, steps.evaluate):
        with pytest.raises(NothingStored, match="`check`"):
            step(parts, run, ["AAA"])
    assert parts.store.load(FINDINGS).empty
    steps.ingest(parts, run, list(UNIVERSE.tickers))
    steps.check(parts, run)
    for step in (steps.train, steps.evaluate):
        with pytest.raises(NothingStored, match="`build_windows`"):
            step(parts, run, ["AAA"])


def test_a_stock_is_not_trained_without_the_pooled_network_that_it_goes_on_from(make_parts):
    parts = make_parts()
    run = steps.plan(parts, FEWER, LAST, NOW)
    with lent(SMALL):
        steps.ingest(parts, run, list(FEWER.tickers))
        steps.check(parts, run)
        steps.build_windows(parts, run, ["OLD", "AAA"])
        for step in (steps.train, steps.evaluate):
            with pytest.raises(NothingStored, match=r"OLD 2013-03-01: .* up to 2013-01-02 .* is not there\. Run `pretrain` first"):
                step(parts, run, ["OLD"])
        steps.train(parts, run, ["AAA"])  # it would have none in any case
    assert parts.store.load(MODELS).empty


@pytest.mark.parametrize(
    ("changes", "session", "error", "told"),
    [
        ({"tickers": ("AAA", "NOPE")}, LAST, UnknownTicker, "NOPE is not among"),
        ({"recipe": "defualt"}, LAST, SettingsError, "no recipe 'defualt'. The recipes are: default"),
        ({}, dt.date(2013, 3, 2), SettingsError, "2013-03-02 is no session"),
        ({}, dt.date(2013, 3, 8), SettingsError, "after 2013-03-01, the last session that the sample source has"),
        ({}, dt.date(2013, 3, 11), SettingsError, "2013-03-11 is not over yet"),
        ({}, dt.date(1995, 1, 3), SettingsError, "1995-01-03 is before 2000-01-03, where universe made begins"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_anything_is_stored(make_parts, changes, session, error, told):
    parts = make_parts()
    with pytest.raises(error, match=told):
        steps.plan(parts, dataclasses.replace(UNIVERSE, **changes), session, NOW)
    assert "store" not in parts.__dict__


def test_shards_name_each_ticker_in_a_small_universe_and_keep_few_tasks_in_a_large_one():
    few, many = [f"T{n}" for n in range(12)], [f"T{n}" for n in range(505)]
    assert steps.shards(few, 0, 2) == [[ticker] for ticker in few]
    assert [len(shard) for shard in steps.shards(many, 0, 2)] == [127, 127, 127, 124]
    assert list(itertools.chain(*steps.shards(many, 7, 2))) == many
    assert len(steps.shards([f"T{n}" for n in range(5000)], 1, 2)) <= steps.MOST_SHARDS


def test_shards_of_tickers_that_cost_more_or_less_take_as_long_as_each_other():
    tickers = [f"T{number:02}" for number in range(40)]
    costs = {ticker: 1000.0 if number < 10 else 100.0 for number, ticker in enumerate(tickers)}
    shared = steps.shards(tickers, 0, 1, costs=costs)
    assert sorted(itertools.chain(*shared)) == tickers
    assert [sum(costs[ticker] for ticker in shard) for shard in shared] == [6500.0, 6500.0]
    assert all(shard == sorted(shard) for shard in shared)
    assert steps.shards(tickers, 0, 1, costs=dict.fromkeys(tickers, 1.0)) == steps.shards(
        tickers, 0, 1, costs=dict.fromkeys(tickers, 9.0)
    )
