"""The tables that the expectations judge: prices and forecasts with the columns derived for them.

Derived are, for example, the distance to the calendar and the size of a jump.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.prices import adjust, adjustment, masking, price_basis
from pipeline.tables import PRICE_COLUMNS, PRICES
from pipeline.windows import LARGE_DIVIDEND, LEAST_SHOWN

#: Share of the tickers without a bar from which a hole is the calendar's or the source's, and how
#: many tickers that takes: of two stocks, both may be halted.
SHARED_HOLE = 0.9
FEWEST_TICKERS_OF_HOLE = 3
#: Share of the price above which a dividend cannot be: the limit of the rule `dividend_too_large`.
MOST_PAID = 0.99


def price_table(
    prices: pd.DataFrame,
    actions: pd.DataFrame,
    tickers: Sequence[str],
    sessions: Sequence[dt.date],
    cutoff: dt.date,
    needed_sessions: int,
    others: pd.DataFrame | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table that prices.json judges, and the unusable cells (see `masking.unusable`).

    Args:
        prices: PRICES as traded, of these tickers, up to the cutoff; see `Gate.check_prices` for
            the others.

    Returns:
        The table has one row per bar and one per session without.
    """
    bars, table = _with_absent_sessions(prices, tickers, sessions, cutoff)
    single = bars.drop_duplicates(["ticker", "session"], keep="last")
    history = adjust(single, actions[actions["kind"] == "split"], cutoff)
    unusable = masking.unusable(history)
    trusted, dividends = masking.mask(history), _dividend_shares(history, actions)
    for derived in (
        _condemned_columns(unusable, "copied_bar", "copied_cells"),
        _condemned_columns(unusable, "wrong_print", "wrong_cells"),
        _condemned_columns(_misprinted(unusable, "high"), "wrong_range", "wrong_high"),
        _condemned_columns(_misprinted(unusable, "low"), "wrong_range", "wrong_low"),
        dividends,
        _jumps(trusted, dividends, actions[actions["kind"] == "split"]),
        _same_prices(single, others),
    ):
        table = table.merge(derived, on=["ticker", "session"], how="left", validate="many_to_one")
    table["close_before"] *= _split_factors(table, history)
    table = _with_history_length(table, needed_sessions).assign(
        repeats=_repeats(table), copied_beside=_copied_beside(table)
    )
    return table.assign(row=table.index), unusable


def _with_absent_sessions(
    prices: pd.DataFrame, tickers: Sequence[str], sessions: Sequence[dt.date], cutoff: dt.date
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the bars, and all rows of the table, with what the calendar says of them.

    The columns are `has_bar`, `has_range`, `in_order`, `is_session`, `is_shared_hole` and
    `is_shared_extra`.
    """
    calendar = pd.DatetimeIndex(pd.to_datetime([*sessions, cutoff])).as_unit("s").unique()
    bars = prices[list(PRICES.columns)].assign(has_bar=True, in_order=_in_order(prices))
    bars["has_range"] = ~bars["ticker"].map(_closes_alone(bars)).astype(bool)
    bars["is_session"] = bars["session"].isin(calendar) | (bars["session"] < calendar[0])
    absent = _absent_sessions(bars, tickers, calendar)
    absent = absent.assign(has_bar=False, has_range=False, in_order=True, is_session=True)
    table = pd.concat([bars, absent]).sort_values(["ticker", "session"], kind="stable")
    table = table.reset_index(drop=True)
    shared = {"is_shared_hole": _is_shared_hole(table), "is_shared_extra": _is_shared_extra(table)}
    return bars, table.assign(**shared)


def _closes_alone(bars: pd.DataFrame) -> pd.Series:
    """Return by ticker whether it never had an open, high or low: nothing is missing then."""
    has_one = bars[PRICE_COLUMNS[:3]].notna().any(axis=1)
    return ~has_one.groupby(bars["ticker"]).any()


def _is_shared_hole(table: pd.DataFrame) -> pd.Series:
    """Return True where a session without a bar is one that (nearly) no ticker has a bar of.

    It is then a fact about the calendar or the source, as soon as a later session has bars. Tickers
    count from their first bar on.
    """
    with_bar = table.loc[table["has_bar"], "session"]
    lacking = (~table["has_bar"]).groupby(table["session"]).agg(["mean", "sum"])
    shared = (lacking["mean"] >= SHARED_HOLE) & (lacking["sum"] >= FEWEST_TICKERS_OF_HOLE)
    sessions = lacking.index[shared & (lacking.index < with_bar.max())]
    return ~table["has_bar"] & table["session"].isin(sessions)


def _is_shared_extra(table: pd.DataFrame) -> pd.Series:
    """Return True where a bar on a day without a session is one that (nearly) all tickers have.

    It is then a fact about the calendar: a session that it does not know. Tickers count from their
    first bar on.
    """
    extra = table.loc[~table["is_session"], "session"].value_counts()
    firsts = table.loc[table["has_bar"]].groupby("ticker")["session"].min()
    listed = np.array([(firsts <= day).sum() for day in extra.index])
    counts = extra.to_numpy()
    shared = (counts >= SHARED_HOLE * listed) & (counts >= FEWEST_TICKERS_OF_HOLE)
    return ~table["is_session"] & table["session"].isin(extra.index[shared])


def _in_order(prices: pd.DataFrame) -> pd.Series:
    """Return False where a row's session is before the ticker's row above it."""
    return ~(prices.groupby("ticker")["session"].diff() < pd.Timedelta(0))


def _absent_sessions(
    bars: pd.DataFrame, tickers: Sequence[str], calendar: pd.DatetimeIndex
) -> pd.DataFrame:
    """Return the calendar's sessions without a bar, from each ticker's first bar on.

    Of a ticker without any bar, it is the last session.
    """
    by_ticker = {
        str(ticker): pd.DatetimeIndex(sessions)
        for ticker, sessions in bars.groupby("ticker")["session"]
    }
    absent = [PRICES.empty()[["ticker", "session"]]]
    for ticker in tickers:
        missing = calendar[-1:]
        if ticker in by_ticker:
            sessions = by_ticker[ticker]
            missing = calendar[calendar >= sessions.min()].difference(sessions)
        absent.append(pd.DataFrame({"ticker": ticker, "session": missing}))
    return pd.concat(absent)


def _dividend_shares(history: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    """Return per ticker and session the dividend over the last close before it.

    Args:
        history: adjusted for splits.
    """
    paid = actions[(actions["kind"] == "dividend") & (actions["value"] != 0)]
    splits = actions[(actions["kind"] == "split") & (actions["value"] != 0)]
    closes = {str(ticker): bars for ticker, bars in history[history["close"] > 0].groupby("ticker")}
    shares = [
        adjustment.dividend_shares(
            closes[str(ticker)], rows, splits[splits["ticker"] == ticker].sort_values("session")
        )
        for ticker, rows in paid.groupby("ticker")
        if ticker in closes
    ]
    share = pd.concat([pd.Series(dtype="float64"), *shares])
    return paid[["ticker", "session"]].assign(dividend_share=share)


def _condemned_columns(unusable: pd.DataFrame, rule: str, name: str) -> pd.DataFrame:
    """Return per ticker and session the columns that a rule of masking condemns."""
    cells = unusable[unusable["rule"] == rule]
    columns = cells.groupby(["ticker", "session"])["column"].agg(", ".join)
    return columns.rename(name).reset_index()


def _misprinted(unusable: pd.DataFrame, column: str) -> pd.DataFrame:
    return unusable[unusable["column"] == column]


def _copied_beside(table: pd.DataFrame) -> pd.Series:
    """Return per row, in words, how many other tickers' bars are copies on the same session."""
    others = table["copied_cells"].notna().groupby(table["session"]).sum() - 1
    words = {
        session: f", as {count} other{'s do' if count > 1 else ' does'} that day"
        for session, count in others[others > 0].items()
    }
    return table["session"].map(words).astype("str").fillna("")


def _jumps(trusted: pd.DataFrame, dividends: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Return per ticker and session how the close gets there from the last trusted one.

    Columns are `close_before`, `basis`, `jump` and `unshown_dividend`. A basis says in words that
    prices change theirs (see `price_basis`); there is no jump then. A jump of 0.5 is half as much
    again, or 1/1.5. A dividend that explains a change is added; one that the price does not show
    makes none, and is unshown.

    Args:
        trusted: a masked history, adjusted for splits.
        dividends: see `_dividend_shares`.
        splits: ACTIONS.
    """
    before = trusted.groupby("ticker")["close"].transform(lambda close: close.shift().ffill())
    ratio = trusted["close"] / before
    jumps = trusted[["ticker", "session"]].assign(close_before=before, ratio=ratio)
    jumps = jumps.merge(dividends, on=["ticker", "session"], how="left")
    paid = jumps["dividend_share"].where(jumps["dividend_share"] <= MOST_PAID)
    jump = np.minimum(_size(jumps["ratio"]), _size(jumps["ratio"] + paid.fillna(0)))
    changes = price_basis.basis_changes(trusted, paid, splits).drop(columns="ratio")
    jumps = jumps.assign(jump=jump).merge(changes, on=["ticker", "session"], how="left")
    jumps["jump"] = jumps["jump"].where(jumps["basis"].isna())
    is_shown = 1 - jumps["ratio"] >= LEAST_SHOWN * paid
    jumps["unshown_dividend"] = paid.where((paid >= LARGE_DIVIDEND) & ~is_shown)
    return jumps[["ticker", "session", "close_before", "basis", "jump", "unshown_dividend"]]


def _size(ratio: pd.Series) -> pd.Series:
    return ratio.where(ratio > 1, 1 / ratio) - 1


def _split_factors(table: pd.DataFrame, history: pd.DataFrame) -> pd.Series:
    """Return per row the traded close over the adjusted one.

    It makes the close before a jump readable as traded on the later day.
    """
    closes = history[["ticker", "session", "close"]]
    both = table.merge(closes, on=["ticker", "session"], how="left", suffixes=("", "_adjusted"))
    return both["close"] / both["close_adjusted"]


def _same_prices(single: pd.DataFrame, others: pd.DataFrame | None) -> pd.DataFrame:
    """Return per ticker and session the other tickers with the same open, high, low and close."""
    bars = single
    if others is not None:
        strangers = others[~others["ticker"].isin(single["ticker"].unique())]
        bars = pd.concat([single, strangers])
    bars = bars[bars[PRICE_COLUMNS].notna().all(axis=1)]
    alike = bars[bars.duplicated(["session", *PRICE_COLUMNS], keep=False)]
    groups = alike.groupby(["session", *PRICE_COLUMNS])["ticker"]
    names = groups.transform(lambda tickers: ", ".join(sorted(tickers)))
    same = [
        ", ".join(other for other in group.split(", ") if other != ticker)
        for group, ticker in zip(names, alike["ticker"], strict=True)
    ]
    same_as = pd.Series(same, index=alike.index, dtype="str")
    return alike[["ticker", "session"]].assign(same_as=same_as)


def _repeats(table: pd.DataFrame) -> pd.Series:
    """Return per row how many sessions in a row have had their predecessor's prices.

    These are open, high, low and close; the row's own session is included.
    """
    before = table.groupby("ticker")[PRICE_COLUMNS].shift()
    same = (table[PRICE_COLUMNS] == before).all(axis=1)
    runs = (~same).cumsum()
    return same.astype("float64").groupby(runs).cumsum()


def _with_history_length(table: pd.DataFrame, needed_sessions: int) -> pd.DataFrame:
    """Return the table with `sessions_held` and `sessions_lacking`.

    They are on each ticker's last row only, because they are about the ticker.
    """
    countable = table["session"].where(table["has_bar"] & table["is_session"])
    held = countable.groupby(table["ticker"]).transform("nunique").astype("float64")
    last = ~table.duplicated("ticker", keep="last")
    return table.assign(
        sessions_held=held.where(last),
        sessions_lacking=(needed_sessions - held).clip(lower=0).where(last),
    )


def forecast_table(forecasts: pd.DataFrame, forecast_sessions: Sequence[dt.date]) -> pd.DataFrame:
    """Return the table that forecasts.json judges.

    Args:
        forecasts: FORECASTS.
        forecast_sessions: the calendar's, horizon 1 first.
    """
    expected = pd.Series(
        {
            horizon: pd.Timestamp(session)
            for horizon, session in enumerate(forecast_sessions, start=1)
        }
    )
    table = forecasts.reset_index(drop=True)
    distinct = table.groupby("ticker")["horizon"].transform("nunique")
    return table.assign(
        row=table.index,
        is_forecast_session=table["session"] == table["horizon"].map(expected),
        horizons_lacking=len(expected) - distinct,
        relative=table["y_hat"] / table["last_value"],
    )
