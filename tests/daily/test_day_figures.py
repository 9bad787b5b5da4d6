"""Figures of a day: every ticker counts once, and coverage is that of the newest scores."""

import dataclasses
import datetime as dt

import pytest

from pipeline.daily import (
    DayCounts,
    counts_of,
    is_newest_session,
    published_figures,
    speaks_for_universe,
    watched_figures,
)
from pipeline.run import Run
from pipeline.tables import DRIFT
from tests.daily.quick_days import QuickParts
from tests.made_publications import CUTOFFS, HOSTILE, KEY, KNOWN_AT, LAST, UNIVERSE, fill


@pytest.fixture
def parts(tmp_path):
    with QuickParts(tmp_path / "home") as made:
        fill(made.store)
        yield made


def run_of(*tickers: str, session: dt.date = LAST) -> Run:
    """Return the run of a session that asks for these tickers."""
    universe = dataclasses.replace(UNIVERSE, tickers=tickers)
    return Run(universe, session, session, session, session, session, (), KNOWN_AT)


def test_each_ticker_of_a_session_is_published_quarantined_or_left_out(parts):
    # The other published ones are another run's of the same session.
    run = run_of("AAA", "OUT", "GONE")
    assert counts_of(parts, run) == DayCounts(3, 1, 1, forecasts=15)
    assert published_figures(parts, run) == {
        "tickers_published": 3,
        "tickers_quarantined": 1,
        "tickers_left_out": 1,
        "forecasts_published": 15,
        "newest_session": dt.datetime.combine(LAST, dt.time(), dt.UTC).timestamp(),
    }


def test_coverage_counts_each_scored_session_and_leaves_out_what_has_too_few(parts):
    run = run_of("AAA")
    judged = parts.store.load(DRIFT, **KEY, cutoff=LAST).set_index("ticker")
    judged.loc["BRK.B", ["coverage_80", "coverage_95", "sessions"]] = [0.5, 0.9, 20]
    judged.loc[HOSTILE, ["coverage_80", "coverage_95", "sessions"]] = [float("nan")] * 2 + [3]
    parts.store.save(DRIFT, judged.reset_index())
    figures = watched_figures(parts, run)
    assert figures.pop("tickers_drifted") == 1
    assert figures == pytest.approx(
        {
            "coverage_80": (0.8 * 60 + 0.5 * 20) / 80,
            "coverage_95": (0.95 * 60 + 0.9 * 20) / 80,
        }
    )
    unscored = judged.assign(coverage_80=float("nan"), warnings="")
    parts.store.save(DRIFT, unscored.reset_index())
    assert watched_figures(parts, run) == {"tickers_drifted": 0}


def test_only_a_run_as_declared_and_of_the_newest_session_is_the_universes_day(parts, tmp_path):
    declared = tmp_path / "universes.toml"
    declared.write_text('[made]\nsource = "sample"\ntickers = ["AAA", "OUT"]\n')
    parts.settings = parts.settings.replaced(universes=str(declared))
    run = run_of("AAA", "OUT")
    assert speaks_for_universe(parts, run)
    for universe in (
        run.universe.as_rehearsal(),
        dataclasses.replace(run.universe, recipe="other"),
        dataclasses.replace(run.universe, target="high"),
    ):
        assert not speaks_for_universe(parts, dataclasses.replace(run, universe=universe))
    assert is_newest_session(parts, run_of("AAA"))
    assert not is_newest_session(parts, run_of("AAA", session=CUTOFFS[-2]))
