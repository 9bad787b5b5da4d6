"""Panels of price histories: all stocks of a universe side by side, as HAR regressions see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.models.har_features import Panel
from pipeline.tables import OHLCV, PRICE_COLUMNS, column
from pipeline.windows import dividends

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.sessions import Calendar


def panel_of(
    histories: Mapping[str, pd.DataFrame], target: str, horizon: int, calendar: Calendar
) -> Panel:
    """Return histories side by side, NaN where one has no row, with the calendar ahead.

    Args:
        histories: masked HISTORY by ticker, a row per session.
    """
    days = {ticker: _days(history) for ticker, history in histories.items()}
    sessions = np.unique(np.concatenate(list(days.values())))
    bars = np.full((len(sessions), len(histories), len(OHLCV)), np.nan)
    targets = np.full((len(sessions), len(histories)), np.nan)
    steps = np.ones(targets.shape)
    for stock, (ticker, history) in enumerate(histories.items()):
        rows = np.searchsorted(sessions, days[ticker])
        own = dividends.dividend_steps(history)
        bars[rows, stock] = history[OHLCV].to_numpy("float64")
        targets[rows, stock] = column(history, target).to_numpy("float64")
        if (own != 1).any():
            prices = bars[rows, stock, : len(PRICE_COLUMNS)]
            bars[rows, stock, : len(PRICE_COLUMNS)] = dividends.seen_from_last(prices.T, own).T
            steps[rows, stock] = 1.0 if target in dividends.WITHOUT_STEPS else own
    next_sessions = calendar.next_sessions(sessions[-1].astype(object), horizon + 1)
    later = np.array(next_sessions, "datetime64[D]")
    hours = calendar.hours_of(np.concatenate([sessions, later]))
    has_dividends = bool((steps != 1).any())
    return Panel(sessions, later, hours, bars, targets, steps if has_dividends else None)


def _days(history: pd.DataFrame) -> Array:
    return history["session"].to_numpy().astype("datetime64[D]")
