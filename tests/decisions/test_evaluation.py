"""Evaluation: the same windows for all, and calibration by earlier sessions alone."""

import dataclasses

import numpy as np
import pytest

from pipeline.decisions import (
    ModelForecasts,
    SplitForecasts,
    calibrated,
    calibrated_test,
    evaluate,
    prediction_rows,
    quantiles_of,
)
from pipeline.decisions.evaluation import mean_step
from pipeline.measures import calibration
from pipeline.models import BASELINES
from pipeline.quantiles import PROBABILITIES, QUANTILE_COLUMNS
from pipeline.windows import Newest, Split, Windowing, encode, load_dataset
from tests.made_windows import spec_of, walk

#: Half as wide as the standard normal distribution's quantiles.
NARROW = np.array([-0.98, -0.641, -0.337, 0.0, 0.337, 0.641, 0.98])


def dataset_with(history, held_out, horizon=1, fewest=1):
    split = Split(Newest(held_out), Newest(held_out), min_train_windows=fewest)
    return load_dataset(encode(history, spec_of(history, Windowing(30), None, horizon, split)))


@pytest.fixture(scope="module")
def dataset():
    return dataset_with(walk(600), 150, horizon=2, fewest=5)


def narrow(windows):
    """Return quantiles about the last price that are half as wide as they should be."""
    roots = np.sqrt([[1], [2]])
    return windows.last[:, None, None] + windows.unit[:, None, None] * (roots * NARROW)[None]


def forecasts_of(dataset, test=None):
    return SplitForecasts(
        narrow(dataset.validation), narrow(dataset.test) if test is None else test
    )


def evaluated(dataset, forecasts=None):
    """Return EVALUATIONS rows of one model."""
    model = ModelForecasts(dataset, "d", "m", forecasts or forecasts_of(dataset))
    return evaluate([model])[0]


def coverage_80(actual, quantiles):
    inside = (actual >= quantiles[:, :, 1]) & (actual <= quantiles[:, :, 5])
    return pytest.approx(inside.mean(axis=0).tolist())


def test_every_forecaster_is_measured_on_the_same_sessions(dataset):
    for baseline in BASELINES.values():
        fitted = baseline.fit(dataset.train, 2)
        forecasts = SplitForecasts(fitted(dataset.validation), fitted(dataset.test))
        table = evaluated(dataset, forecasts)
        assert table[["split", "horizon", "sessions"]].values.tolist() == [
            ["test", 1, 150],
            ["test", 2, 150],
            ["validation", 1, 150],
            ["validation", 2, 150],
        ]


def test_validation_is_measured_as_forecast_and_test_as_calibrated_day_by_day(dataset):
    table = evaluated(dataset).set_index(["split", "horizon"])
    raw, forecasts = narrow(dataset.validation), forecasts_of(dataset)
    assert table.loc["validation", "coverage_80"].tolist() == coverage_80(
        dataset.validation.actual, raw
    )

    actual = np.concatenate([dataset.validation.actual, dataset.test.actual])
    position = np.concatenate([dataset.validation.position, dataset.test.position])
    quantiles = np.concatenate([raw, narrow(dataset.test)])
    replayed = calibration.replay(actual, quantiles, position).quantiles
    np.testing.assert_array_equal(calibrated(dataset, forecasts), replayed)
    np.testing.assert_array_equal(calibrated_test(dataset, forecasts), replayed[150:])
    assert table.loc["test", "coverage_80"].tolist() == coverage_80(
        dataset.test.actual, replayed[150:]
    )


def test_models_that_are_evaluated_together_are_evaluated_as_if_alone(dataset):
    other = dataset_with(walk(400, seed=1), 100, horizon=2, fewest=5)
    models = [
        ModelForecasts(each, f"d{len(each.test)}", "m", forecasts_of(each))
        for each in (dataset, other)
    ]
    together, quantiles = evaluate(models)
    assert len(together) == 8
    for model, of_model in zip(models, quantiles, strict=True):
        alone, [expected] = evaluate([model])
        rows = together[together["dataset"] == model.dataset_id].reset_index(drop=True)
        assert rows.equals(alone)
        np.testing.assert_array_equal(of_model, expected)


def test_too_narrow_a_forecaster_is_wider_on_test_from_its_first_session_on(dataset):
    quantiles = calibrated_test(dataset, forecasts_of(dataset))
    raw = narrow(dataset.test)
    assert ((quantiles[:, :, 6] - quantiles[:, :, 0]) > (raw[:, :, 6] - raw[:, :, 0])).all()
    np.testing.assert_allclose(quantiles[:, :, 3], raw[:, :, 3])


def test_later_test_sessions_change_nothing_of_earlier_ones_and_test_nothing_of_validation(dataset):
    later = narrow(dataset.test)
    later[100:] *= 1.05
    both = forecasts_of(dataset), forecasts_of(dataset, later)
    ours, theirs = (calibrated_test(dataset, forecasts) for forecasts in both)
    np.testing.assert_array_equal(ours[:100], theirs[:100])
    before, after = (
        evaluated(dataset, forecasts).query("split == 'validation'") for forecasts in both
    )
    assert before.equals(after)


def test_the_figures_of_a_point_are_those_of_the_median(dataset):
    table = evaluated(dataset).query("split == 'validation'")
    error = dataset.validation.actual - dataset.validation.last[:, None]
    assert table["rmse"].tolist() == pytest.approx(np.sqrt((error**2).mean(axis=0)).tolist())


def test_forecasts_are_blended_on_both_splits(dataset):
    ours = forecasts_of(dataset)
    other = SplitForecasts(ours.validation + 8, ours.test + 4)
    blended = ours.blended(other, 0.75)
    np.testing.assert_allclose(blended.validation, ours.validation + 2)
    np.testing.assert_allclose(blended.test, ours.test + 1)


# A distribution for a point forecast


def last_values(windows, horizon=2):
    return np.repeat(windows.last[:, None], horizon, axis=1)


def test_a_points_spread_is_that_of_its_errors_on_validation_in_units_of_volatility(dataset):
    validation, test = dataset.validation, dataset.test
    points, later = last_values(validation), last_values(test)
    _, quantiles = quantiles_of(validation, [points, later], [test])
    for horizon in range(2):
        errors = sorted(
            (validation.actual[row, horizon] - points[row, horizon])
            / (validation.last[row] * validation.volatility[row])
            for row in range(len(validation))
        )
        for place, probability in enumerate(PROBABILITIES):
            below = int(probability * 149)  # between the two order statistics next to it
            share = probability * 149 - below
            shape = errors[below] * (1 - share) + errors[below + 1] * share
            expected = [
                later[row, horizon] + test.last[row] * test.volatility[row] * shape
                for row in range(len(test))
            ]
            np.testing.assert_allclose(quantiles[:, horizon, place], expected)


def test_no_validation_session_is_measured_by_its_own_error(dataset):
    validation = dataset.validation
    ahead = np.concatenate([validation.ahead[:75] * 3, validation.ahead[75:]])
    wild = dataclasses.replace(validation, ahead=ahead, ahead_with_dividends=ahead)
    ours, theirs = (
        quantiles_of(windows, [last_values(windows)], [])[0] for windows in (validation, wild)
    )
    np.testing.assert_array_equal(ours[:75], theirs[:75])
    assert (ours[75:] != theirs[75:]).any(axis=(1, 2)).all()


def test_distributions_never_reach_below_zero(dataset):
    validation, points = dataset.validation, np.full((150, 2), 1e-3)
    points[75:] = 10 * validation.last[75:, None]  # far too high
    own, later = quantiles_of(validation, [points, np.full((150, 2), 1e-3)], [dataset.test])
    assert own[:75].max() == 0.0 and own.min() == later.min() == 0.0


def test_a_single_validation_window_has_its_own_error():
    short = dataset_with(walk(60), held_out=1)
    points = [last_values(part, 1) for part in (short.validation, short.test)]
    own, later = quantiles_of(short.validation, points, [short.test])
    np.testing.assert_allclose(own[0, 0], [short.validation.actual[0, 0]] * 7)
    assert later.shape == (1, 1, 7) and np.isfinite(later).all()


def test_forecast_quantiles_stay_as_they_are_but_for_those_below_zero(dataset):
    quantiles = narrow(dataset.validation)
    below = quantiles - 2 * quantiles.max()
    same, zero = quantiles_of(dataset.validation, [quantiles, below], [dataset.test])
    np.testing.assert_array_equal(same, quantiles)
    assert (zero == 0).all()


# Rows


def test_a_prediction_is_one_row_per_horizon_with_a_column_per_quantile():
    quantiles = np.arange(14.0).reshape(2, 7)
    rows = prediction_rows({("live", "ewma"): quantiles})
    assert rows[["dataset", "model", "horizon"]].values.tolist() == [
        ["live", "ewma", 1],
        ["live", "ewma", 2],
    ]
    np.testing.assert_array_equal(rows[list(QUANTILE_COLUMNS)], quantiles)
    assert prediction_rows({}).empty


def test_the_mean_step_looks_at_nothing_after_training(dataset):
    steps = np.abs(np.diff(dataset.train.target_past[:, -2:], axis=1))
    assert mean_step(dataset) == pytest.approx(float(steps.mean()))
