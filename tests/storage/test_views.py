"""The views that others may build on: the same rows and figures as the commands and pages show."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.daily import page_tables
from pipeline.measures import realised
from pipeline.storage import Artifacts, Store
from pipeline.tables import CHECKS, FORECASTS, PUBLICATIONS, SCORES
from pipeline.views import (
    LATEST_FORECASTS,
    LEADERBOARD,
    PUBLISHED_FORECASTS,
    QUARANTINES,
    SCORED_FORECASTS,
    VERSIONS_OF_VIEWS,
    VIEWS,
)
from tests.made_publications import KEY, LAST, fill
from tests.store_pages import BUILD, VIEWS_PAGE, block_of

#: What the views call columns of the tables.
NAMES = {"cutoff": "session", "session": "forecast_session", "y_hat": "median"}
REHEARSAL = "made.rehearsal"


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with published and scored sessions, of which some are another recipe's.

    A rehearsal is among them, and a second series that has published an earlier session last.
    """
    fill(store)
    for table in (FORECASTS, PUBLICATIONS, SCORES, CHECKS):
        rows = store.load(table)
        store.save(table, rows.assign(universe=REHEARSAL))
        earlier = rows[rows["cutoff"] < pd.Timestamp(LAST)]
        other = earlier.assign(recipe="other", **({"error": 0.1} if table is SCORES else {}))
        store.save(table, other.iloc[::2] if table is SCORES else other)
    return store


def renamed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of a table with the names that the views have."""
    return rows.rename(columns=NAMES)


def test_each_view_has_the_columns_and_the_version_that_it_promises(store):
    inspector = sa.inspect(store.database.engine)
    assert {name for name in inspector.get_view_names() if name != "view_versions"} == {
        view.name for view in VIEWS
    }
    for view in VIEWS:
        names = [column["name"] for column in inspector.get_columns(view.name)]
        assert names == list(view.columns), view.name
        assert store.load(view).equals(view.empty()), view.name
    with store.database.reader() as connection:
        versions = connection.execute(sa.text("SELECT view_name, version FROM view_versions"))
        assert dict(versions.all()) == VERSIONS_OF_VIEWS


def test_published_forecasts_are_those_that_stand_with_the_moment_of_their_publication(filled):
    reasons = {"AAA": "it jumps"}
    filled.publications.withdraw(reasons, [], "test", **KEY, cutoff=LAST)
    again = filled.load(FORECASTS, **KEY, ticker="BRK.B", cutoff=LAST).assign(y_hat=60.0)
    filled.publications.publish(again, [], None, "test", **KEY, ticker="BRK.B", cutoff=LAST)
    rows = filled.load(PUBLISHED_FORECASTS)
    expected = renamed(filled.load(FORECASTS))
    expected = expected[expected["universe"] != REHEARSAL].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows.drop(columns="published_at"), expected)
    newest = filled.load(PUBLICATIONS, withdrawn="").groupby(list(FORECASTS.key))["published_at"]
    moments = newest.max().reset_index()
    moments = moments[moments["universe"] != REHEARSAL]
    stands = moments.merge(filled.load(FORECASTS)[list(FORECASTS.key)])
    assert rows["published_at"].tolist() == stands["published_at"].tolist()
    assert (rows[rows["median"] == 60.0]["published_at"] > pd.Timestamp(LAST)).all()


def test_latest_forecasts_are_those_of_the_newest_session_of_each_series(filled):
    latest, every = filled.load(LATEST_FORECASTS), filled.load(PUBLISHED_FORECASTS)
    newest = every.groupby(["universe", "recipe", "target"])["session"].transform("max")
    expected = every[every["session"] == newest].reset_index(drop=True)
    pd.testing.assert_frame_equal(latest, expected)
    sessions = latest.groupby("recipe")["session"].unique()
    assert {name: len(days) for name, days in sessions.items()} == {"default": 1, "other": 1}
    assert sessions["default"][0] == pd.Timestamp(LAST) > sessions["other"][0]


def test_latest_forecasts_are_found_in_every_universe_recipe_and_target(store):
    fill(store)
    rows = store.load(FORECASTS, cutoff=LAST, ticker="AAA")
    series = [
        (universe, recipe, target)
        for universe in ("a", "b.rehearsal", "c")
        for recipe in ("x", "y.z")
        for target in ("close", "high")
    ]
    for universe, recipe, target in series:
        store.save(FORECASTS, rows.assign(universe=universe, recipe=recipe, target=target))
    latest = store.load(LATEST_FORECASTS)
    found = set(latest[["universe", "recipe", "target"]].itertuples(index=False, name=None))
    assert found == {*series, tuple(KEY.values())} - {
        each for each in series if each[0] == "b.rehearsal"
    }


def test_scored_forecasts_are_the_scores_with_the_intervals_as_they_were_published(filled):
    key = {**KEY, "ticker": "AAA", "cutoff": LAST}
    before = filled.load(PUBLICATIONS, **KEY)
    again = filled.load(FORECASTS, **key).assign(upper_95=99.0)
    filled.publications.publish(again, [], None, "test", **key)  # too late to count
    rows = filled.load(SCORED_FORECASTS)
    scores = filled.load(SCORES)
    scores = scores[scores["universe"] != REHEARSAL]
    expected = renamed(scores)
    assert len(rows) == len(expected)
    shared = [name for name in rows if name in expected]
    pd.testing.assert_frame_equal(rows[shared], expected[shared].reset_index(drop=True))
    own = rows[rows["recipe"] == "default"].reset_index(drop=True)
    published = renamed(before).merge(own[["ticker", "session", "horizon"]])
    for name in ("last_value", "lower_95", "upper_95", "lower_98", "model_id"):
        assert own[name].tolist() == published[name].tolist()


def test_the_leaderboard_has_the_figures_of_the_scoreboard(filled, tmp_path):
    artifacts = Artifacts(str(tmp_path / "artifacts"))
    [series, *_] = page_tables.matching(filled, KEY)
    shown = page_tables.scoreboard(filled, artifacts, series, "recipe").set_index("recipe")
    leaders = filled.load(LEADERBOARD).set_index("recipe")
    assert leaders.index.tolist() == ["default", "other"]
    for name in shown.columns:
        assert leaders[name].tolist() == pytest.approx(shown.loc[leaders.index, name].tolist())
    days = filled.score_sums(["recipe"], universe="made").set_index("recipe")
    assert leaders["first_session"].tolist() == days["first"].tolist()
    assert leaders["last_session"].tolist() == days["last"].tolist()


def test_the_leaderboard_keeps_backfilled_forecasts_apart_and_compares_what_has_both(filled):
    scores = filled.load(SCORES, **KEY)
    some = scores.iloc[::3].assign(backfilled=True, ewma_pinball=float("nan"))
    filled.save(SCORES, some)
    filled.save(SCORES, scores.iloc[1::3].assign(har_pinball=0.02, pinball=float("nan")))
    filled.save(SCORES, scores.iloc[2::3].assign(naive_error=0.0))
    rows = filled.load(LEADERBOARD, recipe="default")
    shown = realised(filled.score_sums(["recipe"], **KEY))
    assert rows["backfilled"].tolist() == shown["backfilled"].tolist() == [False, True]
    for name in ("forecasts", "skill", "pinball_skill", "pinball_skill_over_har", "inside_95"):
        assert rows[name].tolist() == pytest.approx(shown[name].tolist(), nan_ok=True), name
    assert rows["pinball_skill"].isna().tolist() == [False, True]


def test_quarantines_are_the_tickers_that_sit_a_session_out_and_why(filled):
    checks = filled.load(CHECKS, **KEY, verdict="quarantined")
    rows = filled.load(QUARANTINES, recipe="default")
    assert rows["ticker"].tolist() == ["OUT"] * 10
    assert rows.drop(columns=["known_at"]).equals(
        renamed(checks).drop(columns=["verdict", "evidence", "known_at"])
    )


#: What the page calls the types.
TYPES = {
    "str": "text",
    "float64": "number",
    "int64": "whole number",
    "bool": "true or false",
    "datetime64[s]": "date",
    "datetime64[us]": "moment, UTC",
}


def test_the_page_has_every_column_of_every_view_with_its_type_key_and_version():
    sections = VIEWS_PAGE.read_text("utf-8").split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == [view.name for view in VIEWS]
    for view, section in zip(VIEWS, sections, strict=True):
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", section, re.MULTILINE)
        assert rows == [(name, TYPES[dtype]) for name, dtype in view.columns.items()]
        assert f"Version {VERSIONS_OF_VIEWS[view.name]}. " in section
        assert f"Key: {', '.join(f'`{name}`' for name in view.key)}.\n" in section


def test_the_examples_of_the_page_have_rows(filled):
    examples = block_of(BUILD, "text", "FROM latest_forecasts").splitlines()
    with filled.database.reader() as connection:
        for example in examples:
            own = example.replace("'sample'", "'made'").replace("2013-03-01", str(LAST))
            assert connection.execute(sa.text(own.rstrip(";"))).all(), example
    assert len(examples) == 4


@pytest.mark.slow
def test_a_reader_sees_the_views_and_nothing_else(postgres_store_url):
    store = Store.open(postgres_store_url)
    database = sa.make_url(postgres_store_url).database
    grants = block_of(BUILD, "text", "CREATE ROLE").replace(
        "DATABASE stockcast", f"DATABASE {database}"
    )
    with store.database.writer() as connection:
        for statement in filter(str.strip, grants.split(";")):
            connection.execute(sa.text(statement))
        connection.execute(sa.text("SET LOCAL ROLE reader"))
        for view in [*VERSIONS_OF_VIEWS, "view_versions"]:
            connection.execute(sa.text(f"SELECT * FROM {view}")).all()
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            connection.execute(sa.text("SELECT * FROM forecasts"))
        connection.rollback()
    store.close()
