"""Splits and dividends: from prices on the tape to a history that can be compared across them, and back.

Pure arithmetic on the tables of `tables.py`. An action works on the sessions before its ex-date. Actions of value 0 were
announced and taken back; they are ignored.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.tables import ACTIONS, HISTORY, PRICE_COLUMNS, PRICES


def adjust(prices: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date) -> pd.DataFrame:
    """History as someone saw it on the evening of `cutoff`: a `HISTORY` table of sessions up to it.

    Only actions with an ex-date up to `cutoff` are applied: splits to prices and volume, and to `adj_close` dividends too, by
    the method of CRSP: closes before the ex-date shrink by the factor 1 - dividend / previous close. On `cutoff` itself every
    price is the one on the tape.

    Args:
        prices: a `PRICES` table of any number of tickers.
        actions: an `ACTIONS` table; those of other tickers are ignored.

    Raises:
        MalformedPrices: a dividend is no smaller than the close before it.
    """
    prices = PRICES.conform(prices[prices["session"] <= pd.Timestamp(cutoff)])
    actions = _effective(actions, pd.Timestamp(cutoff))
    moved = prices["ticker"].isin(actions["ticker"].unique()) if len(actions) else pd.Series(False, index=prices.index)
    as_traded = prices[~moved]
    histories = [
        _adjust_one(bars, actions[actions["ticker"] == ticker]) for ticker, bars in prices[moved].groupby("ticker", sort=True)
    ]
    return HISTORY.conform(pd.concat([as_traded.assign(adj_close=as_traded["close"]), *histories]))


def undo_splits(prices: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices and actions as they were on their day, from ones that a source has adjusted for every split in `actions`.

    One ticker's tables; dividends are taken to be adjusted like the prices. The inverse of what `adjust` does to OHLCV.
    """
    splits = _kind(_effective(actions), "split")
    factors = _later_splits(prices["session"], splits)
    prices = prices.assign(**{column: prices[column] * factors for column in PRICE_COLUMNS}, volume=prices["volume"] / factors)
    dividends = actions["kind"] == "dividend"
    values = actions["value"].where(~dividends, actions["value"] * _later_splits(actions["session"], splits))
    return prices, actions.assign(value=values)


def split_factor_between(actions: pd.DataFrame, ticker: str, after: dt.date, until: dt.date) -> float:
    """How many shares at the close of `until` one share at the close of `after` has become.

    A price of `until` times this is in dollars as of `after`.
    """
    splits = _kind(_effective(actions[actions["ticker"] == ticker], pd.Timestamp(until)), "split")
    return float(np.prod(splits.loc[splits["session"] > pd.Timestamp(after), "value"].to_numpy(), initial=1.0))


def _adjust_one(bars: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    splits = _kind(actions, "split")
    factors = _later_splits(bars["session"], splits)
    adjusted = bars.assign(**{column: bars[column] / factors for column in PRICE_COLUMNS}, volume=bars["volume"] * factors)
    return adjusted.assign(adj_close=adjusted["close"] * _later_dividends(adjusted, _kind(actions, "dividend"), splits))


def _later_splits(sessions: pd.Series, splits: pd.DataFrame) -> np.ndarray:
    """Per session, the product of the splits with a later ex-date; splits in the order of their dates."""
    return _product_of_later(sessions, splits["session"], splits["value"])


def _later_dividends(adjusted: pd.DataFrame, dividends: pd.DataFrame, splits: pd.DataFrame) -> np.ndarray:
    """Per session, the product of the dividend factors with a later ex-date.

    Dividend and previous close are both taken in the shares that `adjusted` counts in, so a split between the two, or on the
    ex-date itself, is in both.
    """
    closes = adjusted[adjusted["close"].notna()]
    positions = closes["session"].searchsorted(dividends["session"], side="left") - 1
    dividends, positions = dividends[positions >= 0], positions[positions >= 0]
    previous = closes["close"].to_numpy()[positions]
    factors = 1 - dividends["value"].to_numpy() / _later_splits(dividends["session"], splits) / previous
    if not (factors > 0).all():
        wrong = dividends[~(factors > 0)].iloc[0]
        message = f"{wrong['ticker']}: a dividend of {wrong['value']} on {wrong['session'].date()} is no smaller than the close before it."
        raise MalformedPrices(f"{message} Look at the price and the dividend.")
    return _product_of_later(adjusted["session"], dividends["session"], factors)


def _product_of_later(sessions: pd.Series, ex_dates: pd.Series, factors: pd.Series | np.ndarray) -> np.ndarray:
    """Per session, the product of the factors whose ex-date is after it; multiplied from the latest back."""
    from_latest = np.cumprod([1.0, *np.asarray(factors, dtype="float64")[::-1]])
    later = len(ex_dates) - ex_dates.searchsorted(sessions, side="right")
    return from_latest[later]


def _effective(actions: pd.DataFrame, until: pd.Timestamp | None = None) -> pd.DataFrame:
    """Actions in the order of their dates: not taken back, and with an ex-date up to `until`."""
    keep = actions["value"] != 0
    if until is not None:
        keep &= actions["session"] <= until
    return ACTIONS.conform(actions[keep])


def _kind(actions: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The splits, or the dividends, in the order of their dates."""
    return actions[actions["kind"] == kind].sort_values("session").reset_index(drop=True)
