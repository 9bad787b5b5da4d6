"""Splits and dividends of a file's own, and what its prices are adjusted for already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.prices.adjustment import undo_splits
from pipeline.prices.formats.file_layout import Layout
from pipeline.tables import ACTIONS, PRICE_COLUMNS, SESSION_DTYPE

NO_ACTIONS = pd.DataFrame(columns=["date", "kind", "value"])
STATED = r"^(?P<new>\d+(?:\.\d+)?)(?::(?P<old>\d+(?:\.\d+)?))? (?P<what>Dividend|Stock Split)s?$"
#: yfinance and Yahoo's web page: prices and dividends are adjusted for every later split.
SPLIT_ADJUSTED = ("yfinance, history", "yfinance, download", "Yahoo, web table", "Yahoo")
#: Files with Yahoo's names of these columns, whoever put them together, have Yahoo's prices.
YAHOO_SPLITS = "Stock Splits"
#: Only a split of this size shows in the closes beside it.
VISIBLE_SPLIT = 1.5
SIGNIFICANT_DIGITS_OF_FILES = 7


@dataclass(frozen=True)
class Basis:
    """The adjustments in a file's prices, and its columns that are not used.

    Attributes:
        split_adjusted: whether they were adjusted for the file's splits, which are undone.
        splits: number of splits that are used.
        dividends: number of dividends that are used.
        unused: what the file has and is not used, in words.
    """

    split_adjusted: bool = False
    splits: int = 0
    dividends: int = 0
    unused: tuple[str, ...] = ()


def stated_events(cells: pd.Series) -> pd.DataFrame | None:
    """Return the splits and dividends that stand among the prices, as on Yahoo's web page.

    Returns:
        Columns kind and value, missing in other rows; None: there are none.
    """
    if cells.dtype not in ("str", "object"):
        return None
    parts = cells.str.strip().str.extract(STATED)
    if parts["what"].isna().all():
        return None
    is_split = parts["what"] == "Stock Split"
    new, old = (parts[name].astype("float64") for name in ("new", "old"))
    kind = parts["what"].map({"Dividend": "dividend", "Stock Split": "split"})
    value = new.where(~is_split, new / old)
    known = value.notna() & (is_split == parts["old"].notna())
    return pd.DataFrame({"kind": kind.where(known), "value": value.where(known)})


def as_traded(
    bars: pd.DataFrame, events: pd.DataFrame, layout: Layout, ticker: str, place: str
) -> tuple[pd.DataFrame, pd.DataFrame, Basis]:
    """Return a ticker's bars as they were traded, its actions, and what the file's basis was.

    Args:
        bars: with columns split and dividend where the file has them.
        events: rows that say a split or a dividend, and no price.
    """
    splits = _actions(bars, events, "split", nothing=(0.0, 1.0))
    dividends = _actions(bars, events, "dividend", nothing=(0.0,))
    adjusted = _is_split_adjusted(bars, splits, layout, ticker, place)
    unused = []
    if len(dividends) and _is_dividend_adjusted(bars, layout):
        unused.append("Dividends (the prices are adjusted for them already)")
        dividends = dividends[:0]
    if "adj_close" in bars and "close" in layout.columns and not {"split", "dividend"} & {*bars}:
        unused.append(layout.name_of("adj_close"))
    basis = Basis(adjusted, len(splits), len(dividends), tuple(unused))
    if not {"split", "dividend", "is_event"}.isdisjoint(bars):
        bars = bars.drop(columns=["split", "dividend", "is_event"], errors="ignore")
    actions = pd.concat([splits, dividends])
    if actions.empty:
        return bars, NO_ACTIONS, basis
    if adjusted and len(splits):
        bars, actions = _undone(bars, actions)
    return bars, actions, basis


def _actions(
    bars: pd.DataFrame, events: pd.DataFrame, kind: str, nothing: tuple[float, ...]
) -> pd.DataFrame:
    """Return the actions of a kind; a file writes 0, 1 or nothing where there is none."""
    found = [NO_ACTIONS]
    for rows in (bars, events):
        if kind in rows:
            own = rows[rows[kind].notna() & ~rows[kind].isin(nothing) & rows["date"].notna()]
            found.append(pd.DataFrame({"date": own["date"], "kind": kind, "value": own[kind]}))
    own_rows = [rows for rows in found if len(rows)]
    return pd.concat(own_rows, ignore_index=True) if own_rows else NO_ACTIONS


def _is_split_adjusted(
    bars: pd.DataFrame, splits: pd.DataFrame, layout: Layout, ticker: str, place: str
) -> bool:
    """Return whether prices are adjusted for the file's splits.

    The closes beside its splits show it: as traded they fall by the ratio. Where none is large
    enough, the producer's manner counts.

    Raises:
        MalformedPrices: the splits contradict each other.
    """
    usual = layout.producer in SPLIT_ADJUSTED or layout.name_of("split") == YAHOO_SPLITS
    if splits.empty:
        return usual
    closes = bars.loc[(bars["close"] > 0) & bars["date"].notna(), ["date", "close"]]
    closes = closes.sort_values("date")
    votes: dict[bool, str] = {}
    for date, ratio in zip(splits["date"], splits["value"], strict=True):
        before, after = closes[closes["date"] < date], closes[closes["date"] >= date]
        size = abs(np.log(ratio)) if ratio > 0 else 0.0
        if size < np.log(VISIBLE_SPLIT) or before.empty or after.empty:
            continue
        move = np.log(after["close"].iloc[0] / before["close"].iloc[-1])
        votes[bool(abs(move) < abs(move + np.log(ratio)))] = f"{ratio:g}:1 on {date.date()}"
    if len(votes) == 2:
        raise MalformedPrices(
            f"{place}: {ticker}'s closes are adjusted for its split {votes[True]} but not for "
            f"{votes[False]}; all or none are expected. Mend the prices, or remove the column of "
            "splits."
        )
    return next(iter(votes), usual)


def _is_dividend_adjusted(bars: pd.DataFrame, layout: Layout) -> bool:
    """Return whether prices are adjusted for dividends: yfinance's are, without an Adj Close."""
    return layout.producer.startswith("yfinance") and "adj_close" not in bars


def _undone(bars: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return bars and dividends before the splits that the file's prices are adjusted for."""
    keyed = bars.assign(ticker="", session=_days(bars["date"]))
    in_order = ACTIONS.conform(actions.assign(ticker="", session=_days(actions["date"])))
    prices, traded = undo_splits(keyed, in_order)
    rounded = {name: _significant_digits(prices[name]) for name in PRICE_COLUMNS}
    prices = prices.assign(**rounded, volume=prices["volume"].round())
    traded = traded.rename(columns={"session": "date"})[["date", "kind", "value"]]
    return prices.drop(columns=["session", "ticker"]), traded


def _days(dates: pd.Series) -> pd.Series:
    plain = pd.to_datetime(dates)
    plain = plain.dt.tz_localize(None) if plain.dt.tz is not None else plain
    return plain.dt.normalize().astype(SESSION_DTYPE)


def _significant_digits(numbers: pd.Series) -> pd.Series:
    """Return numbers with the digits that mean something, so that a later split changes none."""
    digits = SIGNIFICANT_DIGITS_OF_FILES
    return pd.Series(
        [float(f"{value:.{digits}g}") for value in numbers], index=numbers.index, dtype="float64"
    )
