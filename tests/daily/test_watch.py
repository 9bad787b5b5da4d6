"""The watch: warnings where coverage, skill or inputs have left their bands."""

import dataclasses
import datetime as dt

import pandas as pd
import pytest

from pipeline.daily import STEPS, lineup
from pipeline.daily.stability import stability_of, stability_reference
from pipeline.tables import DRIFT, SCORES
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import TRAINED, UNIVERSE
from tests.made_prices import LAST

ONE = dataclasses.replace(UNIVERSE, tickers=("AAA",))


def test_every_promoted_ticker_is_judged_by_its_inputs_too(done):
    parts, run = done
    rows = parts.rows(DRIFT, run).set_index("ticker")
    assert sorted(rows.index) == sorted(TRAINED.tickers)
    lineups = lineup.load(parts, run, TRAINED.tickers)
    for ticker, own in lineups.items():
        assert rows.loc[ticker, "psi"] == pytest.approx(stability_of(parts, own), nan_ok=True)
    assert rows.loc["OLD", "psi"] >= 0


def test_a_figure_outside_its_band_is_a_warning(done):
    parts, run = done
    rows = parts.rows(DRIFT, run)
    scores = _scores_of_losers(run)
    parts.store.save(SCORES, scores)
    warnings = STEPS["watch"](parts, run)
    kinds = {(each["ticker"], each["kind"]) for each in warnings}
    assert ("OLD", "coverage_80") in kinds and ("OLD", "pinball_skill") in kinds
    assert rows["warnings"].tolist() != parts.rows(DRIFT, run)["warnings"].tolist()
    [line, *_] = [m for m in parts.messages if m[0] == "watch" and m[1] == "OLD"]
    assert line[2].startswith("WARNING coverage_80: ")


def _scores_of_losers(run):
    """Return a year of scores of OLD that were never inside, and lost twice what ewma lost."""
    sessions = pd.bdate_range(end=run.session - dt.timedelta(days=1), periods=260)
    return SCORES.conform(
        pd.DataFrame(
            {
                **run.series,
                "ticker": "OLD",
                "cutoff": sessions,
                "horizon": 1,
                "session": sessions + pd.offsets.BDay(1),
                "champion": "lstm",
                "y_hat": 50.0,
                "actual": 60.0,
                "error": 10.0,
                "naive_error": 5.0,
                "pinball": 0.02,
                "ewma_pinball": 0.01,
                "har_pinball": 0.01,
                "published_at": sessions,
                "backfilled": False,
                "inside_80": False,
                "inside_95": False,
            }
        )
    )


@pytest.mark.integration
def test_a_backfill_judges_later_sessions_again(parts):
    quick_day(parts, LAST, ONE)
    before = parts.store.load(DRIFT, cutoff=LAST)
    quick_day(parts, dt.date(2013, 2, 28), ONE)
    after = parts.store.load(DRIFT, cutoff=LAST)
    assert before["sessions"].tolist() == [0] and after["sessions"].tolist() == [1]


def test_the_reference_of_inputs_is_kept_until_the_next_training(done):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    kept = stability_reference(parts, own.training.dataset)
    (parts.settings.home / f"artifacts/stability/{own.training.dataset}.json").unlink()
    assert stability_reference(parts, own.training.dataset) == kept


def test_watching_again_changes_nothing(done):
    parts, run = done
    before = parts.store.load(DRIFT)
    take_steps(parts, run, "watch", "watch")
    pd.testing.assert_frame_equal(parts.store.load(DRIFT), before)
    assert parts.messages[-1] == ("watch", "", "4 tickers watched, none has left its bands")
