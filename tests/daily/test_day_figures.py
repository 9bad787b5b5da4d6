"""Figures of a day: every ticker counts once, and coverage is that of the newest scores."""

import datetime as dt

import pytest

from pipeline.daily import DayCounts, counts_of, is_newest_session, published_figures
from pipeline.daily.day_figures import watched_figures
from pipeline.run import Run
from pipeline.tables import DRIFT
from tests.daily.quick_days import QuickParts
from tests.made_publications import CUTOFFS, HOSTILE, KEY, KNOWN_AT, LAST, UNIVERSE, fill


@pytest.fixture
def parts(tmp_path):
    with QuickParts(tmp_path / "home") as made:
        fill(made.store)
        yield made


def run_of_tickers(*tickers: str, session: dt.date = LAST) -> Run:
    """Return the run of a session; a run may have tickers that nothing was made of."""
    import dataclasses

    universe = dataclasses.replace(UNIVERSE, tickers=("AAA", "OUT", "GONE"))
    object.__setattr__(universe, "tickers", tickers)  # no ticker of a source is hostile
    return Run(universe, session, session, session, session, session, (), KNOWN_AT)


def test_each_ticker_is_published_quarantined_or_left_out(parts):
    run = run_of_tickers("AAA", "BRK.B", HOSTILE, "OUT", "GONE")
    assert counts_of(parts, run) == DayCounts(3, 1, 1, forecasts=15)
    assert published_figures(parts, run) == {
        "tickers_published": 3,
        "tickers_quarantined": 1,
        "tickers_left_out": 1,
        "forecasts_published": 15,
        "newest_session": dt.datetime.combine(LAST, dt.time(), dt.UTC).timestamp(),
    }


def test_coverage_counts_each_scored_session_and_leaves_out_what_has_too_few(parts):
    run = run_of_tickers("AAA", "BRK.B", HOSTILE)
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
    assert watched_figures(parts, run_of_tickers(HOSTILE)) == {"tickers_drifted": 0}


def test_only_the_newest_session_is_that_of_today(parts):
    assert is_newest_session(parts, run_of_tickers("AAA"))
    assert not is_newest_session(parts, run_of_tickers("AAA", session=CUTOFFS[-2]))
