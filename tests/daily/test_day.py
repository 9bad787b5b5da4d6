"""Whole days with every real part: nothing peeks, repeating changes nothing, nor does the order."""

import contextlib
import dataclasses
import datetime as dt
import re
import shutil
import sqlite3

import pandas as pd
import pytest

from pipeline.daily import evaluate, plan, run_day
from pipeline.errors import NothingStored
from pipeline.tables import FORECASTS, STORED
from pipeline.training import Workers
from pipeline.training.jobs import FitJob
from tests.made_days import NOW, TRAINED, UNIVERSE, MadeParts, made_source, run_made_day
from tests.made_prices import LAST, MadeSource
from tests.made_stores import rows_without_moments

pytestmark = pytest.mark.slow
#: One ticker with networks of its own, one with the pooled one, one with none.
FEWER = dataclasses.replace(TRAINED, tickers=("OLD", "YNG", "AAA"))
#: A session between two trainings; those up to the newest score all its forecasts.
CUTOFF = dt.date(2013, 2, 20)
#: Folders of artifacts that are compared; but for seconds of training, and run ids of MLflow.
COMPARED_FOLDERS = ("datasets", "models", "predictions", "reports", "choices", "replays")
NOT_COMPARED = (".json", ".tracked")


def everything(parts):
    """Return all tables but for their moments, what MLflow shows, and all artifacts."""
    tables = {table.name: rows_without_moments(parts.store, table) for table in STORED}
    root = parts.settings.home / "artifacts"
    paths = [
        path
        for name in COMPARED_FOLDERS
        for path in (root / name).rglob("*")
        if path.is_file() and path.suffix not in NOT_COMPARED
    ]
    files = {path.relative_to(root): path.read_bytes() for path in paths}
    return {**tables, **tracked(parts)}, files


def tracked(parts, tables=("params", "latest_metrics"), database="mlflow.db"):
    """Return parameters and metrics of all runs in MLflow, by run name."""
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


def moved(left, parts, home):
    """Return what a run left with its home's name replaced: pages and URLs may show it."""
    old, new = (str(each.settings.home).encode() for each in (parts, home))
    return left[0], {name: content.replace(old, new) for name, content in left[1].items()}


@contextlib.contextmanager
def recorded_fits():
    """The labels of the networks that worker processes train meanwhile."""
    trained = []

    def run(workers, jobs, real=Workers.run):
        trained.extend(job.label for job in jobs if isinstance(job, FitJob))
        return real(workers, jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workers, "run", run)
        yield trained


@pytest.fixture
def fits():
    with recorded_fits() as trained:
        yield trained


@pytest.fixture(scope="module")
def february(tmp_path_factory, mlflow_database):
    """Parts on the home of the day at `CUTOFF`, and the labels of the networks that it trained.

    For tests that look at what it left, or go on from a copy of it.
    """
    home = tmp_path_factory.mktemp("february")
    shutil.copy(mlflow_database, home / "mlflow.db")
    with MadeParts(home, made_source()) as parts, recorded_fits() as trained:
        run_made_day(parts, CUTOFF, FEWER)
        yield parts, sorted(trained)


@pytest.fixture
def february_copy(february, tmp_path):
    original, _ = february
    shutil.copytree(original.settings.home, tmp_path / "february")
    with MadeParts(tmp_path / "february", made_source()) as parts:
        yield parts


def test_the_day_twice_leaves_the_same_rows_and_files_and_trains_nothing_again(made_copy, fits):
    parts, _ = made_copy
    before = everything(parts)
    run_made_day(parts, universe=TRAINED)
    assert_same(before, everything(parts))
    assert fits == []
    forecasts, evaluations = before[0]["forecasts"], before[0]["evaluations"]
    assert forecasts.groupby("ticker")["horizon"].apply(list).to_dict() == {
        ticker: [1, 2, 3, 4, 5] for ticker in TRAINED.tickers
    }
    assert (forecasts["session"] > forecasts["cutoff"]).all()
    # Five baselines for all; two networks for OLD and TWO, the pooled one for YNG; each on the same
    # sessions as the others.
    assert evaluations.groupby("dataset")["model"].nunique().sort_values().tolist() == [5, 6, 7, 7]
    assert (evaluations.groupby(["dataset", "split", "horizon"])["sessions"].nunique() == 1).all()


def test_a_session_between_trainings_trains_and_measures_nothing_and_another_mlflow_is_filled(
    february, february_copy, mlflow_database, monkeypatch, fits
):
    assert february[1] == ["OLD", "OLD", "all"]
    parts, measured = february_copy, []

    def measure(parts, run, lineups, real=evaluate.measure):
        measured.append([own.ticker for own in lineups])
        return real(parts, run, lineups)

    monkeypatch.setattr(evaluate, "measure", measure)
    run_made_day(parts, dt.date(2013, 2, 28), FEWER)
    assert fits == []
    assert measured == [["YNG", "AAA"]], "those whose windows end at the session itself"
    other = parts.settings.home / "other.db"
    shutil.copy(mlflow_database, other)
    parts.settings = parts.settings.replaced(tracking_uri=f"sqlite:///{other}")
    parts._trackers.clear()
    run_made_day(parts, dt.date(2013, 2, 28), FEWER)
    assert len(measured[-1]) == 3
    names = {
        "2013-02-01 default",
        "OLD 2013-02-01 default",
        "2013-02-28 default",
        "YNG 2013-02-28 default",
        "AAA 2013-02-28 default",
    }
    assert set(tracked(parts, database="other.db")["mlflow params"]["name"]) == names


def test_nothing_after_the_cutoff_moves_anything(february, make_parts, source):
    one, _ = february
    changed = {}
    for ticker, bars in source.bars.items():
        later = bars["date"] > pd.Timestamp(CUTOFF)
        table = bars.copy()
        table.loc[later, ["open", "high", "low", "close"]] *= 3.7
        table.loc[later, "volume"] *= 11
        changed[ticker] = table
    actions = pd.DataFrame(
        {
            "date": pd.to_datetime(["2013-02-21", "2013-02-25"]),
            "kind": ["split", "dividend"],
            "value": [3.0, 1.5],
        }
    )
    two = make_parts("two", prices=MadeSource(changed, dict.fromkeys(changed, actions)))
    run_made_day(two, CUTOFF, FEWER)

    assert_same(everything(one), moved(everything(two), two, one))


def test_a_backfill_gives_the_same_rows_in_any_order(february_copy, make_parts):
    forward, backward = february_copy, make_parts("backward")
    run_made_day(forward, LAST, FEWER)
    for session in (LAST, CUTOFF):
        run_made_day(backward, session, FEWER)
    ours, theirs = everything(forward), moved(everything(backward), backward, forward)
    # A page shows what was scored when it was made.
    pages = [name for name in ours[1] if name.parts[0] == "reports"]
    for _, files in (ours, theirs):
        for name in pages:
            files.pop(name)
    assert_same(ours, theirs)
    assert [len(ours[0][name]) for name in ("promotions", "calibrations", "scores")] == [
        3 * 2,
        3 * 2 * 5,
        3 * 5,
    ]


def test_a_source_s_recipe_is_trained_rolled_forward_and_measured_next_to_the_default_one(
    make_parts,
):
    parts = make_parts()
    universe = dataclasses.replace(TRAINED, name="castilla", recipe="castilla.faithful", horizon=3)
    run = run_made_day(parts, universe=universe)
    [first, *_] = forecasts = parts.rows(FORECASTS, run, ["OLD"]).to_dict("records")
    assert [row["horizon"] for row in forecasts] == [1, 2, 3]
    assert first["champion"] == "har"  # it peeks, so it is never published
    rows = tracked(parts, ("tags", "latest_metrics"))
    tags, metrics = (
        rows[f"mlflow {name}"]
        .query("name == 'OLD 2013-03-01 castilla.faithful'")
        .set_index("key")["value"]
        for name in ("tags", "latest_metrics")
    )
    assert tags["mode"] == "faithful"
    assert tags["leak"].startswith("MinMax is fitted on the whole history")
    note = tags["mlflow.note.content"]
    assert re.match(
        r"\*\*OLD: the distribution is [\d.]+% (better|worse) than ewma's; "
        r"the median, one session ahead, is ",
        note,
    )
    errors = " | ".join(
        f"{metrics[name]:.4f}"
        for name in ("test/rmse", "test/rmse_har", "test/rmse_ewma", "test/rmse_naive")
    )
    assert f"| RMSE one session ahead | {errors} |" in note
    assert "This protocol peeks: MinMax" in note and "It is never published." in note
    names = (
        "test/rmse",
        "test/rmse_naive",
        "test/rmse_default_recipe",
        "test/spread",
        "test/sessions_shared",
    )
    assert all(metrics[name] > 0 for name in names)
    [results] = parts.settings.home.rglob("results.csv")
    assert pd.read_csv(results).columns.tolist() == ["date", "actual", "prediction"]


def test_a_past_run_can_be_repeated_with_what_was_known_then(make_parts, source):
    parts = make_parts()
    first = run_made_day(parts)
    published = parts.rows(FORECASTS, first)
    source.bars["AAA"] = source.bars["AAA"].copy()
    source.bars["AAA"].loc[source.bars["AAA"].index[-3:], ["open", "high", "low", "close"]] *= 1.01
    corrected = plan(parts, UNIVERSE, LAST, NOW + dt.timedelta(days=1))
    run_day(parts, corrected)
    assert not parts.rows(FORECASTS, corrected).equals(published)
    replay = plan(parts, UNIVERSE, LAST, NOW + dt.timedelta(days=2), known_at=NOW)
    run_day(parts, replay)
    repeated = parts.rows(FORECASTS, replay)
    assert set(repeated.pop("universe")) == {f"{UNIVERSE.name}.rehearsal"}
    pd.testing.assert_frame_equal(repeated, published.drop(columns="universe"))


def test_a_replay_of_a_moment_before_anything_was_known_is_refused_and_changes_nothing(made_copy):
    parts, run = made_copy
    before = everything(parts)
    then = dt.datetime(2012, 1, 3, tzinfo=dt.UTC)
    replay = plan(parts, run.universe, LAST, NOW, known_at=then, publish=True)
    reason = r"OLD 2013-03-01: at 2012-01-03T00:00:00\+00:00 the newest session known was None"
    with pytest.raises(NothingStored, match=reason):
        run_day(parts, replay)
    assert_same(before, everything(parts))
