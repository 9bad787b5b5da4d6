"""The standing opponents: their points against plain loops, their distributions learnt from training alone."""

import dataclasses

import numpy as np
import pytest

from pipeline import windows
from pipeline.models import baselines
from pipeline.models.baselines import BASELINES, FEWEST, NORMAL
from pipeline.quantiles import PROBABILITIES, coverage
from pipeline.spec import Windowing
from pipeline.splits import Newest, Split
from tests.made_windows import spec_of, walk

HELD_OUT = Split(Newest(150), Newest(150), min_train_windows=5)


def dataset_of(history, split=HELD_OUT):
    return windows.load_dataset(windows.encode(history, spec_of(history, Windowing(30), horizon=2, split=split)))


@pytest.fixture(scope="module")
def dataset():
    return dataset_of(walk(700))


def test_points_are_what_a_loop_gives(dataset):
    part = dataset.test
    for row in (0, 7):
        past = part.target_past[row]
        weight = [0.5 ** (len(past) - 1 - k) for k in range(len(past))]
        smoothed = sum(w * price for w, price in zip(weight, past, strict=True)) / sum(weight)
        expected = {
            baselines.naive: past[-1],
            baselines.window_average: sum(past) / len(past),
            baselines.exponential_moving_average: smoothed,
        }
        for baseline, price in expected.items():
            np.testing.assert_allclose(baseline(part, 2)[row], [price, price], err_msg=baseline.__name__)


@pytest.mark.parametrize("name", BASELINES)
def test_a_distribution_is_the_point_with_the_quantiles_of_the_errors_that_training_saw(name, dataset):
    baseline, train = BASELINES[name], dataset.train
    said = baseline.fit(train, 2)(dataset.test)
    assert said.shape == (150, 2, 7)
    unit = {"naive": lambda part: part.last}.get(name, lambda part: part.last * part.volatility)
    points, learnt = baseline.point(dataset.test, 2), baseline.point(train, 2)
    for horizon in range(2):
        errors = sorted((train.actual[row, horizon] - learnt[row, horizon]) / unit(train)[row] for row in range(len(train)))
        for place, probability in enumerate(PROBABILITIES):
            at = probability * (len(errors) - 1)
            below = int(at)
            shape = errors[below] + (at - below) * (errors[min(below + 1, len(errors) - 1)] - errors[below])
            np.testing.assert_allclose(said[:, horizon, place], points[:, horizon] + unit(dataset.test) * shape)


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_is_learnt_from_validation_or_test(name, dataset):
    history = walk(700)
    first = int(dataset.train.position[-1]) + 2  # the last session that training knows
    history.loc[first + 1 :, list(windows.COLUMNS)] *= np.linspace(2, 5, len(history) - first - 1)[:, None]
    other = dataset_of(history)
    np.testing.assert_array_equal(other.train.actual, dataset.train.actual)
    ours, theirs = (BASELINES[name].fit(each.train, 2)(dataset.test) for each in (dataset, other))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", BASELINES)
def test_too_few_windows_have_no_shape_of_their_own(name, dataset):
    roots = np.sqrt([[1.0], [2.0]])
    normal = roots * np.array(NORMAL)
    part, baseline = dataset.test, BASELINES[name]
    expected = baseline.point(part, 2)[:, :, None] + (part.last * part.volatility)[:, None, None] * normal[None]
    for count in (0, FEWEST - 1):
        np.testing.assert_allclose(baseline.fit(dataset.train.take(slice(count)), 2)(part), expected)
    assert not np.allclose(baseline.fit(dataset.train.take(slice(FEWEST)), 2)(part), expected)


def test_the_random_walks_spread_follows_the_volatility_and_the_naive_forecasts_does_not(dataset):
    calm = dataset.test
    wild = dataclasses.replace(calm, volatility=calm.volatility * 3)
    for name, factor in (("naive", 1), ("ewma", 3)):
        forecaster = BASELINES[name].fit(dataset.train, 2)
        widths = [said[:, :, 6] - said[:, :, 0] for said in (forecaster(calm), forecaster(wild))]
        np.testing.assert_allclose(widths[1], factor * widths[0])
        spread = widths[0][:, 0] / calm.last
        assert (np.ptp(spread) < 1e-12) == (name == "naive")


def test_distributions_cover_as_they_say_on_sessions_like_those_of_training(dataset):
    for name in ("naive", "ewma"):
        said = BASELINES[name].fit(dataset.train, 2)(dataset.test)
        for level in (50, 80, 95):
            np.testing.assert_allclose(coverage(dataset.test.actual, said, level), level / 100, atol=0.12)


def test_no_price_is_forecast_below_nought(dataset):
    part = dataclasses.replace(dataset.test, volatility=np.full(150, 0.9))
    for baseline in BASELINES.values():
        said = baseline.fit(dataset.train.take(slice(0)), 2)(part)
        assert said.min() == 0.0 and (np.diff(said, axis=2) >= 0).all()


def test_the_linear_model_is_fitted_on_training_alone(dataset):
    said = baselines.linear(dataset.train, dataset.test)
    changed = dataclasses.replace(dataset.test, ahead=dataset.test.ahead * 2)
    np.testing.assert_array_equal(baselines.linear(dataset.train, changed), said)
