"""Splits: the windows that train a network, that choose and calibrate, and that only measure it.

A part is the newest sessions of those before it: by count, by share, by calendar year or from a
date on. Windows belong to the part of the first session that they forecast, and no session is
forecast in two parts.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

import numpy as np

#: Windows of the longest history that is considered: more than 70 years.
LONGEST_HISTORY = 20_000


@dataclass(frozen=True)
class Newest:
    """The newest sessions, by their number."""

    sessions: int

    def start(self, sessions: np.ndarray) -> int:
        """Return the number of the part's first session, of datetime64[D] (n,)."""
        return max(len(sessions) - self.sessions, 0)

    def __str__(self) -> str:
        return f"the newest {self.sessions} sessions"


@dataclass(frozen=True)
class Fraction:
    """The newest `share` of the sessions; the number of those before is rounded down."""

    share: float

    def start(self, sessions: np.ndarray) -> int:
        """Return the number of the part's first session, of datetime64[D] (n,)."""
        return int(len(sessions) * (1 - self.share) + 1e-9)

    def __str__(self) -> str:
        return f"the newest {self.share * 100:g}%"


@dataclass(frozen=True)
class LastYear:
    """The calendar year that was current half a year before the last session, and all after it.

    For a history that ends with 2017, that is 2017. It is never less than half a year, nor more
    than one and a half.
    """

    def start(self, sessions: np.ndarray) -> int:
        """Return the number of the part's first session, of datetime64[D] (n,)."""
        if not len(sessions):
            return 0
        half_a_year_before = sessions[-1].astype("datetime64[D]") - np.timedelta64(182, "D")
        year = half_a_year_before.astype("datetime64[Y]")
        return int(np.searchsorted(sessions, year.astype("datetime64[D]")))

    def __str__(self) -> str:
        return "the last calendar year"


@dataclass(frozen=True)
class Since:
    """The sessions from `first` on.

    `stockcast reproduce` asks for the year that a source was tested on.
    """

    first: dt.date

    def start(self, sessions: np.ndarray) -> int:
        """Return the number of the part's first session, of datetime64[D] (n,)."""
        return int(np.searchsorted(sessions, np.datetime64(self.first, "D")))

    def __str__(self) -> str:
        return f"from {self.first} on"


@dataclass(frozen=True)
class RowFraction:
    """The newest `share` of the history's rows, cut before windows are.

    No window of the test sees a row of the train part, so the test's first target comes a whole
    window after the train part's last. The number of rows before is rounded down.

    Attributes:
        spare: rows that either part leaves unused at the cut, where a source's loop over each stops
            a window short.
    """

    share: float
    spare: int = 0

    def bounds(self, windows: int, context: int) -> tuple[int, int]:
        """Return (end of train, start of test) as window numbers.

        Nothing is trained on where nothing would be left to test on.

        Args:
            windows: how many there are.
            context: sessions that a window spans.
        """
        row = int((windows + context) * (1 - self.share) + 1e-9)
        test = row + self.spare
        return (row - context - self.spare, test) if test < windows else (0, windows)

    def __str__(self) -> str:
        return f"the newest {self.share * 100:g}% of the rows, inputs included"


@dataclass(frozen=True)
class Numbered:
    """Training and validation windows by their numbers; nothing is held out for a test.

    It is the split of a training part, whose history ends where training ends.

    Attributes:
        train_end: the number after the last training window.
        validation, validation_end: the first validation window, and the number after the last.
    """

    train_end: int
    validation: int
    validation_end: int

    def __str__(self) -> str:
        held_out = self.validation_end - self.validation
        return f"the first {self.train_end} windows train, {held_out} validate"


Part = Newest | Fraction | LastYear | Since


@dataclass(frozen=True)
class Split:
    """The parts that are held out of training.

    Attributes:
        test: the test part.
        validation: the validation part, before the test; None: there is none.
        min_train_windows: fewer training windows than this are no training.
        embargo: sessions between the parts, beyond those that windows share: events that last for
            days are not torn apart.
    """

    test: Part | RowFraction | Numbered
    validation: Part | None = None
    min_train_windows: int = 250
    embargo: int = 0

    def starts(self, sessions: np.ndarray, reach: int, context: int) -> tuple[int, int, int, int]:
        """Return the bounds of the parts as window numbers.

        Args:
            sessions: datetime64[D] (n,): the first session that each window forecasts, in order.
            reach: sessions after its last that a window knows. As many windows, less one, and the
                embargo lie between the parts.
            context: sessions that a window spans.

        Returns:
            (end of train, start of validation, end of validation, start of test).
        """
        if isinstance(self.test, Numbered):
            bounds = self.test
            return bounds.train_end, bounds.validation, bounds.validation_end, len(sessions)
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

    @property
    def validates(self) -> bool:
        """True where a validation part is held out."""
        return self.validation is not None

    @property
    def tests(self) -> bool:
        """True where a test part is held out."""
        return not isinstance(self.test, Numbered)

    def __str__(self) -> str:
        validation = f"; validation: {self.validation} before" if self.validation else ""
        return f"test: {self.test}{validation}"


@cache
def fewest_windows(split: Split, reach: int, context: int, last: dt.date) -> int:
    """Return the smallest history, in windows, that leaves enough to train on.

    Enough is `split.min_train_windows`, on a calendar of weekdays.

    Args:
        reach, context: see `Split.starts`.
        last: the first session that the newest window forecasts. It decides whether a calendar year
            has only begun, or is long.
    """
    newest = np.datetime64(last, "D")
    weekdays = np.busday_offset(newest, np.arange(1 - LONGEST_HISTORY, 1), roll="backward")

    def trained(count: int) -> int:
        return split.starts(weekdays[-count:], reach, context)[0]

    return 1 + bisect_left(range(1, LONGEST_HISTORY), split.min_train_windows, key=trained)
