"""Three ways to look ahead with a network that forecasts one step (J. Aungiers): from what came, from its own forecasts, and in between.

    point by point       every session from the sessions before it
    full sequence        all sessions from the first window: after its length, the network sees nothing but its own forecasts
    multiple sequences   so many sessions from each window, then the next window that many sessions on

Rolling forward feeds back the forecast column alone; whatever else the network sees stays where it last was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.errors import LookAtTheData
from pipeline.metrics import root_mean_squared_error
from pipeline.windows import Windows

#: Windows (n) -> the network's normalised outputs (n, outputs).
Predict = Callable[[Windows], np.ndarray]
#: Sessions of one of the multiple sequences.
SEQUENCE_LENGTH = 50


@dataclass(frozen=True)
class LookAhead:
    """The target in dollars over n consecutive sessions.

    Attributes:
        sessions: datetime64[D] (n,).
        actual, naive: (n,); naive: the last price before each session.
        point_by_point, full_sequence: (n,).
        multiple_sequences: (n,); a sequence begins at every `length`-th session.
        length: of a sequence.
    """

    sessions: np.ndarray
    actual: np.ndarray
    naive: np.ndarray
    point_by_point: np.ndarray
    full_sequence: np.ndarray
    multiple_sequences: np.ndarray
    length: int

    def table(self) -> pd.DataFrame:
        """One row per session; `sequence` numbers the multiple sequences from 1."""
        names = ("actual", "naive", "point_by_point", "full_sequence", "multiple_sequences")
        rows = {"date": self.sessions, **{name: getattr(self, name) for name in names}}
        return pd.DataFrame({**rows, "sequence": np.arange(len(self.sessions)) // self.length + 1})

    def rmse(self) -> dict[str, float]:
        """Dollars, per way; naive_sequences: the last price before each of the multiple sequences goes on through it."""
        starts = np.arange(len(self.sessions)) // self.length * self.length
        said = {
            "naive": self.naive,
            "point_by_point": self.point_by_point,
            "naive_sequences": self.naive[starts],
            "multiple_sequences": self.multiple_sequences,
            "naive_full": np.full(len(self.sessions), self.naive[0]),
            "full_sequence": self.full_sequence,
        }
        return {name: float(root_mean_squared_error(self.actual, prices)) for name, prices in said.items()}


def forecast(windows: Windows, predict: Predict, horizon: int) -> np.ndarray:
    """Dollars (n, horizon): what the network says at once, and beyond that by rolling forward on what it said."""
    said: list[np.ndarray] = []
    while True:
        _require_finite(windows)
        prices = windows.to_prices(predict(windows))
        said.append(prices)
        if sum(part.shape[1] for part in said) >= horizon:
            return np.concatenate(said, axis=1)[:, :horizon]
        windows = windows.rolled(prices)


def look_ahead(windows: Windows, predict: Predict, length: int = SEQUENCE_LENGTH) -> LookAhead:
    """All three over the sessions that follow `windows`, which are in order; where one was left out, rolling forward passes over its session."""
    count = len(windows)
    starts = np.arange(0, count, length)
    sequence = np.arange(count) // length
    ahead = windows.position - windows.position[starts][sequence]
    sequences = forecast(windows.take(starts), predict, int(ahead.max()) + 1)
    passed = windows.position - windows.position[0]
    return LookAhead(
        sessions=windows.sessions[:, 0],
        actual=windows.actual[:, 0],
        naive=windows.last,
        point_by_point=forecast(windows, predict, 1)[:, 0],
        full_sequence=forecast(windows.take(slice(1)), predict, int(passed[-1]) + 1)[0, passed],
        multiple_sequences=sequences[sequence, ahead],
        length=min(length, count),
    )


def _require_finite(windows: Windows) -> None:
    if not windows.finite.all():
        raise LookAtTheData(
            f"The window up to {windows.origins[~windows.finite][0]} cannot be normalised: as it is or rolled forward, it would be divided by a "
            "volume of 0. Use a recipe that does not look at the volume."
        )
