"""The treatment of a source's rows: columns named, numbers read, dates made sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, OHLCV, SESSION_DTYPE

ACTION_KINDS = ("split", "dividend")


def price_rows(raw: pd.DataFrame, ticker: str, where: str, calendar: Calendar) -> pd.DataFrame:
    """Return a source's bars with the columns of PRICES.

    Args:
        raw: `RawPrices.prices`.
        where: the ticker and its source, for messages.

    Raises:
        MalformedPrices: a column, a number or a date cannot be read.
    """
    raw = named_columns(raw, ["date", *OHLCV], where)
    numbers = {column: _numbers(raw[column], f"{where}: {column}") for column in OHLCV}
    sessions = to_sessions(raw["date"], where, calendar)
    return pd.DataFrame({"ticker": ticker, "session": sessions, **numbers})


def action_rows(raw: pd.DataFrame, ticker: str, where: str, calendar: Calendar) -> pd.DataFrame:
    """Return a source's corporate actions as ACTIONS, one of a kind for a day.

    Args:
        raw: `RawPrices.actions`.
        where: the ticker and its source, for messages.

    Raises:
        MalformedPrices: a column, a number or a date cannot be read, or an action cannot be.
    """
    if raw.empty:
        return ACTIONS.empty()
    raw = named_columns(raw, ["date", "kind", "value"], where)
    values = _numbers(raw["value"], f"{where}: a corporate action")
    wrong = ~(values > 0) | ~raw["kind"].isin(ACTION_KINDS)
    if wrong.any():
        row = raw.loc[wrong].iloc[0]
        raise MalformedPrices(
            f"{where}: {row['kind']} of {row['value']} on {str(row['date'])[:10]}; a positive "
            "split or dividend is expected. Correct it, or leave it out."
        )
    frame = pd.DataFrame(
        {
            "ticker": ticker,
            "session": to_sessions(raw["date"], where, calendar),
            "kind": raw["kind"].astype("str"),
            "value": values,
        }
    )
    return _one_per_day(frame)


def _one_per_day(actions: pd.DataFrame) -> pd.DataFrame:
    """Return one action of a kind for a day: the sum of dividends, the product of splits."""
    key = list(ACTIONS.key)
    if not actions.duplicated(key).any():
        return actions
    groups = actions.groupby(key, sort=True)["value"]
    combined = pd.DataFrame({"split": groups.prod(), "dividend": groups.sum()}).reset_index()
    is_split = combined["kind"] == "split"
    combined["value"] = np.where(is_split, combined["split"], combined["dividend"])
    return combined


def named_columns(raw: pd.DataFrame, expected: list[str], where: str) -> pd.DataFrame:
    """Return the expected columns, by their names in any case."""
    named = raw.rename(columns=lambda column: str(column).strip().lower())
    missing = [column for column in expected if column not in named.columns]
    if missing:
        raise MalformedPrices(
            f"{where}: {', '.join(missing)} missing; expected {', '.join(expected)}, found "
            f"{', '.join(map(str, raw.columns))}."
        )
    return named[expected].reset_index(drop=True)


def _numbers(cells: pd.Series, where: str) -> pd.Series:
    """Return cells as float64, NaN where the source had nothing.

    Raises:
        MalformedPrices: text or an infinity among them.
    """
    if cells.dtype == "float64" and not np.isinf(cells.to_numpy()).any():
        return cells
    numbers = to_numbers(cells)
    wrong = (numbers.isna() & cells.notna()) | np.isinf(numbers)
    if wrong.any():
        raise MalformedPrices(
            f"{where} holds {cells[wrong].iloc[0]!r}, where a number or nothing is expected."
        )
    return numbers


def to_numbers(cells: pd.Series) -> pd.Series:
    """Return cells as float64, NaN where one is no number; true and false are none."""
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    if cells.dtype in (bool, object):
        return numbers.mask(cells.map(lambda cell: isinstance(cell, bool)))
    return numbers


def to_sessions(dates: pd.Series, where: str, calendar: Calendar) -> pd.Series:
    """Return dates as sessions: moments with a zone as the calendar's day, others as they are.

    Midnight in any zone is a way to write a date, not a moment: it stays on its day.
    """
    try:
        moments = pd.to_datetime(dates)
    except (ValueError, TypeError) as error:
        raise MalformedPrices(f"{where}: a date that cannot be read ({error}).") from None
    if moments.isna().any():
        raise MalformedPrices(f"{where}: row {int(moments.isna().argmax()) + 1} has no date.")
    if moments.dt.tz is not None:
        written = moments.dt.tz_localize(None)
        at_exchange = moments.dt.tz_convert(calendar.timezone).dt.tz_localize(None)
        moments = written.where(written == written.dt.normalize(), at_exchange)
    return moments.dt.normalize().astype(SESSION_DTYPE)
