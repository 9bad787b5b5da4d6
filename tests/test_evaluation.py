"""What a forecaster is worth: on the same windows for all, with intervals calibrated elsewhere."""

import numpy as np
import pytest

from pipeline import evaluation, windows
from pipeline.models.baselines import BASELINES
from pipeline.spec import Windowing
from pipeline.splits import Newest, Split
from tests.made_windows import spec_of, walk


@pytest.fixture(scope="module")
def dataset():
    return windows.load_dataset(windows.encode(walk(400), spec(walk(400))))


def spec(history):
    return spec_of(history, Windowing(30), horizon=2, split=Split(Newest(150), Newest(150), min_train_windows=5))


def naive(part):
    return np.repeat(part.last[:, None], 2, axis=1)


def test_baselines_are_what_a_loop_gives(dataset):
    part = dataset.test
    for row in (0, 7):
        past = part.target_past[row]
        average, weight = sum(past) / len(past), [0.5 ** (len(past) - 1 - k) for k in range(len(past))]
        smoothed = sum(w * price for w, price in zip(weight, past, strict=True)) / sum(weight)
        expected = {"naive": past[-1], "window_average": average, "ema": smoothed}
        said = {name: baseline(part, 2)[row] for name, baseline in BASELINES.items()}
        for name, price in expected.items():
            np.testing.assert_allclose(said[name], [price, price], err_msg=name)


def test_every_forecaster_is_measured_on_the_same_sessions(dataset):
    for name, baseline in BASELINES.items():
        table = evaluation.evaluate(dataset, "d", name, lambda part, baseline=baseline: baseline(part, 2))
        assert table[["split", "horizon", "sessions"]].values.tolist() == [
            ["test", 1, 150],
            ["test", 2, 150],
            ["validation", 1, 150],
            ["validation", 2, 150],
        ]


def test_the_naive_forecast_is_its_own_measure(dataset):
    table = evaluation.evaluate(dataset, "d", "naive", naive)
    assert evaluation.relative_rmse(table, "naive", "test", "naive") == 1.0


def test_intervals_calibrated_on_validation_hold_their_share_of_test(dataset):
    table = evaluation.evaluate(dataset, "d", "naive", naive).query("split == 'test'")
    assert table["coverage_80"].between(0.7, 0.9).all() and table["coverage_95"].between(0.88, 1.0).all()


def test_test_windows_change_no_width_and_validation_windows_no_test_error(dataset):
    def disturbed(split):
        return lambda part: naive(part) * (1.03 if part is getattr(dataset, split) else 1.0)

    before, other_test, other_validation = (
        evaluation.evaluate(dataset, "d", "m", forecaster) for forecaster in (naive, disturbed("test"), disturbed("validation"))
    )
    widths = ["half_width_80", "half_width_95"]
    assert before[widths].equals(other_test[widths]) and not before[widths].equals(other_validation[widths])
    on_test = before["split"] == "test"
    assert before.loc[on_test, "rmse"].equals(other_validation.loc[on_test, "rmse"])


def test_an_interval_is_wide_after_wild_sessions_and_never_below_zero(dataset):
    calm = walk(60)
    wild = calm.copy()
    wild.loc[40:58, "close"] *= np.exp(0.05 * (-1.0) ** np.arange(19))
    units = [windows.cut(table, spec(table)).unit[-1] for table in (calm, wild)]
    assert units[1] > 2 * units[0]
    lower, upper = evaluation.interval(np.array([[10.0, 10.0]]), np.array([4.0]), np.array([1.0, 3.0]))
    assert (lower.tolist(), upper.tolist()) == ([[6.0, 0.0]], [[14.0, 22.0]])


def test_prices_that_stood_still_still_get_an_interval():
    history = walk(60).assign(close=100.0)
    assert windows.cut(history, spec(history)).unit[-1] == pytest.approx(100 * windows.LOWEST_VOLATILITY)


def test_the_mean_step_looks_at_nothing_after_training(dataset):
    steps = np.abs(np.diff(dataset.train.target_past[:, -2:], axis=1))
    assert evaluation.mean_step(dataset) == pytest.approx(float(steps.mean()))
