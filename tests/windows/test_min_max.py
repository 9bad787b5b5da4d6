"""Normalisations by a range, by hand."""

import numpy as np
import pytest

from pipeline.windows.cutting import cut_windows
from pipeline.windows.min_max import BlockMinMax, MinMax
from pipeline.windows.spec import Windowing
from pipeline.windows.train_test_splits import Newest, Split
from tests.made_windows import cut_closes, history_of, spec_of

#: Of ten sessions, all windows of two: training sees the first six sessions.
SIX_OF_TEN = Split(Newest(2), Newest(2), min_train_windows=1)
RISING = [10, 30, 20, 50, 40, 60, 110, 80, 90, 100]


def test_min_max_is_fitted_on_what_training_sees():
    made = cut_closes(RISING, Windowing(2), MinMax("train"), SIX_OF_TEN)
    np.testing.assert_allclose(
        made.past[:, :, 0], np.array([RISING[i : i + 2] for i in range(9)]) / 50 - 0.2
    )
    assert set(made.offset) == {10} and set(made.scale) == {50}


def test_min_max_on_all_reaches_from_0_to_1_over_the_whole_history():
    made = cut_closes(RISING, Windowing(2), MinMax("all"), SIX_OF_TEN)
    assert (made.past.min(), made.past.max()) == (0, 1)
    assert set(made.scale) == {100}


def test_a_target_that_is_not_seen_has_its_own_range():
    history = history_of(RISING, volume=np.arange(10) * 7.0)
    window = Windowing(2, columns=("volume",))
    made = cut_windows(history, spec_of(history, window, MinMax("train"), split=SIX_OF_TEN))
    assert made.past[:5].max() == 1
    assert set(made.offset) == {10} and set(made.scale) == {50}


def test_what_never_moves_is_0():
    made = cut_closes([7] * 10, Windowing(2), MinMax("train"), SIX_OF_TEN)
    assert made.past.tolist() == [[[0], [0]]] * 9


#: Blocks of four: 10..40, 100..500 and, not over yet, 1000..3000.
STEPS = [10, 40, 20, 30, 100, 300, 200, 500, 1000, 3000]
RANGES = {
    "10..40": (10, 30),
    "10..20": (10, 10),
    "100..500": (100, 400),
    "1000..3000": (1000, 2000),
}


@pytest.mark.parametrize(
    ("known", "ranges"),
    [
        ("own", ["10..40"] * 2 + ["100..500"] * 4 + ["1000..3000"] * 3),
        ("previous", ["10..40"] * 6 + ["100..500"] * 3),
    ],
)
def test_a_block_has_its_own_range_or_that_of_the_last_complete_one(known, ranges):
    made = cut_closes(
        STEPS, Windowing(2), BlockMinMax(4, known), Split(Newest(2), min_train_windows=1)
    )
    assert list(zip(made.offset, made.scale, strict=True)) == [RANGES[name] for name in ranges]
    low, span = made.offset[:, None], made.scale[:, None]
    np.testing.assert_allclose(
        made.past[:, :, 0], (np.array([STEPS[i : i + 2] for i in range(9)]) - low) / span
    )


def test_until_a_block_is_complete_the_range_is_of_what_training_saw():
    made = cut_closes(
        [10, 20, 15, 30, 5, 40],
        Windowing(2),
        BlockMinMax(100, "previous"),
        Split(Newest(3), min_train_windows=1),
    )
    assert list(zip(made.offset, made.scale, strict=True)) == [RANGES["10..20"]] * 5
