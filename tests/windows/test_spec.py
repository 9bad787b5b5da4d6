"""Specs: the history that they need, and the split of one that is too short to train on."""

import datetime as dt

import numpy as np
import pytest

from pipeline.errors import NotEnoughHistory
from pipeline.models.baselines import naive
from pipeline.windows.normalisation import ByVolatility, Unscaled
from pipeline.windows.spec import Spec, Windowing
from pipeline.windows.train_test_splits import Fraction, LastYear, Newest, Since, Split
from tests.made_windows import (
    ALL_COLUMNS,
    NORMALISATIONS,
    dataset_of,
    default_spec,
    spec_of,
    walk,
)

FRIDAY = dt.date(2017, 12, 29)


def test_blocks_must_fit_into_the_window():
    with pytest.raises(ValueError, match="7 sessions are no whole number of blocks of 3"):
        Windowing(7, block=3)


@pytest.mark.parametrize(
    ("split", "last"),
    [
        (Split(Newest(252), Newest(252)), FRIDAY),
        (Split(Newest(20), Newest(30), min_train_windows=50), FRIDAY),
        (Split(Fraction(0.1)), FRIDAY),
        (Split(Fraction(0.15), Fraction(0.05)), FRIDAY),
        (Split(LastYear()), FRIDAY),
        (Split(LastYear()), dt.date(2013, 3, 1)),
        (Split(Since(dt.date(2016, 10, 3)), Newest(252)), FRIDAY),
    ],
    ids=str,
)
@pytest.mark.parametrize(("horizon", "outputs"), [(1, 1), (5, 0), (5, 1), (1, 7), (5, 7)])
def test_a_history_of_the_needed_sessions_has_enough_windows_and_one_session_less_too_few(
    split, last, horizon, outputs
):
    window = Windowing(30, outputs=outputs)

    def spec(history):
        return spec_of(history, window, horizon=horizon, split=split)

    needed = spec(walk(100, last=last)).needed_sessions
    histories = [walk(count, last=last) for count in (needed, needed - 1)]
    trained = [len(dataset_of(history, spec(history)).train) for history in histories]
    assert trained == [split.min_train_windows, split.min_train_windows - 1]


def test_a_short_history_is_measured_without_training():
    history = walk(30)
    spec = default_spec(history, split=Split(Newest(100), Newest(100))).without_training(30)
    dataset = dataset_of(history, spec)
    assert not dataset.trainable
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (0, 12, 12)
    assert naive(dataset.test, 2)[:, 0].tolist() == history["close"].tolist()[16:28]
    assert np.isfinite(dataset.test.unit).all()


@pytest.mark.parametrize(("horizon", "enough"), [(1, 3), (2, 5), (5, 14), (10, 29)])
def test_every_short_history_is_measured_or_refused_in_one_line(horizon, enough):
    window = Windowing(60, columns=ALL_COLUMNS, block=3, outputs=0)
    for count in range(1, 40):
        history = walk(count)
        normalisation = NORMALISATIONS[count % len(NORMALISATIONS)]
        spec = spec_of(history, window, normalisation, horizon, Split(LastYear()))
        if count < enough:
            with pytest.raises(NotEnoughHistory) as error:
                spec.without_training(count)
            assert str(error.value) == (
                f"IBM: {count} sessions up to {spec.cutoff}, {enough} needed to measure a forecast "
                f"of {horizon} sessions on. Wait until it has them, or ask for a shorter horizon "
                "(flag --horizon)."
            )
        else:
            dataset = dataset_of(history, spec.without_training(count))
            assert not dataset.trainable
            assert len(dataset.validation) == len(dataset.test) > 0
            assert dataset.validation.sessions.max() < dataset.test.sessions.min()


def test_a_short_history_keeps_its_window_where_a_network_of_other_stocks_is_measured_on_it():
    spec = default_spec(
        walk(100),
        window=Windowing(10, columns=ALL_COLUMNS, outputs=0),
        normalisation=ByVolatility(),
        horizon=2,
    )
    enough = 10 + 2 + 2 * 40  # a window, the sessions that two parts share, 40 for either
    kept = spec.without_training(enough, as_it_is=True)
    assert (kept.window, kept.normalisation) == (spec.window, ByVolatility())
    assert kept.split.test == Newest(40)
    # No session is among them that the other stocks were trained on.
    long = spec.without_training(900, as_it_is=True)
    assert (long.split.test, long.split.validation) == (Newest(252), Newest(252))
    for shortened in (
        spec.without_training(enough - 1, as_it_is=True),
        spec.without_training(enough),
    ):
        assert (shortened.window, shortened.normalisation) == (Windowing(10), Unscaled())


def test_the_spec_of_a_file_from_before_there_were_embargoes_has_none():
    spec = default_spec(walk(40))
    values = spec.to_json()
    del values["split"]["embargo"]
    assert Spec.from_json(values) == spec
