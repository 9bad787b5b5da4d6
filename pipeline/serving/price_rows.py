"""Price rows from outside, made the cells that a served forecast needs, or refused in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array, Bools, Floats
from pipeline.errors import LookAtTheData
from pipeline.serving.served_forecast import ServedForecast
from pipeline.tables import OHLCV, PRICE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

#: The columns that rows have.
ASKED_COLUMNS = ("session", *OHLCV)


def cells_of(served: ServedForecast, rows: pd.DataFrame) -> Floats:
    """Return the cells of the sessions that a forecast needs, (n, 5); older rows are left out.

    Args:
        rows: columns `ASKED_COLUMNS`, in order, adjusted for the splits up to the last session.

    Returns:
        NaN where the pipeline had no use for a cell.

    Raises:
        LookAtTheData: the rows are not those of the sessions that are needed.
    """
    days = _days(served, rows)
    _require_span(served, days)
    first = np.searchsorted(days, served.sessions[0])
    values = _values(served, days[first:], rows.iloc[first:])
    _require_possible(served, values, np.isin(served.sessions, days))
    values[served.unusable] = np.nan
    return values


def _days(served: ServedForecast, rows: pd.DataFrame) -> Array:
    """Return the sessions of rows, datetime64[D] (n,), which have to be in order."""
    import pandas as pd

    ticker = served.spec.ticker
    if missing := [name for name in ASKED_COLUMNS if name not in rows.columns]:
        raise LookAtTheData(
            f"{ticker}: the rows have no column {', '.join(missing)}. Give them "
            f"{', '.join(ASKED_COLUMNS)}."
        )
    try:
        days = pd.to_datetime(rows["session"]).to_numpy().astype("datetime64[D]")
    except (ValueError, TypeError) as error:
        raise LookAtTheData(
            f"{ticker}: a session cannot be read ({error}). Give dates such as 2026-01-30."
        ) from None
    if np.isnat(days).any():
        raise LookAtTheData(f"{ticker}: row {int(np.isnat(days).argmax())} has no session.")
    late = np.flatnonzero(days[1:] <= days[:-1])
    if len(late):
        before, after = days[late[0] : late[0] + 2]
        raise LookAtTheData(
            f"{ticker}: the row of {after} comes after that of {before}. Give one row a session, "
            "the oldest first."
        )
    return days


def _require_span(served: ServedForecast, days: Array) -> None:
    """Require rows from the first session that is needed up to the one that was published."""
    first, last = served.sessions[[0, -1]]
    who = served.spec.ticker
    if not len(days) or days[0] > first:
        given = f"{len(days)} rows from {days[0]} on" if len(days) else "no rows"
        raise LookAtTheData(
            f"{who}: {given} are given, and the forecast of {last} needs the "
            f"{len(served.sessions)} sessions from {first} to {last}. Give older rows, too."
        )
    if days[-1] < last:
        raise LookAtTheData(
            f"{who}: the rows end at {days[-1]}, and this model is as of {last}, the last session "
            f"that was published. Give the rows up to {last}."
        )
    if days[-1] > last:
        raise LookAtTheData(
            f"{who}: the rows reach {days[-1]}, and this model is as of {last}: "
            f"{_lacking(served)}. Give rows up to {last}, or publish the later session "
            f"(`stockcast run --universe {served.universe}`) and load the model again."
        )


def _lacking(served: ServedForecast) -> str:
    """Return what the rows of one stock do not say of sessions after the one published."""
    known = "how its intervals are calibrated there, and the dividends known by then"
    by_har = served.forecast.baseline == "har" or served.anchors
    pooled = f"the prices of all other stocks of {served.universe}, which har looks at"
    return f"of later sessions, rows of one stock do not give {pooled if by_har else known}"


def _values(served: ServedForecast, days: Array, rows: pd.DataFrame) -> Floats:
    """Return the cells of all needed sessions, (n, 5); NaN where a session has no row."""
    ticker = served.spec.ticker
    strange = days[~np.isin(days, served.sessions)]
    if len(strange):
        raise LookAtTheData(
            f"{ticker}: the rows have {strange[0]}, which is no session of its exchange. "
            "Leave that row out."
        )
    values = np.full((len(served.sessions), len(OHLCV)), np.nan)
    try:
        cells = rows[OHLCV].to_numpy("float64")
    except (ValueError, TypeError) as error:
        raise LookAtTheData(f"{ticker}: a cell is no number ({error}). Give numbers.") from None
    values[np.searchsorted(served.sessions, days)] = cells
    return values


def _require_possible(served: ServedForecast, values: Floats, has_row: Bools) -> None:
    """Require each cell that the pipeline has used to be there, and possible."""
    prices = np.array([name in PRICE_COLUMNS for name in OHLCV])
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(values) | np.where(prices, values <= 0, values < 0)
        crossed = values[:, OHLCV.index("high")] < values[:, OHLCV.index("low")]
    wrong[:, OHLCV.index("high")] |= crossed
    wrong &= ~served.unusable
    if not wrong.any():
        return
    row, column = np.argwhere(wrong)[0]
    who = f"{served.spec.ticker} {served.sessions[row]}"
    if not has_row[row]:
        raise LookAtTheData(
            f"{who}: there is no row of this session, which the pipeline has. Give one."
        )
    cell = f"{OHLCV[column]} is {values[row, column]:g}"
    raise LookAtTheData(
        f"{who}: {cell}. Prices are above 0, no high is below its low, and no cell is missing "
        "that the pipeline has: correct the row."
    )
