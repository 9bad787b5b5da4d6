"""What is seen of all stocks at several cutoffs: kept once, read again only where it changed."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import seen_histories
from pipeline.prices import KeptHistories
from pipeline.tables import DATASETS
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import TRAINED
from tests.made_prices import random_walk

pytestmark = pytest.mark.integration

UNIVERSE = dataclasses.replace(TRAINED, tickers=("OLD", "TWO"))
SESSIONS = dt.date(2013, 2, 27), dt.date(2013, 2, 28)


def test_what_is_seen_up_to_several_cutoffs_is_kept_once_where_it_is_the_same():
    bars = random_walk(1, 300).rename(columns={"date": "session"})
    longer = bars.assign(ticker="AAA", adj_close=bars["close"])
    history = longer.iloc[20:250].reset_index(drop=True)
    history = pd.DataFrame({name: column.array.copy() for name, column in history.items()})
    history["adj_close"] *= 0.99  # a dividend since
    shared = seen_histories._sharing(history, longer, list(history))
    pd.testing.assert_frame_equal(shared, history)
    assert [
        name
        for name in ("session", "open", "volume", "adj_close")
        if np.shares_memory(shared[name].to_numpy(), longer[name].to_numpy())
    ] == ["session", "open", "volume"]


@pytest.mark.parametrize("quarantined", [[], ["TWO"]])
def test_the_prices_of_a_session_are_read_once_for_what_is_fitted_and_what_is_cut(
    quarantined, parts, monkeypatch
):
    quick_day(parts, SESSIONS[0], UNIVERSE, last="build_windows")
    parts.gate.broken = dict.fromkeys(quarantined, "made up")
    run = quick_day(parts, SESSIONS[1], UNIVERSE, last="check")
    read, revisions = [], parts.store.prices.revisions

    def noted(source_id, tickers, *arguments):
        read.append([*tickers])
        return revisions(source_id, tickers, *arguments)

    monkeypatch.setattr(parts.store.prices, "revisions", noted)
    take_steps(parts, run, "pretrain", "build_windows")
    assert [tickers for tickers in read if tickers] == [list(UNIVERSE.tickers)]
    parts.kept_histories = KeptHistories(most_bars=0)
    read.clear()
    ours = parts.store.load(DATASETS)
    take_steps(parts, run, "pretrain", "build_windows")
    admitted = [ticker for ticker in UNIVERSE.tickers if ticker not in quarantined]
    assert [tickers for tickers in read if tickers] == [list(UNIVERSE.tickers), admitted]
    pd.testing.assert_frame_equal(parts.store.load(DATASETS), ours)
