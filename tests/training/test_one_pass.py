"""One pass: how a history is cut into stretches, and what a network answers along them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.models import DEFAULT, Examples, Shape
from pipeline.quantiles import QUANTILE_COUNT
from pipeline.training.numpy_networks import numpy_network
from pipeline.training.numpy_passes import seen_in_one_pass
from pipeline.training.one_pass import in_a_row, over_sessions, passes, windowed
from pipeline.windows import Stretch

STEPS, SPAN, FEATURES, HORIZON = 4, 3, 8, 2


def made_stretch(count: int) -> Stretch:
    """Return a history whose session t shows t, and has the targets t and -t."""
    numbers = np.arange(count, dtype="float32")
    ends = np.zeros(count, bool)
    past = np.repeat(numbers[:, None], FEATURES, axis=1)
    return Stretch(None, past, np.stack([numbers, -numbers], axis=1), ends, ends)


def test_stretches_follow_each_other_and_only_windows_that_count_have_targets():
    ends = np.array([False] * 5 + [True, False, True, True, False, True])
    past, future = passes(made_stretch(11), ends, STEPS, SPAN)
    assert past.shape == (3, STEPS + SPAN - 1, FEATURES)
    assert past[:, :, 0].tolist() == [
        [0, 1, 2, 3, 4, 5],
        [3, 4, 5, 6, 7, 8],
        [6, 7, 8, 9, 10, 0],  # after the history's end
    ]
    nan = float("nan")
    np.testing.assert_array_equal(future[:, :, 0], [[nan, nan, 5], [nan, 7, 8], [nan, 10, nan]])
    np.testing.assert_array_equal(future[:, :, 1], -future[:, :, 0])


def test_stretches_without_a_window_that_counts_are_left_out():
    ends = np.zeros(11, bool)
    ends[6] = True
    past, future = passes(made_stretch(11), ends, STEPS, SPAN)
    assert past[:, :, 0].tolist() == [[3, 4, 5, 6, 7, 8]]
    assert np.isfinite(future[0]).all(axis=1).tolist() == [True, False, False]
    for count in (STEPS - 1, STEPS):
        short = np.zeros(count, bool)
        assert passes(made_stretch(count), short, STEPS, SPAN)[0].shape == (0, 6, FEATURES)


def test_the_sessions_in_which_windows_end_are_what_a_network_is_scaled_by():
    ends = np.array([False] * 5 + [True, False, True, True, False, True])
    past, future = passes(made_stretch(11), ends, STEPS, SPAN)
    flat = in_a_row(Examples({"past": past}, future), SPAN)
    assert flat.inputs["past"][:, 0, 0].tolist() == flat.targets[:, 0].tolist() == [5, 7, 8, 10]


# With Keras


@pytest.fixture(scope="module")
def networks():
    """A network for windows and the same one in one pass, with made weights."""
    import keras

    random = np.random.default_rng(1)
    row = random.normal(size=(1, FEATURES))
    shape = Shape(
        20, FEATURES, HORIZON, row, np.exp(row), np.ones(HORIZON), made_anchor(), ("AAA",)
    )
    network = replace(DEFAULT.network, units=3, means=(1, 5, 60))
    span = 7
    in_one_pass = network.build_pass(shape, span, keras.layers.LSTM)
    for weight in in_one_pass.trainable_weights:
        weight.assign(random.normal(scale=0.3, size=weight.shape))
    return windowed(network.build(shape, keras.layers.LSTM), in_one_pass), in_one_pass, span


def made_anchor() -> np.ndarray:
    return np.sort(np.random.default_rng(2).normal(size=(HORIZON, QUANTILE_COUNT)), axis=1)


def answers(model, past: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    return np.asarray(model([tf.constant(past), tf.constant([["AAA"]] * len(past))]))


@pytest.mark.slow
def test_a_window_is_answered_as_the_pass_answers_its_first(networks):
    window, in_one_pass, span = networks
    past = np.random.default_rng(3).normal(size=(5, 19 + span, FEATURES)).astype("float32")
    along = answers(in_one_pass, past)
    assert along.shape == (5, span, HORIZON * QUANTILE_COUNT)
    np.testing.assert_allclose(answers(window, past[:, :20]), along[:, 0], rtol=1e-5, atol=1e-5)
    # Where the sessions before a window are what an LSTM has forgotten, the others are, too.
    forgetful = [np.array(each) for each in window.get_layer("lstm").get_weights()]
    forgetful[2][3:6] = -50.0  # the forget gates
    forgetful[1][:] = 0.0
    for model in (window, in_one_pass):
        model.get_layer("lstm").set_weights(forgetful)
    along = answers(in_one_pass, past)
    for at in range(span):
        each = answers(window, past[:, at : at + 20])
        np.testing.assert_allclose(each, along[:, at], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_numpy_sees_along_a_pass_what_keras_sees(networks):
    import keras
    import tensorflow as tf

    from pipeline.training.keras_files import plain_file

    window, in_one_pass, span = networks
    past = np.random.default_rng(4).normal(size=(6, 19 + span, FEATURES)).astype("float32")
    seen = keras.Model(in_one_pass.inputs, in_one_pass.get_layer("log_growth").input)
    expected = np.asarray(seen([tf.constant(past), tf.constant([["AAA"]] * 3 + [["?"]] * 3)]))
    network = numpy_network(plain_file(window))
    symbols = np.array([["AAA"]] * 3 + [["?"]] * 3, dtype=object)
    ours = seen_in_one_pass(network, "log_growth", past, symbols)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    alone = seen_in_one_pass(network, "log_growth", past[4:5], symbols[4:5])
    assert np.array_equal(alone[0], ours[4])


@pytest.mark.slow
def test_the_loss_of_a_pass_is_that_of_the_windows_that_count():
    loss = DEFAULT.loss.make(np.array([1.0, 2.0]))
    random = np.random.default_rng(5)
    actual = random.normal(size=(4, SPAN, HORIZON)).astype("float32")
    forecast = random.normal(size=(4, SPAN, HORIZON * QUANTILE_COUNT)).astype("float32")
    counts = random.random((4, SPAN)) < 0.5
    expected = np.asarray(loss(actual[counts], forecast[counts])).mean()
    actual[~counts] = np.nan
    assert float(over_sessions(loss)(actual, forecast)) == pytest.approx(expected, rel=1e-6)
    actual[:] = np.nan
    assert float(over_sessions(loss)(actual, forecast)) == 0.0
