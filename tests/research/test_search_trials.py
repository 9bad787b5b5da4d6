"""Trials: their losses, what fails, and their rows in the store."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.decisions import SplitForecasts
from pipeline.errors import RunError, TryAgain
from pipeline.outcomes import Outcomes
from pipeline.quantiles import PROBABILITIES
from pipeline.research import search_trials
from pipeline.research.search import TrialState
from pipeline.research.search_plan import SearchRequest
from pipeline.research.search_trials import kept_trials, run_trial
from pipeline.tables import TRIALS
from pipeline.windows import load_dataset
from tests.made_days import SMALL
from tests.made_searches import FormulaForecasts, SearchParts, wider, width_of

Forecasts = Callable[..., Outcomes[SplitForecasts]]


@pytest.fixture
def parts(tmp_path):
    with SearchParts(tmp_path) as made:
        yield made


@pytest.fixture
def forecast_by(monkeypatch):
    """Return a function that puts another one in the place of `network_forecasts`."""

    def replace(forecasts: Forecasts) -> None:
        monkeypatch.setattr(search_trials, "network_forecasts", forecasts)

    return replace


def pinball(test, quantiles) -> float:
    """Return the mean pinball loss relative to the last price, by plain loops."""
    total = []
    for row in range(len(test)):
        for ahead in range(5):
            for number, probability in enumerate(PROBABILITIES):
                error = test.actual[row, ahead] - quantiles[row, ahead, number]
                weight = probability if error >= 0 else probability - 1
                total.append(weight * error / test.last[row])
    return float(np.mean(total))


def test_a_trials_loss_is_that_of_plain_loops(parts, forecast_by):
    forecast_by(FormulaForecasts())
    plan = parts.plan(SearchRequest(1, 2))
    trial = run_trial(parts, plan, [])
    means = []
    for fold in plan.folds:
        ratios = []
        for file in fold.files.values():
            dataset = load_dataset(file)
            ewma, forecasts = (wider(dataset, width).test for width in (1, width_of(SMALL)))
            ratios.append(pinball(dataset.test, forecasts) / pinball(dataset.test, ewma))
        means.append(np.mean(ratios))
    assert trial.steps == pytest.approx((means[0], np.mean(means)))
    assert trial.state == TrialState.COMPLETE


def test_a_trial_comes_back_from_the_store_as_it_was(parts, forecast_by):
    forecast_by(FormulaForecasts())
    plan = parts.plan()
    first = run_trial(parts, plan, [])
    second = run_trial(parts, plan, [first])
    assert kept_trials(parts, plan) == [first, second]
    rows = parts.store.load(TRIALS)
    assert list(rows["study"]) == ["two-default-close"] * 2
    assert list(rows["value"]) == [first.value, second.value]
    assert json.loads(rows["params"].iloc[0])["means"] == [1, 5]
    other = parts.plan(SearchRequest(6, 1))
    assert kept_trials(parts, other) == []


def diverging(parts, step, recipe, files, seed):
    """Forecast as `FormulaForecasts` does with the recipe as it is, and fail with others."""
    if recipe == SMALL:
        return FormulaForecasts()(parts, step, recipe, files, seed)
    failures = {ticker: RunError(f"{ticker}: its training has diverged.") for ticker in files}
    return Outcomes(failures=failures)


def test_a_trial_that_fails_is_kept_as_failed_and_the_search_goes_on(parts, forecast_by):
    forecast_by(diverging)
    plan = parts.plan()
    parts.run_trials(plan, 3)
    trials = kept_trials(parts, plan)
    complete, failed = TrialState.COMPLETE, TrialState.FAILED
    assert [trial.state for trial in trials] == [complete, failed, failed]
    message = "fold 1 of 2 failed: AAA: its training has diverged."
    assert ("tune", "", message) in parts.messages


def failing(error):
    return lambda parts, step, recipe, files, seed: Outcomes(failures=dict.fromkeys(files, error))


def test_a_recipe_that_cannot_be_measured_as_it_is_ends_the_search(parts, forecast_by):
    forecast_by(failing(RunError("AAA: diverged.")))
    plan = parts.plan()
    with pytest.raises(RunError, match=r"AAA: diverged\."):
        run_trial(parts, plan, [])
    assert kept_trials(parts, plan) == []


def test_a_trial_that_can_be_tried_again_is_not_kept_as_failed(parts, forecast_by):
    forecast_by(FormulaForecasts())
    plan = parts.plan()
    first = run_trial(parts, plan, [])
    forecast_by(failing(TryAgain("AAA: its training process was killed.")))
    with pytest.raises(TryAgain, match="was killed"):
        run_trial(parts, plan, [first])
    assert kept_trials(parts, plan) == [first]
