"""Adjustment for splits and dividends: from traded prices to comparable ones, and back.

Pure arithmetic on the tables of `tables.py`. An action works on the sessions before its ex-date.
Actions of value 0 were announced and taken back; they are ignored.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from pipeline.arrays import Array, Floats
from pipeline.errors import MalformedPrices
from pipeline.prices.restating import without_taken_back
from pipeline.tables import ACTIONS, HISTORY, OHLCV, PRICE_COLUMNS, PRICES


def adjust(prices: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date) -> pd.DataFrame:
    """Return prices as they could be seen on the evening of `cutoff`.

    Only actions with an ex-date up to `cutoff` are applied: splits to prices and volume, and to
    `adj_close` dividends too, by the method of CRSP: closes before the ex-date shrink by the factor
    1 - dividend / previous close. On `cutoff` itself every price is the traded one. Before a
    dividend no smaller than the close before it, which is in another unit of money, no `adj_close`
    is known.

    Args:
        prices: PRICES of any number of tickers; bars that were taken back are ignored.
        actions: ACTIONS; those of other tickers are ignored.

    Returns:
        HISTORY of the sessions up to `cutoff`.

    Raises:
        MalformedPrices: a split leaves no number of a price.
    """
    prices = without_taken_back(PRICES.conform(prices[prices["session"] <= pd.Timestamp(cutoff)]))
    actions = _in_force(actions, pd.Timestamp(cutoff))
    acted_on = prices["ticker"].isin(actions["ticker"].unique()).to_numpy()
    untouched = prices[~acted_on]
    histories = [
        _adjust_one(bars, actions[actions["ticker"] == ticker])
        for ticker, bars in prices[acted_on].groupby("ticker", sort=True)
    ]
    return HISTORY.conform(pd.concat([untouched.assign(adj_close=untouched["close"]), *histories]))


def undo_splits(prices: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return prices and actions as they were on their day: the inverse of `adjust` for OHLCV.

    Args:
        prices: PRICES of one ticker, adjusted by the source for every split in `actions`.
        actions: ACTIONS of that ticker, with dividends adjusted like the prices.
    """
    splits = _of_kind(_in_force(actions), "split")
    factors = _later_splits(prices["session"], splits)
    prices = prices.assign(
        **{column: prices[column] * factors for column in PRICE_COLUMNS},
        volume=prices["volume"] / factors,
    )
    is_dividend = actions["kind"] == "dividend"
    traded = actions["value"] * _later_splits(actions["session"], splits)
    return prices, actions.assign(value=actions["value"].where(~is_dividend, traded))


def _adjust_one(bars: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    splits = _of_kind(actions, "split")
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        factors = _later_splits(bars["session"], splits)
        adjusted = bars.assign(
            **{column: bars[column] / factors for column in PRICE_COLUMNS},
            volume=bars["volume"] * factors,
        )
    _require_numbers(bars, adjusted, splits)
    dividend_factors = _later_dividends(adjusted, _of_kind(actions, "dividend"), splits)
    return adjusted.assign(adj_close=adjusted["close"] * dividend_factors)


def _require_numbers(bars: pd.DataFrame, adjusted: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Require that no number has become infinite or zero by its splits."""
    before, after = (table[OHLCV].to_numpy("float64") for table in (bars, adjusted))
    lost = np.isfinite(before) & (before != 0) & (~np.isfinite(after) | (after == 0))
    if not lost.any():
        return
    worst = splits.loc[np.log(splits["value"]).abs().idxmax()]
    raise MalformedPrices(
        f"{worst['ticker']}: a split of {worst['value']:g} on {worst['session'].date()} leaves no "
        "number of the prices before it. Look at the split."
    )


def _later_splits(sessions: pd.Series, splits: pd.DataFrame) -> Floats:
    """Return per session the product of the splits with a later ex-date.

    Args:
        splits: in the order of their dates.
    """
    return _product_of_later(sessions, splits["session"], splits["value"].to_numpy())


def dividend_shares(
    adjusted: pd.DataFrame, dividends: pd.DataFrame, splits: pd.DataFrame
) -> pd.Series:
    """Return each dividend as a share of the close before it; NaN: there is none before it.

    Dividend and previous close are both taken in the shares that `adjusted` counts in, so a split
    between the two, or on the ex-date itself, is in both.

    Args:
        adjusted: bars of one ticker, adjusted for splits.
        dividends: ACTIONS of that ticker, as paid.
        splits: its ACTIONS in the order of their dates.
    """
    closes = adjusted[adjusted["close"].notna()]
    positions = closes["session"].searchsorted(dividends["session"], side="left") - 1
    previous = np.concatenate([closes["close"].to_numpy("float64"), [np.nan]])[positions]
    shares: pd.Series = dividends["value"] / _later_splits(dividends["session"], splits) / previous
    return shares


def _later_dividends(
    adjusted: pd.DataFrame, dividends: pd.DataFrame, splits: pd.DataFrame
) -> Floats:
    """Return per session the product of the dividend factors with a later ex-date.

    Returns:
        NaN before a dividend that is no smaller than the close before it.
    """
    shares = dividend_shares(adjusted, dividends, splits)
    dividends, shares = dividends[shares.notna()], shares.dropna()
    factors = (1 - shares).where(shares < 1).to_numpy()
    return _product_of_later(adjusted["session"], dividends["session"], factors)


def _product_of_later(sessions: pd.Series, ex_dates: pd.Series, factors: Array) -> Floats:
    """Return per session the product of the factors with a later ex-date.

    Multiplied from the latest back.
    """
    latest_first = np.asarray(factors, dtype="float64")[::-1]
    products: Floats = np.cumprod([1.0, *latest_first])
    later = len(ex_dates) - ex_dates.searchsorted(sessions, side="right")
    return products[later]


def _in_force(actions: pd.DataFrame, until: pd.Timestamp | None = None) -> pd.DataFrame:
    """Return actions that are not taken back, with an ex-date up to `until`, by their dates."""
    keep = actions["value"] != 0
    if until is not None:
        keep &= actions["session"] <= until
    return ACTIONS.conform(actions[keep])


def _of_kind(actions: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the splits or the dividends in the order of their dates."""
    return actions[actions["kind"] == kind].sort_values("session").reset_index(drop=True)
