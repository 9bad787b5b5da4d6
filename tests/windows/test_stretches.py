"""A history as one stretch: the windows of its dataset, session after session."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.windows import (
    ByHar,
    Windowing,
    Windows,
    encode,
    load_dataset,
    load_stretch,
    training_part,
)
from tests.made_windows import ALL_COLUMNS, HELD_OUT, spec_of, walk

CONTEXT, HORIZON, COUNT = 10, 3, 160


def training_file(history) -> bytes:
    window = Windowing(CONTEXT, columns=ALL_COLUMNS, outputs=0)
    spec = spec_of(history, window, horizon=HORIZON, normalisation=ByHar(), split=HELD_OUT)
    return training_part(encode(history, spec))


def with_gaps():
    history = walk(COUNT, 1)
    history.loc[[40, 90, 141], "close"] = np.nan
    history.loc[60:75, "volume"] = 0.0
    return history


def with_a_dividend():
    history = walk(COUNT, 2)
    adjusted = history["adj_close"].where(history.index >= 50, history["adj_close"] * 0.8)
    return history.assign(adj_close=adjusted)


def in_windows(stretch, windows: Windows) -> np.ndarray:
    """Return what the stretch shows of the windows' sessions, (n, context, features)."""
    return stretch.past[windows.position[:, None] + np.arange(1 - CONTEXT, 1)]


@pytest.mark.parametrize("history", [walk(COUNT, 0), with_gaps(), with_a_dividend()])
def test_the_windows_that_end_in_a_stretch_are_those_of_the_dataset(history):
    data = training_file(history)
    dataset, stretch = load_dataset(data), load_stretch(data)
    for name, ends in (("train", stretch.train), ("validation", stretch.validation)):
        windows = dataset.parts[name]
        assert np.flatnonzero(ends).tolist() == windows.position.tolist()
        np.testing.assert_allclose(in_windows(stretch, windows), windows.past, atol=1e-5)
        np.testing.assert_allclose(stretch.future[ends], windows.future, atol=1e-5)
    # A session without its close ends no window, and is none of the three that others forecast.
    missing = history["close"].isna().any()
    assert (stretch.train.sum(), stretch.validation.sum()) == ((118, 6) if missing else (126, 10))


def test_what_cannot_be_seen_takes_the_windows_that_see_it_and_is_0():
    history = walk(COUNT, 1)
    history.loc[60, "low"] = 0.0  # the log of its range is no number
    data = training_file(history)
    stretch, windows = load_stretch(data), load_dataset(data).train
    assert np.flatnonzero(stretch.train).tolist() == windows.position.tolist()
    assert not stretch.train[60 : 60 + CONTEXT].any()
    assert np.isfinite(stretch.past).all()
