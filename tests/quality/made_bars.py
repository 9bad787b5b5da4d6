"""A quiet made year of prices, ways to break a bar of it, and the gate's verdict on the result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.quality import Gate, GateVerdict
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, PRICE_COLUMNS, PRICES

SUITES = Path(__file__).parents[2] / "expectations"
CALENDAR = Calendar("XNYS")
CUTOFF = dt.date(2017, 11, 30)
SESSIONS = CALENDAR.sessions(dt.date(2017, 1, 3), CUTOFF)
NEEDED_SESSIONS = 200
GATE = Gate(SUITES)

#: Breaks the bar of a number.
Edit = Callable[[pd.DataFrame, int], pd.DataFrame]


def clean(ticker: str) -> pd.DataFrame:
    """Return a quiet year of a made stock, another one for every name."""
    noise = np.random.default_rng(list(ticker.encode()))
    close = 100 * np.exp(np.cumsum(noise.normal(0, 0.008, len(SESSIONS))))
    open_ = np.r_[close[0], close[:-1]] * (1 + noise.normal(0, 0.002, len(SESSIONS)))
    bars = {
        "open": open_,
        "high": np.maximum(open_, close) * 1.003,
        "low": np.minimum(open_, close) * 0.997,
        "close": close,
        "volume": noise.integers(1e6, 2e6, len(SESSIONS)),
    }
    return PRICES.conform(pd.DataFrame({"ticker": ticker, "session": SESSIONS, **bars}))


def put(column: str, value: float | Callable[[pd.Series], float]) -> Edit:
    """Return the edit that puts a value into a cell; it may be computed from the bar."""

    def edit(bars: pd.DataFrame, i: int) -> pd.DataFrame:
        bars.loc[i, column] = value(bars.loc[i]) if callable(value) else value
        return bars

    return edit


def times(factor: float, columns: tuple[str, ...] = tuple(PRICE_COLUMNS)) -> Edit:
    """Return the edit that multiplies a bar's cells."""

    def edit(bars: pd.DataFrame, i: int) -> pd.DataFrame:
        bars.loc[i, list(columns)] *= factor
        return bars

    return edit


def repeated(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    extra = bars.loc[[i]].assign(close=lambda bar: bar["close"] * 1.001)
    return pd.concat([bars, extra]).sort_values("session")


def out_of_order(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    order = list(bars.index)
    order[i - 1], order[i] = order[i], order[i - 1]
    return bars.loc[order]


def on_a_holiday(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    holiday = dt.date(2017, 11, 25) if i > 200 else dt.date(2017, 7, 4)
    extra = bars.loc[[i]].assign(
        session=pd.Timestamp(holiday), close=lambda bar: bar["close"] * 1.001
    )
    return pd.concat([bars, extra]).sort_values("session")


def copied(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    bars.loc[i, bars.columns[2:]] = bars.loc[i - 1, bars.columns[2:]]
    return bars


def stale(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    bars.loc[i - 3 : i, PRICE_COLUMNS] = bars.loc[i - 3, PRICE_COLUMNS].to_numpy()
    return bars


def jumping(ratio: float) -> Edit:
    """Return the edit that multiplies all prices from a bar on."""

    def edit(bars: pd.DataFrame, i: int) -> pd.DataFrame:
        bars.loc[i:, PRICE_COLUMNS] *= ratio
        return bars

    return edit


def split_unannounced(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    return jumping(0.5)(bars, i)


def judge(
    prices: pd.DataFrame,
    actions: Mapping[str, object] | None = None,
    tickers: list[str] | None = None,
    gate: Gate = GATE,
    others: pd.DataFrame | None = None,
    target: str = "close",
    documented: bool = False,
) -> GateVerdict:
    tickers = tickers or sorted(prices["ticker"].unique())
    table = ACTIONS.empty() if actions is None else ACTIONS.conform(pd.DataFrame(actions))
    return gate.check_prices(
        prices,
        table,
        tickers,
        SESSIONS,
        CUTOFF,
        NEEDED_SESSIONS,
        "made",
        others,
        target,
        documented=documented,
    )


def findings_of(verdict: GateVerdict, ticker: str, rule: str) -> list[tuple[str, str]]:
    """Return (column, severity) of each finding of a rule about a ticker."""
    findings = verdict.findings
    rows = findings[(findings["ticker"] == ticker) & (findings["rule"] == rule)]
    return list(zip(rows["column"], rows["severity"], strict=True))
