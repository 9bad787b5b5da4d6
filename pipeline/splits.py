"""Which windows train a network, which choose and calibrate, and which only measure it.

A part is the newest sessions of those before it: by count, by share, by calendar year or from a date on. Windows belong to the part of the first
session that they forecast, and no session is forecast in two parts.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

import numpy as np

#: Windows of the longest history that is thought of: more than 70 years.
LONGEST = 20_000


@dataclass(frozen=True)
class Newest:
    """The newest so many sessions."""

    sessions: int

    def start(self, sessions: np.ndarray) -> int:
        return max(len(sessions) - self.sessions, 0)

    def __str__(self) -> str:
        return f"the newest {self.sessions} sessions"


@dataclass(frozen=True)
class Fraction:
    """The newest `share` of the sessions; how many come before is rounded down."""

    share: float

    def start(self, sessions: np.ndarray) -> int:
        return int(len(sessions) * (1 - self.share) + 1e-9)

    def __str__(self) -> str:
        return f"the newest {self.share * 100:g} %"


@dataclass(frozen=True)
class LastYear:
    """The calendar year that was current half a year before the last session, and what has followed it.

    For a history that ends with 2017, that is 2017; it never is less than half a year, nor more than one and a half.
    """

    def start(self, sessions: np.ndarray) -> int:
        if not len(sessions):
            return 0
        year = (sessions[-1].astype("datetime64[D]") - np.timedelta64(182, "D")).astype("datetime64[Y]")
        return int(np.searchsorted(sessions, year.astype("datetime64[D]")))

    def __str__(self) -> str:
        return "the last calendar year"


@dataclass(frozen=True)
class Since:
    """The sessions from `first` on; `stockcast reproduce` asks for the year that a source was tested on."""

    first: dt.date

    def start(self, sessions: np.ndarray) -> int:
        return int(np.searchsorted(sessions, np.datetime64(self.first, "D")))

    def __str__(self) -> str:
        return f"from {self.first} on"


@dataclass(frozen=True)
class RowFraction:
    """The newest `share` of the history's rows, cut before windows are: no window of the test sees a row of the train part.

    So the test's first target comes a whole window after the train part's last. How many rows come before is rounded down.

    Attributes:
        spare: rows that either part leaves unused at the cut, where a source's loop over each stops a window short.
    """

    share: float
    spare: int = 0

    def bounds(self, windows: int, context: int) -> tuple[int, int]:
        """(end of train, start of test) as window numbers; nothing is trained on where nothing would be left to test on."""
        row = int((windows + context) * (1 - self.share) + 1e-9)
        test = row + self.spare
        return (row - context - self.spare, test) if test < windows else (0, windows)

    def __str__(self) -> str:
        return f"the newest {self.share * 100:g} % of the rows, inputs included"


Part = Newest | Fraction | LastYear | Since


@dataclass(frozen=True)
class Split:
    """What is held out of training: the test part, and before it the validation part (None: there is none).

    Attributes:
        min_train_windows: fewer training windows than this are no training.
        embargo: sessions between the parts, beyond those that windows share: what hangs together over days is not torn apart.
    """

    test: Part | RowFraction
    validation: Part | None = None
    min_train_windows: int = 250
    embargo: int = 0

    def starts(self, sessions: np.ndarray, reach: int, context: int) -> tuple[int, int, int, int]:
        """(end of train, start of validation, end of validation, start of test) as window numbers.

        Args:
            sessions: datetime64[D] (n,): the first session that each window forecasts, in order.
            reach: sessions after its last that a window knows: as many windows, less one, and the embargo lie between the parts.
            context: sessions that a window spans.
        """
        gap = reach - 1 + self.embargo
        if isinstance(self.test, RowFraction):
            before, test = self.test.bounds(len(sessions), context)
        else:
            before = test = self.test.start(sessions)
        before = max(before - gap, 0)
        if self.validation is None:
            return before, before, before, test
        validation = self.validation.start(sessions[:before])
        return max(validation - gap, 0), validation, before, test

    def __str__(self) -> str:
        return f"test: {self.test}" + (f"; validation: {self.validation} before" if self.validation else "")


@cache
def fewest_windows(split: Split, reach: int, context: int, last: dt.date) -> int:
    """The smallest history, in windows, that leaves `split.min_train_windows` to train on, on a calendar of weekdays.

    Args:
        last: the first session that the newest window forecasts: a calendar year has only begun, or is long.
    """
    weekdays = np.busday_offset(last, np.arange(1 - LONGEST, 1), roll="backward")

    def trained(count: int) -> int:
        return split.starts(weekdays[-count:], reach, context)[0]

    return 1 + bisect_left(range(1, LONGEST), split.min_train_windows, key=trained)
