"""What a session adds to a replay: the newest windows, where those before are as they were."""

import numpy as np
import pytest

from pipeline.windows import replays
from pipeline.windows.anchors import with_anchors
from pipeline.windows.dataset_file import encode
from pipeline.windows.min_max import MinMax
from pipeline.windows.normalisation import ByHar, LastClose
from pipeline.windows.replays import live_part, load_replay, replay_end
from tests.made_windows import BY_VOLATILITY, WHOLE_BARS, default_spec, walk

#: The default spec forecasts two sessions.
HORIZON, COUNT, REPLAYED = 2, 400, 30


@pytest.fixture(autouse=True)
def thirty_replayed(monkeypatch):
    monkeypatch.setattr(replays, "REPLAYED", REPLAYED)


def file_of(history, **changes):
    """Return the live dataset of a history, as it is written."""
    spec = default_spec(history, **changes)
    return encode(live_part(history, spec), spec)


def with_gaps(history):
    history = history.copy()
    # Also where a replay begins, which then begins earlier.
    history.loc[[203, 204, 268, 269, 380, 395], ["open", "close", "volume"]] = np.nan
    return history


def with_dividend(history):
    before = history.index < 390
    return history.assign(adj_close=history["close"] * np.where(before, 0.98, 1.0))


def anchored(history):
    deviations = 0.01 + 0.001 * np.arange(len(history))[:, None] * np.ones(HORIZON)
    return with_anchors(history, deviations / 10, deviations)


MADE = (lambda history: history, with_gaps, with_dividend, anchored)


@pytest.mark.parametrize("normalisation", [BY_VOLATILITY, LastClose(), ByHar()], ids=str)
@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("added", [1, 3])
def test_older_windows_and_the_added_ones_are_those_of_the_whole_replay(made, normalisation, added):
    history = made(walk(COUNT))
    about = {"window": WHOLE_BARS, "normalisation": normalisation}
    earlier, data = (file_of(history.head(COUNT - n), **about) for n in (added, 0))
    whole, before, end = load_replay(data), load_replay(earlier), replay_end(data, earlier)
    assert len(end.windows) <= HORIZON + added + 1
    older = (before.origins >= end.oldest) & (before.origins < end.first)
    positions = [before.position[older] - end.dropped, end.windows.position + end.skipped]
    np.testing.assert_array_equal(whole.position, np.concatenate(positions))
    names = ("past", "offset", "scale", "ahead", "ahead_with_dividends", "last", "unit", "origins")
    for name in names:
        ours = np.concatenate([getattr(before, name)[older], getattr(end.windows, name)])
        assert ours.tobytes() == getattr(whole, name).tobytes(), name
    assert made is with_gaps or end.dropped == added


def corrected(history):
    return history.assign(volume=history["volume"] + (history.index == 350))


def paid_today(history):
    return history.assign(adj_close=history["close"] * np.where(history.index < COUNT - 1, 0.9, 1))


def anchored_anew(history):
    return with_anchors(anchored(history), *np.full((2, len(history), HORIZON), 0.02))


@pytest.mark.parametrize("changed", [corrected, paid_today, anchored_anew])
def test_nothing_is_taken_over_of_a_history_that_has_changed(changed):
    history = anchored(walk(COUNT))
    earlier = file_of(history.head(COUNT - 1), window=WHOLE_BARS)
    assert replay_end(file_of(history, window=WHOLE_BARS), earlier) is not None
    assert replay_end(file_of(changed(history), window=WHOLE_BARS), earlier) is None


def test_nothing_is_taken_over_of_the_same_or_a_later_session():
    history = walk(COUNT)
    data, earlier = file_of(history), file_of(history.head(COUNT - 1))
    assert (replay_end(data, data), replay_end(earlier, data)) == (None, None)


def test_nothing_is_taken_over_after_too_many_sessions():
    history = walk(COUNT)
    data = file_of(history)
    ends = [replay_end(data, file_of(history.head(COUNT - n))) for n in (27, 28)]
    assert [end is None for end in ends] == [False, True]


def test_nothing_is_taken_over_where_windows_are_scaled_by_the_whole_history():
    history = walk(COUNT)
    about = {"normalisation": MinMax("train")}
    assert replay_end(file_of(history, **about), file_of(history.head(COUNT - 1), **about)) is None


def test_another_target_is_another_replay():
    history = walk(COUNT)
    earlier = file_of(history.head(COUNT - 1), target="adj_close")
    assert replay_end(file_of(history), earlier) is None
