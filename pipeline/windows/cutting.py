"""Cutting: from a price history to windows, one cutter for training, tests and the live forecast.

Whichever the recipe, windows are cut when a dataset is loaded, so its parts cannot drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.tables import OHLCV, PRICE_COLUMNS, column
from pipeline.windows.anchors import anchors_of
from pipeline.windows.dataset import Cut, Windows
from pipeline.windows.dividends import Steps, seen_from_last, steps_of, with_dividends
from pipeline.windows.normalisation import exponentially_smoothed, views
from pipeline.windows.spec import Spec
from pipeline.windows.volatility import exponentially_weighted

if TYPE_CHECKING:
    import pandas as pd

#: Columns whose missing cells take the value of the session before; a missing open, high or low
#: takes the close of its own session.
CARRIED = ("close", "adj_close", "volume")


def cut_windows(
    history: pd.DataFrame, spec: Spec, fitted_through: np.datetime64 | None = None
) -> Windows:
    """Cut all windows of a history, the last one at its last session.

    Args:
        history: HISTORY of one ticker, one row per session of its calendar; NaN where a cell is
            missing or masked.
        fitted_through: the last session that the normalisation is fitted on; None: the last that
            training sees.

    Returns:
        Windows whose `ahead` is NaN where a target is missing or has not happened.

    Raises:
        NotEnoughHistory: the history is shorter than one window.
    """
    context, lead = spec.window.context_length, spec.normalisation.lead
    if len(history) < context:
        ticker, last = history["ticker"].iloc[-1], history["session"].iloc[-1].date()
        raise NotEnoughHistory(
            f"{ticker}: {len(history)} sessions up to {last}, {context} needed. "
            "Fetch from an earlier date."
        )
    sessions = session_days(history)
    steps = steps_of(history, spec)
    values, target, known = _series(history, spec, steps[spec.target])
    volatility = exponentially_weighted(target, steps[spec.target])
    through = last_fitted_session(history, spec) if fitted_through is None else fitted_through
    fitted = int(np.searchsorted(sessions, through, side="right"))
    normalisation = spec.normalisation
    if normalisation.of_shocks:
        normalisation = normalisation.about(anchors_of(history, spec, volatility))
    normalise = normalisation.fit(values, target, volatility, max(fitted, 1), spec.window.block)
    last = np.arange(context - 1, len(history))
    ahead = _ahead(known, last, spec.reach, np.nan)
    return Windows(
        values=_seen(values, [steps[name] for name in spec.columns], lead, context),
        target_values=_seen(target[:, None], [steps[spec.target]], lead, context)[:, :, 0],
        ahead=ahead,
        ahead_with_dividends=_with_dividends(ahead, steps[spec.target], last),
        volatility=volatility[last],
        position=last,
        origins=sessions[last],
        sessions=_ahead(sessions, last, spec.horizon, np.datetime64("NaT")),
        cut=Cut(
            normalise,
            spec.outputs,
            spec.window.block,
            lead,
            spec.columns.index(spec.target) if spec.target in spec.columns else None,
            spec.normalisation.of_shocks,
        ),
    )


def _series(
    history: pd.DataFrame, spec: Spec, steps: Steps
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the series that windows are cut from, in prices and shares.

    Args:
        steps: of the target.

    Returns:
        The columns (sessions, columns) and the target (sessions,), both with gaps filled and the
        target smoothed; the target (sessions,) with NaN where it is missing.
    """
    filled = fill_gaps(history)
    known = column(history, spec.target).to_numpy("float64")
    target = column(filled, spec.target).to_numpy("float64")
    values = np.column_stack([column(filled, name).to_numpy("float64") for name in spec.columns])
    if spec.smoothing:
        target = exponentially_smoothed(target, spec.smoothing, steps)
        known = np.where(np.isfinite(known), target, np.nan)
        columns = enumerate(spec.columns)
        values = np.column_stack(
            [target if name == spec.target else values[:, at] for at, name in columns]
        )
    return values, target, known


def _seen(values: np.ndarray, steps: list[Steps], lead: int, context: int) -> np.ndarray:
    """Return all stretches of columns, each in the prices of its last session.

    Args:
        values: (sessions, columns).
        steps: of each column.

    Returns:
        (n, lead + context, columns).
    """
    length = lead + context
    seen = views(np.concatenate([values[:1].repeat(lead, axis=0), values]), length)
    for at, left in enumerate(steps):
        if isinstance(left, np.ndarray):
            seen = seen if seen.flags.owndata else seen.copy()
            led = np.concatenate([np.ones(lead), left])
            seen[:, :, at] = seen_from_last(seen[:, :, at], views(led[:, None], length)[:, :, 0])
    return seen


def _with_dividends(ahead: np.ndarray, steps: Steps, last: np.ndarray) -> np.ndarray:
    """Return prices ahead (n, reach) with the dividends since each window's last session."""
    if not isinstance(steps, np.ndarray):
        return ahead
    return with_dividends(ahead, _ahead(steps, last, ahead.shape[1], 1.0))


def _ahead(values: np.ndarray, last: np.ndarray, count: int, missing: Any) -> np.ndarray:
    """Return values[last + 1 .. last + count], (n, count); `missing` beyond the end."""
    padded = np.concatenate([values, np.full(count, missing, dtype=values.dtype)])
    return views(padded[:, None], count)[last + 1, :, 0]


def fill_gaps(history: pd.DataFrame) -> pd.DataFrame:
    """Return the history as a network sees it, with missing cells filled; see `CARRIED`.

    Only inputs are ever filled, never a target or a naive forecast; `Dataset.masked_cells` counts
    them.
    """
    if not any(np.isnan(history[name].to_numpy()).any() for name in (*OHLCV, "adj_close")):
        return history
    table = history.copy()
    for name in CARRIED:
        table[name] = table[name].ffill().bfill()
    for name in PRICE_COLUMNS[:3]:
        table[name] = table[name].fillna(table["close"])
    return table


def session_days(history: pd.DataFrame) -> np.ndarray:
    """Return the sessions of a history, datetime64[D] (sessions,)."""
    return history["session"].to_numpy().astype("datetime64[D]")


# Which windows can be used


def complete_windows(windows: Windows, history: pd.DataFrame, spec: Spec) -> np.ndarray:
    """Return True where a window has a last value, every target and finite inputs, bool (n,).

    The inputs must also be finite when a window is rolled forward to the horizon.
    """
    complete: np.ndarray = known_sessions(history, spec)[windows.position]
    actual_is_known = np.isfinite(windows.actual).all(axis=1)
    complete = complete & actual_is_known & rollable_windows(windows, spec)
    return complete


def rollable_windows(windows: Windows, spec: Spec) -> np.ndarray:
    """Return True where a window is finite, also rolled forward to the horizon, bool (n,)."""
    finite = windows.finite
    for ahead in range(spec.outputs, spec.horizon, spec.outputs):
        finite &= windows.rolled(np.repeat(windows.last[:, None], ahead, axis=1)).finite
    return finite


def known_sessions(history: pd.DataFrame, spec: Spec) -> np.ndarray:
    """Return True where a session can be forecast from, bool (sessions,).

    There the target and the normalisation's anchors are known, not filled.
    """
    anchors = (spec.target, *spec.normalisation.anchors)
    cells = [column(history, name).notna().to_numpy() for name in anchors]
    known: np.ndarray = np.logical_and.reduce(cells)
    return known


def require_forecastable(history: pd.DataFrame, spec: Spec) -> None:
    """Raise `LookAtTheData` where there is nothing to forecast from at the last session."""
    if not known_sessions(history.tail(1), spec)[0]:
        anchors = dict.fromkeys((spec.target, *spec.normalisation.anchors))
        raise LookAtTheData(
            f"{spec.ticker} {spec.cutoff}: its {' or '.join(anchors)} is missing or masked, "
            "so there is nothing to forecast from."
        )


def surely_trainable(history: pd.DataFrame, spec: Spec) -> bool:
    """Return True where `Dataset.trainable` is certain without cutting a window.

    What is missing is then too little to take all windows of a part: a session without its target
    or an anchor takes the window that ends there and those that forecast it. Other missing cells
    are filled and take none, unless there is no volume to normalise by.
    """
    filled = fill_gaps(history)[list(OHLCV)].to_numpy()
    has_volume = (filled[:, OHLCV.index("volume")] > 0).all()
    if not (spec.trainable and np.isfinite(filled).all() and has_volume):
        return False
    taken = (~known_sessions(history, spec)).sum() * (1 + spec.reach)
    return bool(min(map(len, part_rows(history, spec).values())) > taken)


# Which windows belong to which part


def part_starts(sessions: np.ndarray, spec: Spec) -> tuple[int, int, int, int]:
    """Return `Split.starts` of the windows whose sessions ahead are in the history."""
    context = spec.window.context_length
    firsts = sessions[context:][: _window_count(sessions, spec)]
    return spec.split.starts(firsts, spec.reach, context)


def part_rows(history: pd.DataFrame, spec: Spec) -> dict[str, np.ndarray]:
    """Return the window numbers of train, validation and test.

    No target session is shared by two parts.
    """
    sessions = session_days(history)
    train_end, validation, validation_end, test = part_starts(sessions, spec)
    numbers = np.arange(_window_count(sessions, spec))
    train = numbers[:train_end] if spec.trainable else numbers[:0]
    # Windows that do not overlap are counted from the first session on (L. Weng).
    return {
        "train": train[:: spec.window.stride],
        "validation": numbers[validation:validation_end],
        "test": numbers[test:],
    }


def _window_count(sessions: np.ndarray, spec: Spec) -> int:
    return max(len(sessions) - spec.window.context_length - spec.horizon + 1, 0)


def last_fitted_session(history: pd.DataFrame, spec: Spec) -> np.datetime64:
    """Return the last session that a normalisation is fitted on.

    It is the last that training sees; of a normalisation that peeks, the last of all.
    """
    sessions = session_days(history)
    if not spec.trainable or spec.normalisation.peeks:
        last: np.datetime64 = sessions[-1]
        return last
    fitted: np.datetime64 = sessions[last_learnt_row(sessions, spec)]
    return fitted


def last_learnt_row(sessions: np.ndarray, spec: Spec) -> int:
    """Return the row of the last of a history's sessions that training sees."""
    train_end = part_starts(sessions, spec)[0]
    row = max(spec.window.context_length + train_end + spec.reach - 2, 0)
    return int(min(row, len(sessions) - 1))
