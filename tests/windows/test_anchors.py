"""What a baseline forecasts, in a history and in its dataset file; and what stands in for it."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest

from pipeline.windows import (
    ByHar,
    Windowing,
    decode,
    encode,
    load_dataset,
    load_replay,
    training_part,
    with_anchors,
)
from pipeline.windows.anchors import anchor_columns, anchors_of
from tests.made_windows import ALL_COLUMNS, spec_of, walk

HORIZON, COUNT = 3, 400


@pytest.fixture(scope="module")
def made():
    """A history with anchors, and its spec."""
    history, random = walk(COUNT, 1), np.random.default_rng(2)
    centres = random.normal(scale=0.002, size=(COUNT, HORIZON))
    deviations = random.uniform(0.01, 0.02, size=(COUNT, 1)) * np.sqrt([1, 2, 3])
    window = Windowing(10, columns=ALL_COLUMNS, outputs=0)
    spec = spec_of(history, window, horizon=HORIZON, normalisation=ByHar())
    return with_anchors(history, centres, deviations), spec


def test_a_file_keeps_anchors_and_their_quantiles_and_so_does_its_training_part(made):
    history, spec = made
    anchor = tuple(tuple(map(float, range(at, at + 7))) for at in range(HORIZON))
    file = encode(history, dataclasses.replace(spec, anchor=anchor))
    for data in (file, training_part(file)):
        read_spec, read = decode(data)
        assert read_spec.anchor == anchor
        names = [*(f"centre_{h}" for h in (1, 2, 3)), *(f"deviation_{h}" for h in (1, 2, 3))]
        assert anchor_columns(read) == names
        kept = history[names].to_numpy()[: len(read)].astype("float32")
        assert np.array_equal(read[names].to_numpy("float32"), kept)


def test_a_file_without_anchors_is_what_it_was(made):
    history, spec = made
    plain = history.drop(columns=anchor_columns(history))
    with np.load(io.BytesIO(encode(plain, spec))) as arrays:
        assert arrays.files == ["spec", "sessions", "values"]
        assert b"anchor" not in arrays["spec"].tobytes()


def test_a_prediction_of_zero_is_the_centre_and_one_is_a_deviation_more(made):
    history, spec = made
    test = load_dataset(encode(history, spec)).test
    rows = history[anchor_columns(history)].to_numpy("float32")[test.position]
    centres, deviations = rows[:, :HORIZON], rows[:, HORIZON:]
    for shock in (0.0, 1.0):
        prices = test.to_prices(np.full((len(test), HORIZON), shock))
        expected = test.last[:, None] * np.exp(centres + shock * deviations)
        np.testing.assert_allclose(prices, expected, rtol=1e-6)
    np.testing.assert_allclose(test.from_prices(prices[:, :2]), 1.0)
    np.testing.assert_allclose(test.to_prices(test.future), test.actual_with_dividends, rtol=1e-6)
    twice = test.to_prices(np.repeat(np.zeros((len(test), HORIZON)), 2, axis=1))
    np.testing.assert_allclose(twice[:, ::2], twice[:, 1::2])
    with pytest.raises(ValueError, match="2 outputs cannot be shared out among the 3 sessions"):
        test.to_prices(np.zeros((len(test), HORIZON - 1)))


def test_where_nothing_is_forecast_ewma_volatility_stands_in(made):
    history, spec = made
    volatility = np.full(COUNT, 0.02)
    walk_alone = 0.02 * np.sqrt([1, 2, 3])
    plain = history.drop(columns=anchor_columns(history))
    stand_in = anchors_of(plain, spec, volatility)
    np.testing.assert_allclose(stand_in.deviations, np.tile(walk_alone, (COUNT, 1)))
    assert not stand_in.centres.any()
    young = history.copy()
    young.loc[:21, anchor_columns(young)] = np.nan
    mixed = anchors_of(young, spec, volatility)
    np.testing.assert_allclose(mixed.deviations[:22], np.tile(walk_alone, (22, 1)))
    assert np.array_equal(
        mixed.deviations[22:], anchors_of(history, spec, volatility).deviations[22:]
    )


def test_a_session_is_seen_as_it_was_expected_the_session_before(made):
    history, spec = made
    replay = load_replay(encode(history, spec))
    again = dataclasses.replace(spec, window=dataclasses.replace(spec.window, context_length=20))
    longer = load_replay(encode(history, again))
    # Whatever the window's end, and its length.
    np.testing.assert_allclose(longer.past[-1, -10:], replay.past[-1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(replay.past[-2, 1:], replay.past[-1, :-1])
    assert replay.past.shape[2] == ByHar.features


def test_deviations_after_a_session_change_nothing_before_it(made):
    history, spec = made
    file = encode(history, spec)
    changed = history.copy()
    changed.loc[COUNT - 5 :, anchor_columns(changed)] *= 3
    ours, theirs = (load_replay(each) for each in (file, encode(changed, spec)))
    before = ours.position < COUNT - 5
    assert np.array_equal(ours.past[before], theirs.past[before])
    assert np.array_equal(ours.scale[before], theirs.scale[before])
    assert not np.array_equal(ours.scale[~before], theirs.scale[~before])
