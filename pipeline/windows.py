"""Price history -> (past, future) arrays: one cutter for training, evaluation and the live forecast.

A dataset is one small file: the history as adjusted and masked at a cutoff, with a `Spec` that says how to cut it. Windows are cut
when it is loaded, so the parts cannot drift apart. Every window carries its own base and scale, and nothing else is needed
to turn a prediction back into dollars.

    past[i, k, f]   feature f of the k-th session of window i, relative to the window's last close
    future[i, h]    (target h+1 sessions after the window's last - target at its last) / its last close
    price           base[i] + scale[i] * future[i, h]

Predicting zeros is therefore exactly the naive forecast.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.tables import HISTORY, OHLCV, PRICE_COLUMNS, SESSION_DTYPE

FEATURES = tuple(OHLCV)
COLUMNS = (*OHLCV, "adj_close")
#: A session without trading has log volume relative to the window's mean of at least this.
LOWEST_VOLUME_RATIO = 1e-3
#: Sessions that the recent volatility is measured over: about a month of trading.
VOLATILITY_SESSIONS = 20
#: Prices that stood still for a month will not do so for ever: no interval is narrower than this volatility makes it.
LOWEST_VOLATILITY = 1e-4


@dataclass(frozen=True)
class Spec:
    """How a history is cut. Split sizes count windows from the newest; a gap of `horizon` windows lies between the parts."""

    ticker: str
    cutoff: dt.date
    target: str
    horizon: int
    context_length: int
    validation_sessions: int
    test_sessions: int
    min_train_sessions: int

    @property
    def needed_sessions(self) -> int:
        """Sessions of history without which there is no training."""
        held_out = self.validation_sessions + self.test_sessions + 2 * self.horizon
        return self.context_length + self.min_train_sessions + held_out + self.horizon - 1

    @property
    def trainable(self) -> bool:
        return self.min_train_sessions > 0

    def without_training(self, sessions: int) -> Spec:
        """The spec for a history of only `sessions`: half validation, half test, so that the naive forecast has an error and intervals."""
        context = max(1, min(self.context_length, sessions // 3))
        held_out = max(sessions - context + 1 - 2 * self.horizon, 0) // 2
        return dataclasses.replace(
            self, context_length=context, validation_sessions=held_out, test_sessions=held_out, min_train_sessions=0
        )


@dataclass(frozen=True)
class Windows:
    """n windows, aligned by their first axis.

    Attributes:
        past: float32 (n, context_length, 5): open, high, low, close relative to the window's last close, minus 1; log of volume over the
            window's mean volume.
        future: float32 (n, horizon); NaN-free. (n, 0) for the live window.
        base: float64 (n,): the target at the window's last session, in dollars.
        scale: float64 (n,): the close at the window's last session, in dollars.
        target_past: float64 (n, context_length): the target over the window, in dollars.
        origins: datetime64[D] (n,): the window's last session.
        sessions: datetime64[D] (n, horizon): the sessions forecast.
    """

    past: np.ndarray
    future: np.ndarray
    base: np.ndarray
    scale: np.ndarray
    target_past: np.ndarray
    origins: np.ndarray
    sessions: np.ndarray

    def __len__(self) -> int:
        return len(self.base)

    @property
    def unit(self) -> np.ndarray:
        """Dollars (n,) in which the width of an interval is measured: the target's recent volatility times its last value."""
        changes = np.diff(np.log(self.target_past[:, -(VOLATILITY_SESSIONS + 1) :]), axis=1)
        volatility = changes.std(axis=1) if changes.shape[1] else np.ones(len(self))
        return self.base * np.maximum(volatility, LOWEST_VOLATILITY)

    @property
    def actual(self) -> np.ndarray:
        """Dollars (n, horizon)."""
        return self.to_prices(self.future)

    def to_prices(self, prediction: np.ndarray) -> np.ndarray:
        """Relative predictions (n, horizon) as dollars (n, horizon), float64."""
        return self.base[:, None] + prediction.astype("float64") * self.scale[:, None]


@dataclass(frozen=True)
class Dataset:
    """The windows of one ticker at one cutoff; `train` is empty when the spec is `without_training`.

    `left_out` counts, per part, the windows that a missing or masked cell makes unusable; `masked_cells` counts cells of the
    history that stand in for something missing (see `_carried`).
    """

    spec: Spec
    train: Windows
    validation: Windows
    test: Windows
    left_out: dict[str, int]
    masked_cells: int

    @property
    def trainable(self) -> bool:
        return self.spec.trainable and min(len(self.train), len(self.validation), len(self.test)) > 0


def on_calendar(history: pd.DataFrame, sessions: Sequence[dt.date]) -> pd.DataFrame:
    """`history` (one ticker) with exactly one row per session from its first: missing ones all NaN, days that are none dropped."""
    index = pd.DatetimeIndex(pd.to_datetime(list(sessions))).as_unit("s")
    index = index[index >= history["session"].iloc[0]]
    table = history.drop_duplicates("session").set_index("session").reindex(index)
    table["ticker"] = history["ticker"].iloc[0]
    return HISTORY.conform(table.rename_axis("session").reset_index())


def encode(history: pd.DataFrame, spec: Spec) -> bytes:
    """A dataset file: the same history and spec give the same bytes. `history`: one row per session, the last at the cutoff."""
    last = history["session"].iloc[-1].date()
    if last != spec.cutoff:
        raise NotEnoughHistory(
            f"{spec.ticker}: the history ends at {last}, the cutoff is {spec.cutoff}. Ingest that session first."
        )
    about = json.dumps({**dataclasses.asdict(spec), "cutoff": spec.cutoff.isoformat()}, sort_keys=True).encode()
    file = io.BytesIO()
    np.savez(  # not compressed: another zlib would make other bytes, and another name
        file,
        spec=np.frombuffer(about, dtype="uint8"),
        sessions=history["session"].to_numpy().astype("datetime64[D]").astype("int32"),
        values=history[list(COLUMNS)].to_numpy("float64"),
    )
    return file.getvalue()


def decode(data: bytes) -> tuple[Spec, pd.DataFrame]:
    """What `encode` was given."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            about = json.loads(arrays["spec"].tobytes())
            sessions, values = arrays["sessions"], arrays["values"]
    except (OSError, ValueError, KeyError) as error:
        raise LookAtTheData(f"This dataset file cannot be read ({error}). Delete it and repeat build_windows.") from None
    spec = Spec(**{**about, "cutoff": dt.date.fromisoformat(about["cutoff"])})
    frame = pd.DataFrame(values, columns=list(COLUMNS))
    frame["session"] = sessions.astype("datetime64[D]").astype(SESSION_DTYPE)
    frame["ticker"] = spec.ticker
    return spec, HISTORY.conform(frame)


def load_dataset(data: bytes) -> Dataset:
    """Cuts a dataset file into its parts."""
    spec, history = decode(data)
    windows = cut(history, spec.target, spec.horizon, spec.context_length)
    complete = _complete(windows)
    parts = _split(len(windows) - spec.horizon, spec)
    chosen = {name: rows[complete[rows]] for name, rows in parts.items()}
    return Dataset(
        spec=spec,
        left_out={name: len(rows) - len(chosen[name]) for name, rows in parts.items()},
        masked_cells=int(history[list(OHLCV)].isna().sum().sum()),
        **{name: _take(windows, rows, spec.horizon) for name, rows in chosen.items()},
    )


def load_live(data: bytes) -> Windows:
    """The one window at the end of a dataset file, whose future is yet to come: n = 1, `future` and `sessions` of width 0."""
    spec, history = decode(data)
    live = _take(cut(history.tail(spec.context_length), spec.target, spec.horizon, spec.context_length), np.array([0]), horizon=0)
    if not (np.isfinite(live.base).all() and np.isfinite(live.scale).all()):
        raise LookAtTheData(
            f"{spec.ticker} {spec.cutoff}: its {spec.target} or close is missing or masked, so there is nothing to forecast from."
        )
    return live


def cut(history: pd.DataFrame, target: str, horizon: int, context_length: int) -> Windows:
    """All windows of a history, the last one at its last session; `future` is NaN where a target is missing or yet to come.

    Args:
        history: one ticker, one row per session of its calendar; NaN where a cell is missing or masked.
    """
    if len(history) < context_length:
        ticker, last = history["ticker"].iloc[-1], history["session"].iloc[-1].date()
        raise NotEnoughHistory(
            f"{ticker}: {len(history)} sessions up to {last}, {context_length} needed. Fetch from an earlier date."
        )
    carried = _carried(history)
    sessions = history["session"].to_numpy().astype("datetime64[D]")
    values = carried[list(FEATURES)].to_numpy("float64")
    last = np.arange(context_length - 1, len(history))
    known = history[target].to_numpy("float64")
    scale = history["close"].to_numpy("float64")[last]
    base = known[last]
    future = (_ahead(known, last, horizon, np.nan) - base[:, None]) / scale[:, None]
    return Windows(
        past=_relative(sliding_window_view(values, context_length, axis=0), values[last, 3]),
        future=future.astype("float32"),
        base=base,
        scale=scale,
        target_past=sliding_window_view(carried[target].to_numpy("float64"), context_length),
        origins=sessions[last],
        sessions=_ahead(sessions, last, horizon, np.datetime64("NaT")),
    )


def _relative(views: np.ndarray, last_close: np.ndarray) -> np.ndarray:
    """(n, 5, context) dollars and shares -> (n, context, 5) features."""
    prices = views[:, :4, :] / last_close[:, None, None] - 1
    volume = views[:, 4, :]
    mean = volume.mean(axis=1, keepdims=True)
    ratio = np.divide(volume, mean, out=np.ones_like(volume), where=mean > 0)
    logs = np.log(np.maximum(ratio, LOWEST_VOLUME_RATIO))
    return np.concatenate([prices, logs[:, None, :]], axis=1).transpose(0, 2, 1).astype("float32")


def _carried(history: pd.DataFrame) -> pd.DataFrame:
    """What a network sees where a cell is missing: the previous close, and for open, high and low the close of the same bar.

    Only features are ever stood in for, never a target, a base or a scale; `Dataset.masked_cells` counts them.
    """
    table = history.copy()
    for column in ("close", "adj_close", "volume"):
        table[column] = table[column].ffill().bfill()
    for column in PRICE_COLUMNS[:3]:
        table[column] = table[column].fillna(table["close"])
    return table


def _ahead(values: np.ndarray, last: np.ndarray, horizon: int, missing: object) -> np.ndarray:
    """values[last + 1 .. last + horizon], (n, horizon); `missing` beyond the end."""
    padded = np.concatenate([values, np.full(horizon, missing, dtype=values.dtype)])
    return sliding_window_view(padded, horizon)[last + 1]


def _complete(windows: Windows) -> np.ndarray:
    """Which windows have a base, a scale and every target, (n,) bool."""
    return np.isfinite(windows.base) & np.isfinite(windows.scale) & np.isfinite(windows.future).all(axis=1)


def _split(count: int, spec: Spec) -> dict[str, np.ndarray]:
    """Window numbers of train, validation and test; no target session is shared by two parts."""
    numbers = np.arange(max(count, 0))
    test = max(count - spec.test_sessions, 0)
    validation = max(test - spec.horizon - spec.validation_sessions, 0)
    train = max(validation - spec.horizon, 0) if spec.trainable else 0
    return {"train": numbers[:train], "validation": numbers[validation : max(test - spec.horizon, 0)], "test": numbers[test:]}


def _take(windows: Windows, rows: np.ndarray, horizon: int) -> Windows:
    return Windows(
        past=windows.past[rows],
        future=windows.future[rows, :horizon],
        base=windows.base[rows],
        scale=windows.scale[rows],
        target_past=windows.target_past[rows],
        origins=windows.origins[rows],
        sessions=windows.sessions[rows, :horizon],
    )
