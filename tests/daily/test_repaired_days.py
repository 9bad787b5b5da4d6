"""Days whose source shows a block of bars in another unit: read repaired, never stored so."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.quality import REPAIRED
from pipeline.tables import CHECKS, FINDINGS, FORECASTS, PRICE_COLUMNS, PRICE_REVISIONS, SCORES
from tests.daily.quick_days import QuickParts, quick_day
from tests.made_days import UNIVERSE, made_source
from tests.made_prices import LAST, MadeSource
from tests.quality.made_bars import GATE

pytestmark = pytest.mark.slow  # Great Expectations judges

BEFORE = dt.date(2013, 2, 15)


def with_block(first: int = -8, end: int = -4) -> MadeSource:
    """Return the made source with bars of AAA in pence for pounds."""
    source = made_source()
    bars = source.bars["AAA"]
    bars.loc[bars.index[first:end], PRICE_COLUMNS] *= 100
    return source


def days(home, source, universe=UNIVERSE):
    parts = QuickParts(home, source, max_quarantined=0.5)
    with parts:
        parts.gate = GATE
        runs = [quick_day(parts, session, universe) for session in (BEFORE, LAST)]
        yield parts, runs[-1]


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    yield from days(tmp_path_factory.mktemp("right"), made_source())


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    yield from days(tmp_path_factory.mktemp("wrong"), with_block())


def test_forecasts_and_scores_are_those_of_the_right_bars(right, wrong):
    for table, count in ((FORECASTS, 2 * UNIVERSE.horizon), (SCORES, UNIVERSE.horizon)):
        ours, theirs = (
            parts.store.load(table, ticker="AAA").drop(columns="published_at", errors="ignore")
            for parts, _ in (wrong, right)
        )
        assert len(ours) == count
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9)


def test_what_was_repaired_is_told_and_kept_with_the_verdict(wrong):
    parts, run = wrong
    findings = parts.rows(FINDINGS, run, ["AAA"])
    [found] = findings[findings["rule"] == REPAIRED].to_dict("records")
    sessions = parts.made.bars["AAA"]["date"]
    expected = (
        f"4 bars from {sessions.iloc[-8]:%Y-%m-%d} to {sessions.iloc[-5]:%Y-%m-%d} are read 0.01 "
        f"times as high as stored: {sessions.iloc[-4]:%Y-%m-%d} 1/100 of the bars before, the "
        "ratio of another unit of money (`repair = false` in its universe holds the ticker back "
        "instead); recorded."
    )
    assert (found["severity"], found["message"]) == ("record", f"AAA {expected}")
    assert "basis_changed" not in set(findings["rule"])
    assert ("check", "AAA", expected) in parts.messages
    assert parts.rows(CHECKS, run, ["AAA"])["verdict"].tolist() == ["passed"]


def test_what_is_stored_is_what_the_source_gives(wrong):
    parts, _ = wrong
    stored = parts.store.load(PRICE_REVISIONS, ticker="AAA").sort_values("session")
    given = parts.made.bars["AAA"]
    np.testing.assert_array_equal(stored[PRICE_COLUMNS], given[PRICE_COLUMNS])


def test_a_universe_without_repair_holds_the_ticker_back(tmp_path):
    universe = dataclasses.replace(UNIVERSE, repair=False)
    for parts, run in days(tmp_path, with_block(), universe):
        checks = parts.rows(CHECKS, run).set_index("ticker")["verdict"]
        assert checks.to_dict() == {"AAA": "quarantined", "BBB": "passed", "CCC": "passed"}
        assert parts.rows(FORECASTS, run, ["AAA"]).empty


def test_a_block_that_stands_holds_the_ticker_back(tmp_path):
    for parts, run in days(tmp_path, with_block(-4, None)):
        [reason] = parts.rows(CHECKS, run, ["AAA"])["reasons"]
        assert "100 times the bars before, the ratio of another unit of money" in reason
