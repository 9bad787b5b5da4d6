"""What a forecaster is worth: on the same windows for all, calibrated by nothing that had not come."""

import numpy as np
import pytest

from pipeline import calibration, evaluation, windows
from pipeline.models.baselines import BASELINES
from pipeline.quantiles import COLUMNS, PROBABILITIES
from pipeline.spec import Windowing
from pipeline.splits import Newest, Split
from tests.made_windows import spec_of, walk

#: Half as wide as the standard normal distribution's quantiles.
NARROW = np.array([-0.98, -0.641, -0.337, 0.0, 0.337, 0.641, 0.98])


@pytest.fixture(scope="module")
def dataset():
    return windows.load_dataset(windows.encode(walk(600), spec(walk(600))))


def spec(history):
    return spec_of(history, Windowing(30), horizon=2, split=Split(Newest(150), Newest(150), min_train_windows=5))


def said(part, factor=1.0):
    """Quantiles about the last price that are half as wide as they should be."""
    roots = np.sqrt([[1], [2]])
    return part.last[:, None, None] + part.unit[:, None, None] * (roots * NARROW)[None] * factor


def evaluated(dataset, validation=None, test=None):
    validation = said(dataset.validation) if validation is None else validation
    test = said(dataset.test) if test is None else test
    return evaluation.evaluate([evaluation.Measurable(dataset, "d", "m", validation, test)])[0]


def test_every_forecaster_is_measured_on_the_same_sessions(dataset):
    for baseline in BASELINES.values():
        forecaster = baseline.fit(dataset.train, 2)
        table = evaluated(dataset, forecaster(dataset.validation), forecaster(dataset.test))
        assert table[["split", "horizon", "sessions"]].values.tolist() == [
            ["test", 1, 150],
            ["test", 2, 150],
            ["validation", 1, 150],
            ["validation", 2, 150],
        ]


def test_validation_is_measured_as_said_and_test_as_calibrated_day_by_day(dataset):
    table = evaluated(dataset).set_index(["split", "horizon"])
    raw = said(dataset.validation)
    inside = (dataset.validation.actual >= raw[:, :, 1]) & (dataset.validation.actual <= raw[:, :, 5])
    assert table.loc["validation", "coverage_80"].tolist() == pytest.approx(inside.mean(axis=0).tolist())

    actual = np.concatenate([dataset.validation.actual, dataset.test.actual])
    position = np.concatenate([dataset.validation.position, dataset.test.position])
    calibrated = calibration.replay(actual, np.concatenate([raw, said(dataset.test)]), position).quantiles[150:]
    np.testing.assert_array_equal(evaluation.calibrated_test(dataset, raw, said(dataset.test)), calibrated)
    inside = (dataset.test.actual >= calibrated[:, :, 1]) & (dataset.test.actual <= calibrated[:, :, 5])
    assert table.loc["test", "coverage_80"].tolist() == pytest.approx(inside.mean(axis=0).tolist())


def test_too_narrow_a_forecaster_is_wider_on_test_from_its_first_session_on(dataset):
    calibrated = evaluation.calibrated_test(dataset, said(dataset.validation), said(dataset.test))
    raw = said(dataset.test)
    assert ((calibrated[:, :, 6] - calibrated[:, :, 0]) > (raw[:, :, 6] - raw[:, :, 0])).all()
    np.testing.assert_allclose(calibrated[:, :, 3], raw[:, :, 3])


def test_later_test_sessions_change_nothing_of_earlier_ones_and_test_nothing_of_validation(dataset):
    later = said(dataset.test)
    later[100:] *= 1.05
    ours, theirs = (evaluation.calibrated_test(dataset, said(dataset.validation), test) for test in (said(dataset.test), later))
    np.testing.assert_array_equal(ours[:100], theirs[:100])
    before, after = (evaluated(dataset, test=test).query("split == 'validation'") for test in (None, later))
    assert before.equals(after)


def test_the_figures_of_a_point_are_those_of_the_median(dataset):
    table = evaluated(dataset).query("split == 'validation'")
    error = dataset.validation.actual - dataset.validation.last[:, None]
    assert table["rmse"].tolist() == pytest.approx(np.sqrt((error**2).mean(axis=0)).tolist())


# --- a distribution for a point forecast -----------------------------------------------------------------------------------------


def test_a_points_spread_is_that_of_its_errors_on_validation_in_units_of_volatility(dataset):
    points, (part, test) = np.repeat(dataset.validation.last[:, None], 2, axis=1), (dataset.validation, dataset.test)
    later = np.repeat(test.last[:, None], 2, axis=1)
    _, [quantiles] = evaluation.distributions(part, points, [(test, later)])
    for horizon in range(2):
        errors = sorted(
            (part.actual[row, horizon] - points[row, horizon]) / (part.last[row] * part.volatility[row]) for row in range(len(part))
        )
        for place, probability in enumerate(PROBABILITIES):
            below = int(probability * 149)  # between the two order statistics next to it
            share = probability * 149 - below
            shape = errors[below] * (1 - share) + errors[below + 1] * share
            expected = [later[row, horizon] + test.last[row] * test.volatility[row] * shape for row in range(len(test))]
            np.testing.assert_allclose(quantiles[:, horizon, place], expected)


def test_no_validation_session_is_measured_by_its_own_error(dataset):
    part, points = dataset.validation, np.repeat(dataset.validation.last[:, None], 2, axis=1)
    wild = windows.dataclasses.replace(part, ahead=np.concatenate([part.ahead[:75] * 3, part.ahead[75:]]))
    ours, theirs = (evaluation.distributions(windows_, points, [])[0] for windows_ in (part, wild))
    np.testing.assert_array_equal(ours[:75], theirs[:75])
    assert (ours[75:] != theirs[75:]).any(axis=(1, 2)).all()


def test_distributions_never_reach_below_zero(dataset):
    part, points = dataset.validation, np.full((150, 2), 1e-3)
    points[75:] = 10 * part.last[75:, None]  # far too high: what comes is far below what is said
    own, [later] = evaluation.distributions(part, points, [(dataset.test, np.full((150, 2), 1e-3))])
    assert own[:75].max() == 0.0 and own.min() == later.min() == 0.0


def test_a_single_validation_window_has_its_own_error():
    history = walk(60)
    short = windows.load_dataset(
        windows.encode(history, spec_of(history, Windowing(30), split=Split(Newest(1), Newest(1), min_train_windows=1)))
    )
    own, [later] = evaluation.distributions(
        short.validation, short.validation.last[:, None], [(short.test, short.test.last[:, None])]
    )
    np.testing.assert_allclose(own[0, 0], [short.validation.actual[0, 0]] * 7)
    assert later.shape == (1, 1, 7) and np.isfinite(later).all()


# --- rows ----------------------------------------------------------------------------------------------------------------------------


def test_a_prediction_is_one_row_per_horizon_with_a_column_per_quantile():
    quantiles = np.arange(14.0).reshape(2, 7)
    rows = evaluation.predictions({("live", "ewma"): quantiles})
    assert rows[["dataset", "model", "horizon"]].values.tolist() == [["live", "ewma", 1], ["live", "ewma", 2]]
    np.testing.assert_array_equal(rows[list(COLUMNS)], quantiles)


def test_the_mean_step_looks_at_nothing_after_training(dataset):
    steps = np.abs(np.diff(dataset.train.target_past[:, -2:], axis=1))
    assert evaluation.mean_step(dataset) == pytest.approx(float(steps.mean()))
