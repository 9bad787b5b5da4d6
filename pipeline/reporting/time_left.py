"""The time that a row of sessions still takes, by what those before it took."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


class TimeLeft:
    """An estimate for sessions that are done one after the other.

    Those that train take much longer than those between two trainings, so either kind is taken to
    last as long as the mean of those of its kind.

    Args:
        trains: whether a training is due, by session in their order.
    """

    def __init__(self, trains: Sequence[bool]) -> None:
        self._trains = list(trains)
        self._seconds: list[float] = []

    def add(self, seconds: float) -> None:
        """Note how long the next session has taken."""
        self._seconds.append(seconds)

    def seconds(self) -> float | None:
        """Return how long the others will take; None: no session is done."""
        if not self._seconds:
            return None
        done = list(zip(self._trains, self._seconds, strict=False))
        usual = fmean(self._seconds)
        means = {
            kind: fmean([seconds for trains, seconds in done if trains == kind] or [usual])
            for kind in (True, False)
        }
        return sum(means[trains] for trains in self._trains[len(done) :])

    def text(self) -> str:
        """Return where it has come to: "session 3 of 252, about 2 h 5 min left"."""
        count, total = len(self._seconds), len(self._trains)
        seconds = self.seconds()
        left = "" if seconds is None else f", {duration_text(seconds)} left"
        return f"session {min(count + 1, total)} of {total}{left}"


def duration_text(seconds: float) -> str:
    """Return a duration in words, to the minute."""
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"about {hours} h {minutes} min"
    return f"about {minutes} min" if minutes else "less than a minute"
