"""What is seen of all stocks at several cutoffs: kept once, read again only where it changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.daily import seen_histories
from tests.made_prices import random_walk


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
