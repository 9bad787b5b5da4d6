"""Price history -> windows: one cutter for training, evaluation and the live forecast, whichever the recipe.

A dataset is one small file: the history as adjusted and masked at a cutoff, with a `Spec` that says how to cut it. Windows are cut
when it is loaded, so the parts cannot drift apart. A window knows the dollars it was cut from, and with them how to turn a prediction
back into dollars:

    past[i, k, f]   what the network sees of the k-th session (or block of sessions) of window i, normalised as the recipe says
    future[i, h]    what it should say about the session h + 1 after the window's last, normalised alike
    price           offset[i] + scale[i] * future[i, h]
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.normalisation import Normalise, exponentially_smoothed, views
from pipeline.spec import Spec
from pipeline.tables import HISTORY, OHLCV, PRICE_COLUMNS, SESSION_DTYPE, column
from pipeline.volatility import SESSIONS, exponentially_weighted

COLUMNS = (*OHLCV, "adj_close")
#: A missing cell of these is stood in for by the session before; one of the others by the same session's close.
CARRIED = ("close", "adj_close", "volume")
#: The last sessions before a cutoff over which a forecaster is replayed to calibrate it: about two years of trading, which is what a forecast
#: at the end of the test sessions is measured with.
REPLAYED = 504


@dataclass(frozen=True)
class Cut:
    """How windows were cut, for turning predictions back and for rolling forward. `target`: its place among the columns, if it is there."""

    normalise: Normalise
    outputs: int
    block: int
    lead: int
    target: int | None


@dataclass(frozen=True)
class Windows:
    """n windows, aligned by their first axis.

    Attributes:
        values: float64 (n, lead + context, columns): dollars and shares; gaps filled with the last known.
        target_values: float64 (n, lead + context): the target over the same sessions, in dollars.
        ahead: float64 (n, reach): the target in the sessions after, in dollars; NaN at most in a test window, beyond the horizon, and in what
            is replayed up to a cutoff, beyond that. (n, 0) of one that was rolled forward.
        volatility: float64 (n,): of the target's relative change, as known at the window's last session (see `volatility`).
        position: int (n,): number in the history of the window's last session; of one that was rolled forward, the last that came.
        origins: datetime64[D] (n,): that session.
        sessions: datetime64[D] (n, horizon): the sessions forecast.
    """

    values: np.ndarray
    target_values: np.ndarray
    ahead: np.ndarray
    volatility: np.ndarray
    position: np.ndarray
    origins: np.ndarray
    sessions: np.ndarray
    cut: Cut

    def __len__(self) -> int:
        return len(self.position)

    @cached_property
    def _normalised(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        past, offset, scale = self.cut.normalise(self.values, self.target_values, self.position)
        steps, features = past.shape[1] // self.cut.block, past.shape[2] * self.cut.block
        return past.reshape(len(self), steps, features).astype("float32"), offset, scale

    @property
    def past(self) -> np.ndarray:
        """float32 (n, steps, features)."""
        return self._normalised[0]

    @property
    def offset(self) -> np.ndarray:
        """Dollars (n,)."""
        return self._normalised[1]

    @property
    def scale(self) -> np.ndarray:
        """Dollars (n,)."""
        return self._normalised[2]

    @cached_property
    def future(self) -> np.ndarray:
        """float32 (n, outputs)."""
        ahead = self.ahead[:, : self.cut.outputs]
        return ((ahead - self.offset[:, None]) / self.scale[:, None]).astype("float32")

    @property
    def finite(self) -> np.ndarray:
        """Which windows could be normalised, (n,) bool: the others would have been divided by 0."""
        return np.isfinite(self.past).all(axis=(1, 2)) & np.isfinite(self.offset) & np.isfinite(self.scale)

    @property
    def last(self) -> np.ndarray:
        """Dollars (n,): the target at the window's last session, which is the naive forecast."""
        return self.target_values[:, -1]

    @property
    def target_past(self) -> np.ndarray:
        """Dollars (n, context_length)."""
        return self.target_values[:, self.cut.lead :]

    @property
    def actual(self) -> np.ndarray:
        """Dollars (n, horizon)."""
        return self.ahead[:, : self.sessions.shape[1]]

    @property
    def unit(self) -> np.ndarray:
        """Dollars (n,) in which the width of a distribution is measured: the target's recent volatility times its last value."""
        return self.last * self.volatility

    def to_prices(self, prediction: np.ndarray) -> np.ndarray:
        """Normalised predictions (n, h) as dollars (n, h), float64."""
        return self.offset[:, None] + prediction.astype("float64") * self.scale[:, None]

    def take(self, rows: np.ndarray | slice, horizon: int | None = None) -> Windows:
        """Some of the windows; with `horizon`, only so many sessions ahead."""
        return dataclasses.replace(
            self,
            values=self.values[rows],
            target_values=self.target_values[rows],
            ahead=self.ahead[rows, :horizon] if horizon == 0 else self.ahead[rows],
            volatility=self.volatility[rows],
            position=self.position[rows],
            origins=self.origins[rows],
            sessions=self.sessions[rows, :horizon],
        )

    def rolled(self, prices: np.ndarray) -> Windows:
        """The windows that many sessions later, had `prices` (n, h) come: only the target's column takes them, the others stay where they were."""
        count = prices.shape[1]
        newest = np.repeat(self.values[:, -1:], count, axis=1)
        if self.cut.target is not None:
            newest[:, :, self.cut.target] = prices
        return dataclasses.replace(
            self,
            values=np.concatenate([self.values, newest], axis=1)[:, count:],
            target_values=np.concatenate([self.target_values, prices], axis=1)[:, count:],
            ahead=self.ahead[:, :0],
        )


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
    def usable(self) -> str:
        """How many windows each part has, for people."""
        return ", ".join(f"{len(getattr(self, name))} of {name}" for name in ("train", "validation", "test"))

    @property
    def trainable(self) -> bool:
        wanted = (self.train, self.test) if self.spec.split.validation is None else (self.train, self.validation, self.test)
        return self.spec.trainable and min(map(len, wanted)) > 0


def on_calendar(history: pd.DataFrame, sessions: Sequence[dt.date] | pd.DatetimeIndex) -> pd.DataFrame:
    """`history` (one ticker) with exactly one row per session from its first: missing ones all NaN, days that are none dropped."""
    index = pd.DatetimeIndex(sessions).as_unit("s")
    index = index[index >= history["session"].iloc[0]]
    if np.array_equal(index.to_numpy(), history["session"].to_numpy()):  # most histories
        return history.reset_index(drop=True)
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
    about = json.dumps(spec.to_json(), sort_keys=True).encode()
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
        spec = Spec.from_json(about)
        frame = pd.DataFrame(values, columns=list(COLUMNS))
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LookAtTheData(f"This dataset file cannot be read ({error}). Delete it and repeat build_windows.") from None
    frame["session"] = sessions.astype("datetime64[D]").astype(SESSION_DTYPE)
    frame["ticker"] = spec.ticker
    return spec, HISTORY.conform(frame)


def load_dataset(data: bytes, fitted_on: bytes | None = None) -> Dataset:
    """Cuts a dataset file into its parts.

    Args:
        fitted_on: the dataset file that a network was trained on, where that is another one: what its normalisation was fitted on there
            it is fitted on here, in the dollars of here.
    """
    spec, history = decode(data)
    windows = _cut(history, spec, _fitted_through(history, spec, fitted_on))
    complete = _complete(windows, history, spec)
    parts = _parts(history, spec)
    chosen = {name: rows[complete[rows]] for name, rows in parts.items()}
    # Beyond the horizon, only what is learnt from needs to know more.
    for name in ("train", "validation"):
        chosen[name] = chosen[name][np.isfinite(windows.ahead[chosen[name]]).all(axis=1)]
    return Dataset(
        spec=spec,
        left_out={name: len(rows) - len(chosen[name]) for name, rows in parts.items()},
        masked_cells=int(history[list(OHLCV)].isna().sum().sum()),
        **{name: windows.take(rows) for name, rows in chosen.items()},
    )


def surely_trainable(history: pd.DataFrame, spec: Spec) -> bool:
    """Whether `Dataset.trainable` can be told without cutting a window: what is missing is too little to take all windows of a part.

    A session without its target or an anchor takes the window that ends there and those that forecast it. Other missing cells are carried and take
    none, unless there is no volume to be normalised by.
    """
    carried = _carried(history)[list(OHLCV)].to_numpy()
    if not (spec.trainable and np.isfinite(carried).all() and (carried[:, OHLCV.index("volume")] > 0).all()):
        return False
    taken = (~_known(history, spec)).sum() * (1 + spec.reach)
    return bool(min(map(len, _parts(history, spec).values())) > taken)


def target_series(data: bytes) -> np.ndarray:
    """Dollars (sessions,): the target at every session of a dataset file, as its windows see it; `Windows.position` numbers them."""
    spec, history = decode(data)
    target = column(_carried(history), spec.target).to_numpy("float64")
    return exponentially_smoothed(target, spec.smoothing) if spec.smoothing else target


def first_test_session(history: pd.DataFrame, spec: Spec) -> dt.date:
    """The first session that a test window of this history forecasts."""
    sessions = history["session"].to_numpy().astype("datetime64[D]")
    return sessions[spec.window.context_length + _starts(sessions, spec)[3]].astype(object)


def live_part(history: pd.DataFrame, spec: Spec) -> pd.DataFrame:
    """As much of a history as `load_replay` needs, from a session on that leaves nothing in it to be carried from before."""
    if spec.needs_history:
        return history
    span = max(spec.window.context_length + spec.normalisation.lead, SESSIONS + 1) + REPLAYED
    whole = history[list(CARRIED)].notna().all(axis=1).to_numpy()[: max(len(history) - span + 1, 1)]
    return history.iloc[whole.nonzero()[0].max(initial=0) :]


def load_replay(data: bytes, fitted_on: bytes | None = None) -> Windows:
    """The window at the end of a dataset file, after those of the `REPLAYED` sessions before; at most, where the history is short.

    What is yet to come is NaN in `ahead` and NaT in `sessions`. Windows with a missing or masked cell that makes them unusable are left out.

    Args:
        fitted_on: the dataset file that the network was trained on, which says what its normalisation was fitted on.
    """
    spec, history = decode(data)
    _require_last(history, spec)
    through = _fitted_through(history, spec, fitted_on)
    part = live_part(history, spec)
    windows = _cut(part, spec, through)
    usable = _known(part, spec)[windows.position] & _rollable(windows, spec)
    usable[-1] = True  # where it cannot be normalised, the forecast from it says why
    usable = np.flatnonzero(usable)
    return windows.take(usable[usable >= len(windows) - 1 - REPLAYED])


def cut(history: pd.DataFrame, spec: Spec) -> Windows:
    """All windows of a history, the last one at its last session; `ahead` is NaN where a target is missing or yet to come.

    Args:
        history: one ticker, one row per session of its calendar; NaN where a cell is missing or masked.
    """
    return _cut(history, spec, _last_fitted(history, spec))


def _cut(history: pd.DataFrame, spec: Spec, fitted_through: np.datetime64) -> Windows:
    context, lead = spec.window.context_length, spec.normalisation.lead
    if len(history) < context:
        ticker, last = history["ticker"].iloc[-1], history["session"].iloc[-1].date()
        raise NotEnoughHistory(f"{ticker}: {len(history)} sessions up to {last}, {context} needed. Fetch from an earlier date.")
    carried = _carried(history)
    sessions = history["session"].to_numpy().astype("datetime64[D]")
    known, target = (column(table, spec.target).to_numpy("float64") for table in (history, carried))
    values = np.column_stack([column(carried, name).to_numpy("float64") for name in spec.columns])
    if spec.smoothing:
        target = exponentially_smoothed(target, spec.smoothing)
        known = np.where(np.isfinite(known), target, np.nan)
        values = np.column_stack([target if name == spec.target else values[:, at] for at, name in enumerate(spec.columns)])
    fitted = int(np.searchsorted(sessions, fitted_through, side="right"))
    normalise = spec.normalisation.fit(values, target, max(fitted, 1), spec.window.block)
    last = np.arange(context - 1, len(history))
    return Windows(
        values=views(np.concatenate([values[:1].repeat(lead, axis=0), values]), lead + context),
        target_values=views(np.concatenate([target[:1].repeat(lead), target])[:, None], lead + context)[:, :, 0],
        ahead=_ahead(known, last, spec.reach, np.nan),
        volatility=exponentially_weighted(target)[last],
        position=last,
        origins=sessions[last],
        sessions=_ahead(sessions, last, spec.horizon, np.datetime64("NaT")),
        cut=Cut(
            normalise,
            spec.outputs,
            spec.window.block,
            lead,
            spec.columns.index(spec.target) if spec.target in spec.columns else None,
        ),
    )


def _carried(history: pd.DataFrame) -> pd.DataFrame:
    """What a network sees where a cell is missing: the previous close, and for open, high and low the close of the same bar.

    Only features are ever stood in for, never a target or a naive forecast; `Dataset.masked_cells` counts them.
    """
    table = history.copy()
    for name in CARRIED:
        table[name] = table[name].ffill().bfill()
    for name in PRICE_COLUMNS[:3]:
        table[name] = table[name].fillna(table["close"])
    return table


def _ahead(values: np.ndarray, last: np.ndarray, count: int, missing: object) -> np.ndarray:
    """values[last + 1 .. last + count], (n, count); `missing` beyond the end."""
    padded = np.concatenate([values, np.full(count, missing, dtype=values.dtype)])
    return views(padded[:, None], count)[last + 1, :, 0]


def _complete(windows: Windows, history: pd.DataFrame, spec: Spec) -> np.ndarray:
    """Which windows have a last value, every target and no infinite input, (n,) bool; also when rolled forward to the horizon."""
    return _known(history, spec)[windows.position] & np.isfinite(windows.actual).all(axis=1) & _rollable(windows, spec)


def _rollable(windows: Windows, spec: Spec) -> np.ndarray:
    finite = np.ones(len(windows), bool)
    for ahead in range(0, spec.horizon, spec.outputs):
        finite &= windows.rolled(np.repeat(windows.last[:, None], ahead, axis=1)).finite
    return finite


def _known(history: pd.DataFrame, spec: Spec) -> np.ndarray:
    """Sessions from which a forecast can be made, (sessions,) bool: neither the target nor an anchor of the normalisation is carried."""
    cells = [column(history, name).notna().to_numpy() for name in (spec.target, *spec.normalisation.anchors)]
    return np.logical_and.reduce(cells)


def _require_last(history: pd.DataFrame, spec: Spec) -> None:
    if not _known(history.tail(1), spec)[0]:
        raise LookAtTheData(
            f"{spec.ticker} {spec.cutoff}: its {' or '.join(dict.fromkeys((spec.target, *spec.normalisation.anchors)))} is missing or masked, "
            "so there is nothing to forecast from."
        )


def _starts(sessions: np.ndarray, spec: Spec) -> tuple[int, int, int, int]:
    """`Split.starts` for the windows that have all of the horizon ahead."""
    context = spec.window.context_length
    return spec.split.starts(sessions[context:][: _count(sessions, spec)], spec.reach, context)


def _count(sessions: np.ndarray, spec: Spec) -> int:
    """Windows that have all of the horizon ahead."""
    return max(len(sessions) - spec.window.context_length - spec.horizon + 1, 0)


def _parts(history: pd.DataFrame, spec: Spec) -> dict[str, np.ndarray]:
    """Window numbers of train, validation and test; no target session is shared by two parts."""
    sessions = history["session"].to_numpy().astype("datetime64[D]")
    train_end, validation, validation_end, test = _starts(sessions, spec)
    numbers = np.arange(_count(sessions, spec))
    train = numbers[:train_end] if spec.trainable else numbers[:0]
    # Where windows do not overlap, they are counted from the first session on (L. Weng).
    return {"train": train[:: spec.window.stride], "validation": numbers[validation:validation_end], "test": numbers[test:]}


def _last_fitted(history: pd.DataFrame, spec: Spec) -> np.datetime64:
    """The last session that a normalisation is fitted on: the last that training sees; for one that peeks, the last of all."""
    sessions = history["session"].to_numpy().astype("datetime64[D]")
    if not spec.trainable or getattr(spec.normalisation, "fitted_on", "train") == "all":
        return sessions[-1]
    train_end = _starts(sessions, spec)[0]
    return sessions[min(max(spec.window.context_length + train_end + spec.reach - 2, 0), len(sessions) - 1)]


def _fitted_through(history: pd.DataFrame, spec: Spec, fitted_on: bytes | None) -> np.datetime64:
    if fitted_on is None:
        return _last_fitted(history, spec)
    trained_spec, trained_history = decode(fitted_on)
    return _last_fitted(trained_history, trained_spec)
