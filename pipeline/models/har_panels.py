"""Panels of price histories: all stocks of a universe side by side, as HAR regressions see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array, Ints
from pipeline.models.har_features import Panel
from pipeline.tables import OHLCV, PRICE_COLUMNS, column
from pipeline.windows import dividends

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.sessions import Calendar


def panel_of(
    histories: Mapping[str, pd.DataFrame],
    target: str,
    horizon: int,
    calendar: Calendar,
    reports: pd.DataFrame | None = None,
) -> Panel:
    """Return histories side by side, NaN where one has no row, with the calendar ahead.

    Args:
        histories: masked HISTORY by ticker, a row per session.
        reports: KNOWN_EVENTS of reports; None: none is known.
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
    days_ahead = np.concatenate([sessions[1:], later[:1]])
    known = None if reports is None else _known_reports(reports, [*histories], days_ahead, calendar)
    return Panel(sessions, later, hours, bars, targets, steps if has_dividends else None, known)


def _known_reports(
    reports: pd.DataFrame, tickers: Sequence[str], days_ahead: Array, calendar: Calendar
) -> Ints | None:
    """Return `Panel.reports`; None: no row knows any.

    A row knows what is known before the session after it opens.

    Args:
        days_ahead: datetime64[D] (T,), the session after each row's.
    """
    import pandas as pd

    openings = calendar.opens_of(pd.Series(days_ahead.astype("datetime64[s]"))).to_numpy()
    own = reports[reports["ticker"].isin(tickers)]
    first, end = (
        np.searchsorted(openings, own[name].to_numpy("datetime64[us]"), side="right")
        for name in ("known_from", "known_until")
    )
    end = np.where(own["known_until"].isna(), len(openings), end)
    stocks = [tickers.index(ticker) for ticker in own["ticker"]]
    days = own["session"].to_numpy("datetime64[D]").astype("int64")
    rows = np.column_stack([stocks, days, first, end]).astype("int64")[first < end]
    return rows if len(rows) else None


def _days(history: pd.DataFrame) -> Array:
    return history["session"].to_numpy().astype("datetime64[D]")
