"""Three ways to look ahead with a network that forecasts one step (J. Aungiers).

    point by point       every session from the actual sessions before it
    full sequence        all sessions from the first window: after the window's length, the network
                         sees nothing but its own forecasts
    multiple sequences   a number of sessions from a window, then from the window that many
                         sessions later

Rolling forward feeds back the forecast column alone; the other columns keep their last values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from pipeline.errors import LookAtTheData
from pipeline.windows.dataset import Windows

if TYPE_CHECKING:
    import pandas as pd

#: Windows (n) -> the network's normalised outputs (n, outputs).
Predict = Callable[[Windows], np.ndarray]
Result = TypeVar("Result")
#: It yields windows, is sent the network's normalised outputs of them, and returns a result.
Course: TypeAlias = Generator[Windows, np.ndarray, Result]
#: Sessions of one of the multiple sequences.
SEQUENCE_LENGTH = 50


@dataclass(frozen=True)
class LookAhead:
    """The target over n consecutive sessions, forecast in three ways.

    Attributes:
        sessions: datetime64[D] (n,).
        actual: (n,).
        naive: (n,), the last price before each session.
        point_by_point, full_sequence: (n,).
        multiple_sequences: (n,); a sequence begins at every `length`-th session.
    """

    sessions: np.ndarray
    actual: np.ndarray
    naive: np.ndarray
    point_by_point: np.ndarray
    full_sequence: np.ndarray
    multiple_sequences: np.ndarray
    length: int

    def table(self) -> pd.DataFrame:
        """Return one row per session; `sequence` numbers the multiple sequences from 1."""
        import pandas as pd

        names = ("actual", "naive", "point_by_point", "full_sequence", "multiple_sequences")
        columns = {"date": self.sessions, **{name: getattr(self, name) for name in names}}
        sequence = np.arange(len(self.sessions)) // self.length + 1
        return pd.DataFrame({**columns, "sequence": sequence})

    def rmse(self) -> dict[str, float]:
        """Return the RMSE of each way in money, next to its naive forecast's.

        `naive_sequences` is the last price before each of the multiple sequences, held through it.
        """
        starts = np.arange(len(self.sessions)) // self.length * self.length
        forecasts = {
            "naive": self.naive,
            "point_by_point": self.point_by_point,
            "naive_sequences": self.naive[starts],
            "multiple_sequences": self.multiple_sequences,
            "naive_full": np.full(len(self.sessions), self.naive[0]),
            "full_sequence": self.full_sequence,
        }
        return {
            name: float(np.sqrt(np.mean((self.actual - prices) ** 2, axis=0)))
            for name, prices in forecasts.items()
        }


def rolling(windows: Windows, horizon: int) -> Course[np.ndarray]:
    """Ask for the network's outputs of windows, and of these rolled forward, until the horizon.

    Returns:
        Prices (n, horizon): what the network forecasts at once, and beyond by rolling.
    """
    forecasts: list[np.ndarray] = []
    while True:
        _require_finite(windows)
        prices = windows.to_prices((yield windows))
        forecasts.append(prices)
        if sum(part.shape[1] for part in forecasts) >= horizon:
            return np.concatenate(forecasts, axis=1)[:, :horizon]
        windows = windows.rolled(prices)


def followed(course: Course[Result], predict: Predict) -> Result:
    """Return the result of a course whose windows `predict` answers."""
    try:
        windows = next(course)
        while True:
            windows = course.send(predict(windows))
    except StopIteration as end:
        result: Result = end.value
        return result


def roll_forward(windows: Windows, predict: Predict, horizon: int) -> np.ndarray:
    """Return prices (n, horizon): what the network forecasts at once, and beyond by rolling."""
    return followed(rolling(windows, horizon), predict)


def look_ahead(windows: Windows, predict: Predict, length: int = SEQUENCE_LENGTH) -> LookAhead:
    """Forecast the sessions after `windows`, which are in order, in all three ways.

    Where a window was left out, rolling forward passes over its session.
    """
    count = len(windows)
    starts = np.arange(0, count, length)
    sequence = np.arange(count) // length
    ahead = windows.position - windows.position[starts][sequence]
    sequences = roll_forward(windows.take(starts), predict, int(ahead.max()) + 1)
    passed = windows.position - windows.position[0]
    full = roll_forward(windows.take(slice(1)), predict, int(passed[-1]) + 1)
    return LookAhead(
        sessions=windows.sessions[:, 0],
        actual=windows.actual[:, 0],
        naive=windows.last,
        point_by_point=roll_forward(windows, predict, 1)[:, 0],
        full_sequence=full[0, passed],
        multiple_sequences=sequences[sequence, ahead],
        length=min(length, count),
    )


def _require_finite(windows: Windows) -> None:
    if not windows.finite.all():
        raise LookAtTheData(
            f"The window up to {windows.origins[~windows.finite][0]} cannot be normalised: as it "
            "is or rolled forward, it would be divided by a volume of 0. Use a recipe that does "
            "not look at the volume."
        )
