"""The questions of a person who looks at what has been published, on a made store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline.daily import KeptSums, page_tables
from pipeline.measures import interval_record
from pipeline.storage import Artifacts, Store
from pipeline.tables import PUBLICATIONS, SCORES
from tests.made_publications import CUTOFFS, KEY, SESSIONS, fill
from tests.measures.made_sums import interval_sums_by_loop


@pytest.fixture(params=["summed up now", "kept"])
def artifacts(request: pytest.FixtureRequest, published: Store, tmp_path: Path) -> Artifacts:
    """Artifacts without and with the sums that step `score` keeps."""
    artifacts = Artifacts(str(tmp_path))
    if request.param == "kept":
        sessions = {row["session"].date() for row in published.load(SCORES).to_dict("records")}
        with KeptSums(published, artifacts, KEY).changing(sessions):
            pass
    return artifacts


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('published')}/stockcast.db")
    fill(store)
    yield store
    store.close()


def test_what_is_shown_unasked_is_the_newest_and_of_its_recipes_the_default_one():
    day, before = dt.date(2013, 3, 1), dt.date(2013, 2, 28)
    stored = [
        ("b", "castilla", day),
        ("b", "default", day),
        ("b", "default.faithful", day),
        ("a", "default", before),
        ("a.rehearsal", "default", day),
    ]
    rows = pd.DataFrame(
        [
            {"universe": universe, "recipe": recipe, "target": "close", "newest": newest}
            for universe, recipe, newest in stored
        ]
    )
    every = page_tables.all_series(SimpleNamespace(series=lambda: rows))
    assert [(series.universe, series.recipe) for series in every] == [
        ("b", "default"),
        ("b", "castilla"),
        ("b", "default.faithful"),
        ("a", "default"),
        ("a.rehearsal", "default"),
    ]


def test_the_scoreboard_is_the_scores_summed_up(published, artifacts):
    [series] = page_tables.all_series(published)
    scores = published.load(SCORES, **KEY)
    for by in ("ticker", "horizon"):
        table = page_tables.scoreboard(published, artifacts, series, by).set_index(by)
        for name, group in scores.groupby(by):
            last = group["actual"] - group["naive_error"]
            relative, naive = group["error"] / last, group["naive_error"] / last
            skill = 1 - ((relative**2).mean() / (naive**2).mean()) ** 0.5
            assert table.loc[name, "forecasts"] == len(group)
            assert table.loc[name, "skill"] == pytest.approx(skill)
            assert table.loc[name, "pinball_skill"] == pytest.approx(1 - 0.010 / 0.011)
            over_har = table.loc[name, "pinball_skill_over_har"]
            assert over_har == pytest.approx(1 - 0.010 / 0.0101)
            assert table.loc[name, "inside_80"] == group["inside_80"].mean()
    [whole] = page_tables.scoreboard(published, artifacts, series, "recipe").to_dict("records")
    assert (whole["recipe"], whole["forecasts"]) == ("default", len(scores))
    months = page_tables.scoreboard(published, artifacts, series, "month")
    assert months["month"].tolist() == sorted({f"{day:%Y-%m}" for day in scores["session"]})
    assert months["forecasts"].sum() == len(scores)


def test_earlier_forecasts_stand_next_to_actual_values_and_end_at_the_session(published):
    [series] = page_tables.all_series(published)
    table = page_tables.earlier(published, series, "AAA", CUTOFFS[4], horizon=2)
    assert table["cutoff"].dt.date.tolist() == CUTOFFS[:5]
    assert table["session"].dt.date.tolist() == [
        SESSIONS[SESSIONS.index(cutoff) + 2] for cutoff in CUTOFFS[:5]
    ]
    stored = published.load(SCORES, **KEY, ticker="AAA", horizon=2, cutoff=CUTOFFS[:5])
    assert table["actual"].tolist() == stored["actual"].tolist()
    assert (table["upper_98"] > table["upper_95"]).all()
    assert (table["lower_98"] < table["lower_95"]).all()


def test_the_record_of_intervals_is_that_of_the_publications_scored(published, artifacts):
    [series] = page_tables.all_series(published)
    scored = published.load(SCORES, **KEY).merge(
        published.load(PUBLICATIONS, **KEY), on=list(PUBLICATIONS.key), suffixes=("", "_published")
    )
    for ticker, rows in (("AAA", scored[scored["ticker"] == "AAA"]), (None, scored)):
        record = (
            page_tables.intervals(published, series, ticker)
            if ticker
            else page_tables.intervals_of_all(published, artifacts, series)
        )
        sums = interval_sums_by_loop(rows, ["horizon"])
        expected = interval_record(sums, ["horizon"])
        expected = expected.sort_values(["backfilled", "horizon"], ignore_index=True)
        pd.testing.assert_frame_equal(record, expected, check_dtype=False)
        assert record["forecasts"].sum() == len(rows)
