"""The session level: no byte of a day moves with what comes after it, and a leak is found."""

import datetime as dt

import pandas as pd
import pytest

from pipeline.models import RECIPES
from pipeline.prices import adjust
from pipeline.storage import PriceRevisions
from pipeline.storage.event_revisions import EventRevisions
from tests.made_audits import moved_outputs, small_audit
from tests.made_days import SMALL

#: Outputs that no run is without.
ALWAYS_THERE = {
    "datasets",
    "lineups",
    "network files",
    "models",
    "evaluations",
    "predictions",
    "promotions",
    "calibrations",
    "forecasts",
    "runs",
}
LATER = dt.date(2100, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "cutoffs"),
    [(SMALL, 1), (RECIPES.for_price("castilla"), 2)],
    ids=["default", "castilla"],
)
def test_no_byte_of_a_day_moves_with_what_comes_after_it(parts, recipe, cutoffs):
    report = small_audit(parts, recipe, "session", cutoffs=cutoffs)
    assert report.moved == []
    by_cutoff = pd.DataFrame(report.compared).groupby("cutoff")["what"].apply(set)
    assert len(by_cutoff) == cutoffs
    others = {"checks", "findings", "regressions"}
    assert all(ALWAYS_THERE | others == outputs for outputs in by_cutoff)
    assert min(line.cells for line in report.compared if line.what in ALWAYS_THERE) > 0
    assert list(parts.settings.home.glob("*")) == []


@pytest.mark.slow
def test_an_event_that_counts_before_it_is_known_is_caught(parts, monkeypatch):
    """Its date is read as of now: what was taken back since then counts for less."""
    real = EventRevisions.known

    def as_of_today(self, source_id, tickers, known_at):
        events = real(self, source_id, tickers, known_at)
        return events[events["known_until"].isna()].reset_index(drop=True)

    monkeypatch.setattr(EventRevisions, "known", as_of_today)
    report = small_audit(parts, RECIPES.for_price("ganegedara-average"), "session")
    assert {"findings", "forecasts"} <= moved_outputs(report, "session")


@pytest.mark.slow
def test_a_store_that_adjusts_by_later_splits_is_caught(parts, monkeypatch):
    """The commonest leak there is: prices that were adjusted as of today."""

    def as_of_today(bars, actions, cutoff):
        history = adjust(bars, actions, LATER)
        return history[history["session"] <= pd.Timestamp(cutoff)].reset_index(drop=True)

    def all_there_is(self, source_id, tickers, cutoff, *others, real=PriceRevisions.revisions):
        return real(self, source_id, tickers, LATER, *others)

    monkeypatch.setattr("pipeline.prices.history.adjust", as_of_today)
    monkeypatch.setattr(PriceRevisions, "revisions", all_there_is)
    report = small_audit(parts, RECIPES.for_price("ganegedara-average"), "session")
    assert {"datasets", "predictions", "forecasts"} <= moved_outputs(report, "session")
    assert "session" in report.verdict() and "looks ahead" in report.verdict()
