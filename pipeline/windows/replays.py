"""Replays: the windows of the sessions up to a cutoff, and those that a session adds to them.

A window is made of its own sessions and a fixed number before them, wherever its history begins. So
where a dataset file has the rows of an earlier one and some more, its replay has the windows of the
earlier one; only the newest of these have seen more of what they forecast.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.windows.cutting import (
    CARRIED,
    cut_windows,
    known_sessions,
    last_fitted_session,
    require_forecastable,
    rollable_windows,
)
from pipeline.windows.dataset import Windows
from pipeline.windows.dataset_file import StoredHistory, decode, fitted_through, read_history
from pipeline.windows.spec import Spec
from pipeline.windows.volatility import LONGEST_MEMORY

if TYPE_CHECKING:
    import pandas as pd

#: The last sessions before a cutoff over which a forecaster is replayed to calibrate it: about two
#: years, which is what a forecast at the end of the test sessions is measured with.
REPLAYED = 504


def live_part(history: pd.DataFrame, spec: Spec, replayed: int | None = None) -> pd.DataFrame:
    """Return as much of a history as `load_replay` needs.

    It begins with a session that leaves nothing in it to be filled from before.

    Args:
        replayed: sessions before the last one that windows of are wanted; None: `REPLAYED`.
    """
    count = REPLAYED if replayed is None else replayed
    whole = np.logical_and.reduce([history[name].notna().to_numpy() for name in CARRIED])
    return history.iloc[first_needed_row(whole, spec, count) :]


def first_needed_row(whole: np.ndarray, spec: Spec, replayed: int) -> int:
    """Return the first row that the last window of a history, and those before it, look at.

    Args:
        whole: bool (sessions,), where a row has nothing to be filled.
        replayed: windows before the last one.
    """
    if spec.needs_history:
        return 0
    context = spec.window.context_length + spec.normalisation.lead + spec.normalisation.memory
    # What is remembered at a window's first session may itself be a volatility.
    remembered = context if spec.normalisation.memory else 0
    span = max(context, remembered + LONGEST_MEMORY + 1) + replayed
    return int(whole[: max(len(whole) - span + 1, 1)].nonzero()[0].max(initial=0))


def load_replay(data: bytes, fitted_on: bytes | None = None) -> Windows:
    """Return the window at the end of a dataset file, after those of `REPLAYED` sessions before.

    Where the history is short, there are fewer. What has not happened yet is NaN in `ahead` and
    NaT in `sessions`. Windows that a missing or masked cell makes unusable are left out.

    Args:
        fitted_on: the dataset file that the network was trained on; see `load_dataset`.

    Raises:
        LookAtTheData: there is nothing to forecast from at the last session.
    """
    spec, history = decode(data)
    through = fitted_through(fitted_on)
    through = last_fitted_session(history, spec) if through is None else through
    return _newest_windows(live_part(history, spec), spec, through, REPLAYED)


def _newest_windows(
    part: pd.DataFrame, spec: Spec, through: np.datetime64 | None, replayed: int
) -> Windows:
    """Return the window at the end of a history, after the usable ones of `replayed` sessions.

    Args:
        through: see `cut_windows`.
    """
    require_forecastable(part, spec)
    windows = cut_windows(part, spec, through)
    usable = known_sessions(part, spec)[windows.position] & rollable_windows(windows, spec)
    usable[-1] = True  # where it cannot be normalised, the forecast from it raises an error
    rows = np.flatnonzero(usable)
    return windows.take(rows[rows >= len(windows) - 1 - replayed])


@dataclass(frozen=True, eq=False)
class ReplayEnd:
    """The newest windows of a replay, where those before them are as in an earlier one.

    Attributes:
        windows: of `first` and later sessions. Their `position` is counted from the session
            `skipped` of the dataset on.
        oldest: the session from which on the earlier one's windows are in this one, too.
        first: datetime64[D], as `oldest`.
        dropped: sessions with which the earlier dataset begins before this one.
    """

    windows: Windows
    oldest: np.datetime64
    first: np.datetime64
    dropped: int
    skipped: int


def replay_end(data: bytes, earlier: bytes) -> ReplayEnd | None:
    """Return what a dataset file's replay adds to the replay of an earlier dataset file.

    None: some of its other windows may differ.

    Raises:
        LookAtTheData: there is nothing to forecast from at the last session.
    """
    ours, theirs = read_history(data), read_history(earlier)
    spec, dropped = ours.spec, _sessions_dropped(ours, theirs)
    if spec.needs_history or dropped is None:
        return None
    last = len(ours.sessions) - 1
    # Those that did not know yet all that they forecast, and the new ones.
    replayed = spec.reach + len(ours.sessions) + dropped - len(theirs.sessions)
    if replayed >= min(REPLAYED, last):
        return None
    part = live_part(ours.history(), spec, replayed)
    days = ours.sessions
    return ReplayEnd(
        windows=_newest_windows(part, spec, None, replayed),
        oldest=days[max(last - REPLAYED, 0)],
        first=days[last - replayed],
        dropped=dropped,
        skipped=len(days) - len(part),
    )


def _sessions_dropped(ours: StoredHistory, theirs: StoredHistory) -> int | None:
    """Return how many sessions an earlier dataset begins before a later one.

    None: the later one does not have all of the other's rows from there on, bit for bit.
    """
    if ours.spec != dataclasses.replace(theirs.spec, cutoff=ours.spec.cutoff):
        return None
    dropped = int(np.searchsorted(theirs.sessions, ours.sessions[0]))
    count = len(theirs.sessions) - dropped
    if not 0 < count < len(ours.sessions) or [*ours.anchors] != [*theirs.anchors]:
        return None
    pairs = [(ours.sessions, theirs.sessions), (ours.values, theirs.values)]
    pairs += zip(ours.anchors.values(), theirs.anchors.values(), strict=True)
    same = all(kept[:count].tobytes() == before[dropped:].tobytes() for kept, before in pairs)
    return dropped if same else None
