"""Earlier replays: those of the session before, which this session's replays are added to.

A session has one more window than the session before, and the newest of the others have seen more
of what they forecast. As long as the history before is the same bit for bit, all else is taken over
(see `windows.replays`): to cut two years of windows, and to look at each, is most of a replay.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.daily.dataset_files import read_dataset
from pipeline.daily.lineup import Lineup
from pipeline.decisions import ChoiceReplay, Observed, decode_replay
from pipeline.errors import DamagedFile, NothingStored
from pipeline.measures import drift
from pipeline.training import window_digests
from pipeline.windows import ReplayEnd, Windows, replay_end

if TYPE_CHECKING:
    from pipeline.parts import Parts


@dataclass(frozen=True, eq=False)
class EarlierReplay:
    """The replay of the same choice up to the session before.

    Attributes:
        dataset: the live dataset that it was cut from.
    """

    dataset: str
    replay: ChoiceReplay


def earlier_replay(parts: Parts, own: Lineup, before: Lineup | None) -> EarlierReplay | None:
    """Return the replay that a ticker's may be added to; None: there is none of its choice.

    Args:
        before: the ticker's lineup of the session before.
    """
    if before is None or before.choice != own.choice:
        return None
    kept = parts.artifacts.find_derived(before.replay_file)
    return None if kept is None else EarlierReplay(before.live.dataset, decode_replay(kept))


@dataclass(frozen=True, eq=False)
class AddedWindows:
    """The newest windows of a replay, and what is taken over of the windows before.

    Attributes:
        skipped: sessions of the dataset before the one that `windows.position` counts from.
    """

    older: ChoiceReplay
    windows: Windows
    skipped: int

    def after_older(self, newest: ChoiceReplay) -> ChoiceReplay:
        """Return the whole replay.

        Args:
            newest: the replay of `windows`.
        """
        position = newest.observed.position + self.skipped
        observed = dataclasses.replace(newest.observed, position=position)
        inputs = _joined(self.older.inputs, newest.inputs)
        return ChoiceReplay(
            Observed(
                **{
                    name: np.concatenate([values, getattr(observed, name)])
                    for name, values in vars(self.older.observed).items()
                }
            ),
            _joined(self.older.forecasts, newest.forecasts),
            None if inputs is None else inputs[-drift.STABILITY_WINDOWS :],
            window_digests=_joined(self.older.window_digests, newest.window_digests),
            spread=newest.spread,
        )


def added_windows(parts: Parts, own: Lineup, earlier: EarlierReplay) -> AddedWindows | None:
    """Return what a ticker's replay adds to the earlier one; None: more of it may differ."""
    try:
        before = read_dataset(parts, earlier.dataset)
    except (NothingStored, DamagedFile):
        return None
    end = replay_end(read_dataset(parts, own.live.dataset), before)
    if end is None or not _agree(earlier.replay, end.windows):
        return None
    older = _older(earlier.replay, end)
    total = len(older.observed.last) + len(end.windows)
    inputs = 0 if older.inputs is None else len(older.inputs)
    # Windows that were left out may have stood among those that inputs are kept of.
    if inputs + len(end.windows) < min(total, drift.STABILITY_WINDOWS):
        return None
    return AddedWindows(older, end.windows, end.skipped)


def _agree(earlier: ChoiceReplay, windows: Windows) -> bool:
    """Return whether the windows that both have are the same, and there are some.

    They would not be with another version of numpy, or on another kind of processor.
    """
    _, ours, theirs = np.intersect1d(windows.origins, earlier.observed.origins, return_indices=True)
    observed, both = Observed.of(windows), len(ours) > 0
    for name in ("last", "unit"):
        mine, its = getattr(observed, name)[ours], getattr(earlier.observed, name)[theirs]
        both = both and np.array_equal(mine, its)
    if earlier.window_digests is not None:
        mine, its = window_digests(windows)[ours], earlier.window_digests[theirs]
        both = both and np.array_equal(mine, its)
    return both


def _older(earlier: ChoiceReplay, end: ReplayEnd) -> ChoiceReplay:
    """Return what is taken over of an earlier replay."""
    origins = earlier.observed.origins
    first, stop = np.searchsorted(origins, [end.oldest, end.first])
    observed = Observed(
        **{name: values[first:stop] for name, values in vars(earlier.observed).items()}
    )
    observed = dataclasses.replace(observed, position=observed.position - end.dropped)
    inputs = earlier.inputs
    if inputs is not None:  # of the newest windows alone
        without = len(origins) - len(inputs)
        inputs = inputs[max(first - without, 0) : max(stop - without, 0)]
    forecasts, digests = (
        None if values is None else values[first:stop]
        for values in (earlier.forecasts, earlier.window_digests)
    )
    return ChoiceReplay(observed, forecasts, inputs, window_digests=digests)


def _joined(older: Array | None, newest: Array | None) -> Array | None:
    return None if older is None or newest is None else np.concatenate([older, newest])
