"""Dataset files: a history as adjusted and masked at a cutoff, with the `Spec` that cuts it.

Equal histories and specs give equal bytes. The training part of a file is a file of its own: what
a network learns from ends there.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.npz import read_arrays
from pipeline.tables import HISTORY, OHLCV, SESSION_DTYPE, column
from pipeline.windows.anchors import anchor_columns
from pipeline.windows.cutting import (
    complete_windows,
    cut_windows,
    fill_gaps,
    last_fitted_session,
    part_rows,
    part_starts,
    session_days,
)
from pipeline.windows.dataset import Dataset
from pipeline.windows.dividends import Steps, seen_from_last, sees_dividends, steps_of
from pipeline.windows.normalisation import exponentially_smoothed
from pipeline.windows.spec import Spec
from pipeline.windows.train_test_splits import Numbered, Split

if TYPE_CHECKING:
    import pandas as pd

STORED_COLUMNS = (*OHLCV, "adj_close")


def encode(history: pd.DataFrame, spec: Spec) -> bytes:
    """Encode a history and its spec as a dataset file.

    Args:
        history: HISTORY of one ticker, one row per session, the last at the spec's cutoff.

    Raises:
        NotEnoughHistory: the history ends before the cutoff.
    """
    last = history["session"].iloc[-1].date()
    if last != spec.cutoff:
        raise NotEnoughHistory(
            f"{spec.ticker}: the history ends at {last}, the cutoff is {spec.cutoff}. "
            "Ingest that session first."
        )
    return packed(history, dataclasses.replace(spec, adds_dividends=sees_dividends(history, spec)))


def packed(history: pd.DataFrame, spec: Spec) -> bytes:
    """Return the file of a history and a spec that says whether dividends are added back."""
    about = json.dumps(spec.to_json(), sort_keys=True).encode()
    file = io.BytesIO()
    arrays: dict[str, Any] = {
        "spec": np.frombuffer(about, dtype="uint8"),
        "sessions": session_days(history).astype("int32"),
        "values": history[list(STORED_COLUMNS)].to_numpy("float64"),
    }
    if added := anchor_columns(history):
        arrays["anchor_columns"] = np.array(added)
        arrays["anchors"] = history[added].to_numpy("float32")
    np.savez(file, **arrays)  # not compressed: another zlib would make other bytes, another name
    return file.getvalue()


@dataclass(frozen=True, eq=False)
class StoredHistory:
    """The content of a dataset file, as arrays.

    Attributes:
        sessions: datetime64[D] (n,).
        values: (n, columns), in the order of `STORED_COLUMNS`.
        anchors: by column of a history (n,).
    """

    spec: Spec
    sessions: np.ndarray
    values: np.ndarray
    anchors: Mapping[str, np.ndarray]

    def history(self) -> pd.DataFrame:
        """Return the HISTORY, with its anchors."""
        import pandas as pd

        columns: dict[str, Any] = dict(zip(STORED_COLUMNS, self.values.T, strict=True))
        columns["session"] = self.sessions.astype(SESSION_DTYPE)
        names = pd.Series([self.spec.ticker], dtype="str")
        columns["ticker"] = names.repeat(len(self.values)).array
        return pd.DataFrame({name: columns[name] for name in HISTORY.columns} | {**self.anchors})


def read_history(data: bytes) -> StoredHistory:
    """Read what `encode` wrote.

    Raises:
        LookAtTheData: the bytes are no dataset file.
    """
    unreadable = (OSError, zipfile.BadZipFile, struct.error, ValueError, KeyError, TypeError)
    try:
        arrays = read_arrays(data)
        about = json.loads(arrays["spec"].tobytes())
        sessions, values = arrays["sessions"], arrays["values"]
        added = arrays["anchor_columns"].tolist() if "anchors" in arrays else []
        anchors = arrays["anchors"].astype("float64") if added else values[:, :0]
        spec = Spec.from_json(about)
        if values.shape != (len(sessions), len(STORED_COLUMNS)):
            raise ValueError(f"its values are {values.shape}")
        by_column = dict(zip(added, anchors.T, strict=True))
    except (*unreadable, AttributeError) as error:
        raise LookAtTheData(
            f"This dataset file cannot be read ({error}). Delete it and repeat build_windows."
        ) from None
    return StoredHistory(spec, sessions.astype("datetime64[D]"), values, by_column)


def decode(data: bytes) -> tuple[Spec, pd.DataFrame]:
    """Decode what `encode` wrote: the spec and the HISTORY, with its anchors.

    Raises:
        LookAtTheData: the bytes are no dataset file.
    """
    stored = read_history(data)
    return stored.spec, stored.history()


def load_dataset(data: bytes, fitted_on: bytes | None = None) -> Dataset:
    """Cut a dataset file into its parts.

    Args:
        fitted_on: the dataset file that a network was trained on, where that is another one. Its
            normalisation is then fitted on the same sessions, in the prices of this file.
    """
    spec, history = decode(data)
    windows = cut_windows(history, spec, fitted_through(fitted_on))
    complete = complete_windows(windows, history, spec)
    parts = part_rows(history, spec)
    rows = {name: numbers[complete[numbers]] for name, numbers in parts.items()}
    # Beyond the horizon, only what is learnt from needs to know more.
    for name in ("train", "validation"):
        rows[name] = rows[name][np.isfinite(windows.ahead[rows[name]]).all(axis=1)]
    return Dataset(
        spec=spec,
        train=windows.take(rows["train"]),
        validation=windows.take(rows["validation"]),
        test=windows.take(rows["test"]),
        left_out={name: len(numbers) - len(rows[name]) for name, numbers in parts.items()},
        masked_cells=int(history[list(OHLCV)].isna().sum().sum()),
    )


def training_part(data: bytes) -> bytes:
    """Return the part of a dataset file that training may see, as a dataset file of its own.

    It ends with the last session that a validation window knows, or where nothing validates, a
    training window: whoever trains on it cannot look ahead. Datasets that differ in what comes
    later have the same training part, byte for byte. A file whose normalisation peeks, as some
    published protocols do, is returned whole.
    """
    spec, history = decode(data)
    if spec.normalisation.peeks:
        return data
    train_end, validation, validation_end, _ = part_starts(session_days(history), spec)
    windows = validation_end if spec.split.validates else train_end
    history = history.iloc[: spec.window.context_length + windows - 1 + spec.reach]
    split = Split(
        test=Numbered(train_end, validation, validation_end),
        validation=spec.split.validation,
        min_train_windows=1,
    )
    cutoff = history["session"].iloc[-1].date()
    # A file of an older version adds no dividends, and neither does its part.
    adds = spec.adds_dividends and sees_dividends(history, spec)
    part = dataclasses.replace(spec, cutoff=cutoff, split=split, adds_dividends=adds)
    return packed(history, part)


@dataclass(frozen=True, eq=False)
class TargetSeries:
    """The target at every session of a history, as its windows see it.

    Attributes:
        prices: (sessions,); `Windows.position` numbers its sessions.
    """

    prices: np.ndarray
    steps: Steps

    def up_to(self, position: int) -> np.ndarray:
        """Return the prices up to a session as that session sees them, (position + 1,)."""
        steps = self.steps[: position + 1] if isinstance(self.steps, np.ndarray) else self.steps
        return seen_from_last(self.prices[: position + 1], steps)


def target_series(data: bytes) -> TargetSeries:
    """Return the target at every session of a dataset file."""
    spec, history = decode(data)
    target = column(fill_gaps(history), spec.target).to_numpy("float64")
    steps = steps_of(history, spec)[spec.target]
    if spec.smoothing:
        target = exponentially_smoothed(target, spec.smoothing, steps)
    return TargetSeries(target, steps)


def first_test_session(history: pd.DataFrame, spec: Spec) -> dt.date:
    """Return the first session that a test window of this history forecasts."""
    sessions = session_days(history)
    first = sessions[spec.window.context_length + part_starts(sessions, spec)[3]]
    session: dt.date = first.astype(object)
    return session


def fitted_through(fitted_on: bytes | None) -> np.datetime64 | None:
    """Return the last session that the normalisation of a dataset file is fitted on."""
    if fitted_on is None:
        return None
    spec, history = decode(fitted_on)
    return last_fitted_session(history, spec)
