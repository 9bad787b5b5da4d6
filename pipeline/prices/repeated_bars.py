"""Repeated bars: identical ones of a session are one bar, others contradict each other."""

from __future__ import annotations

import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.tables import OHLCV


def without_repeated(
    prices: pd.DataFrame, raw: pd.DataFrame, where: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return bars of which each session has one, and in words which ones are left out.

    Args:
        prices: with columns session and OHLCV.
        raw: `RawPrices.prices`, whose positions are the index of the bars.
        where: the ticker and its source, for messages.

    Raises:
        MalformedPrices: bars of one session differ.
    """
    repeated = prices[prices.duplicated("session", keep=False)]
    if repeated.empty:
        return prices, ()
    columns = [*OHLCV]
    if "adj_close" in raw:
        repeated = repeated.assign(adj_close=raw["adj_close"].to_numpy()[repeated.index])
        columns.append("adj_close")
    distinct = repeated.drop_duplicates(["session", *columns])
    differing = distinct[distinct.duplicated("session", keep=False)]
    if len(differing):
        _refuse_several_a_day(differing, prices, where)
        session = differing["session"].min()
        raise _contradiction(differing[differing["session"] == session], columns, raw, where)
    extra = prices.duplicated("session")
    sessions = sorted(prices.loc[extra, "session"].unique())
    count = int(extra.sum())
    days = f"{sessions[0].date()}"
    days += f" to {sessions[-1].date()}" if len(sessions) > 1 else ""
    words = "1 row that repeats the bar" if count == 1 else f"{count} rows that repeat bars"
    return prices[~extra], (f"{words} of {days}",)


def _refuse_several_a_day(differing: pd.DataFrame, prices: pd.DataFrame, where: str) -> None:
    """Refuse bars of hours or minutes."""
    counts = differing["session"].value_counts()
    if counts.max() > 2 and 2 * len(counts) > prices["session"].nunique():
        session = differing["session"].min()
        raise MalformedPrices(
            f"{where}: {counts[session]} bars for {session.date()}, and several for most days; one "
            "a day is expected. Make daily bars of them."
        )


def _contradiction(
    bars: pd.DataFrame, columns: list[str], raw: pd.DataFrame, where: str
) -> MalformedPrices:
    """Return the error for bars of one session that differ, with the first two values."""
    one, other = bars.iloc[0], bars.iloc[1]
    names = [
        name
        for name in columns
        if one[name] != other[name] and not (pd.isna(one[name]) and pd.isna(other[name]))
    ]
    values = [
        f"{'nothing' if pd.isna(bar[names[0]]) else f'{bar[names[0]]:.10g}'}{_place(raw, bar.name)}"
        for bar in (one, other)
    ]
    others = f", and {', '.join(names[1:])} differ as well" if len(names) > 1 else ""
    return MalformedPrices(
        f"{where}: {len(bars)} bars for {one['session'].date()} that differ: {names[0]} is "
        f"{values[0]} and {values[1]}{others}; one bar is expected. Remove the wrong one."
    )


def _place(raw: pd.DataFrame, position: object) -> str:
    """Return where a row stands, in brackets; "": its source does not say."""
    words = [
        f"{word}{raw[name].iloc[int(str(position))]}"
        for name, word in (("file", ""), ("line", "line "))
        if name in raw
    ]
    return f" ({', '.join(words)})" if words else ""
