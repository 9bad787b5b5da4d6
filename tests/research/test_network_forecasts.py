"""Forecasts of networks on made datasets: which networks are trained, and what is kept."""

import dataclasses

import numpy as np
import pytest

from pipeline.errors import NotEnoughHistory, RunError
from pipeline.quantiles import MEDIAN, QUANTILE_COUNT
from pipeline.research.network_forecasts import network_forecasts
from pipeline.training import PredictJob
from pipeline.training.jobs import FitJob
from pipeline.windows import encode, load_dataset
from tests.made_backtests import TINY, BacktestParts, bars_of, made_answer
from tests.made_studies import AnsweringWorkers
from tests.made_windows import walk

HORIZON, SEED = 2, 7
#: TINY as one network of all stocks, and as one of each that begins from random weights.
POOLED = TINY.pool
ALONE = dataclasses.replace(TINY, name="alone", fine_tuning=None)


@pytest.fixture
def make_parts(tmp_path):
    """Return a function that makes parts with made workers from its answers to jobs."""

    def make(answer=made_answer):
        bars = {"IBM": bars_of(0)}
        return BacktestParts(tmp_path, tmp_path / "prices", bars, AnsweringWorkers(answer))

    return make


@pytest.fixture
def parts(make_parts):
    return make_parts()


def file_of(ticker, sessions=900):
    """Return a dataset file; two of one ticker are of the same prices, with different ends."""
    history = walk(900, seed=len(ticker)).iloc[:sessions].assign(ticker=ticker)
    cutoff = history["session"].iloc[-1].date()
    return encode(history, TINY.spec(ticker, cutoff, "close", HORIZON))


FILES = {"A": file_of("A"), "BB": file_of("BB")}
EARLIER = {"A": file_of("A", 800), "BB": file_of("BB", 800)}


@pytest.mark.parametrize(
    ("recipe", "trained"),
    [
        (TINY, [("A", "tiny"), ("BB", "tiny"), ("all", "tiny.pool")]),
        (POOLED, [("all", "tiny.pool")]),
        (ALONE, [("A", "alone"), ("BB", "alone")]),
    ],
)
def test_networks_are_trained_once_and_their_forecasts_are_kept(parts, recipe, trained):
    first = network_forecasts(parts, "test", recipe, FILES, SEED)
    assert parts.trained == trained
    assert first.failures == {}
    for ticker, file in FILES.items():
        dataset, forecasts = load_dataset(file), first.results[ticker]
        assert forecasts.validation.shape == (len(dataset.validation), HORIZON, QUANTILE_COUNT)
        assert forecasts.test.shape == (len(dataset.test), HORIZON, QUANTILE_COUNT)
        # The made network forecasts 1% above the last price; its errors give the spread.
        assert np.isfinite(forecasts.test[:, :, MEDIAN]).all()
    parts.jobs.clear()
    again = network_forecasts(parts, "test", recipe, FILES, SEED)
    assert parts.jobs == []
    for ticker, forecasts in first.results.items():
        np.testing.assert_array_equal(again.results[ticker].test, forecasts.test)
        np.testing.assert_array_equal(again.results[ticker].validation, forecasts.validation)


@pytest.mark.parametrize(
    ("recipe", "from_random_weights", "from_a_network"),
    [
        (TINY, ["all"], ["A", "BB"]),
        (POOLED, ["all"], ["all"]),
        (ALONE, ["A", "BB"], ["A", "BB"]),
    ],
)
def test_a_warm_start_goes_on_from_networks_of_the_earlier_files(
    parts, recipe, from_random_weights, from_a_network
):
    network_forecasts(parts, "test", recipe, FILES, SEED, EARLIER)
    fits = [job for job in parts.jobs if isinstance(job, FitJob)]
    assert [job.label for job in fits if job.base is None] == from_random_weights
    assert [job.label for job in fits if job.base == b"network"] == from_a_network
    learnt = {tuple(job.training_files) for job in fits if job.label == "all"}
    assert learnt <= {("A", "BB")}


def test_a_ticker_with_too_little_history_does_not_stop_the_others(parts):
    files = {"NEW": file_of("NEW", 300), **FILES}
    outcomes = network_forecasts(parts, "test", TINY, files, SEED)
    assert list(outcomes.results) == ["A", "BB"]
    assert isinstance(outcomes.failures["NEW"], NotEnoughHistory)
    assert str(outcomes.failures["NEW"]).startswith("NEW: too little history up to ")


def test_without_its_pooled_network_no_stock_has_a_forecast(make_parts):
    def answer(job):
        if isinstance(job, FitJob) and job.label == "all":
            raise RunError("all: the recipe or Keras failed.")
        return made_answer(job)

    parts = make_parts(answer)
    for recipe in (TINY, POOLED):
        outcomes = network_forecasts(parts, "test", recipe, FILES, SEED)
        assert outcomes.results == {}
        assert set(map(str, outcomes.failures.values())) == {"all: the recipe or Keras failed."}
        assert list(outcomes.failures) == ["A", "BB"]


def test_a_network_that_forecasts_no_numbers_fails_and_is_not_kept(make_parts):
    def answer(job):
        made = made_answer(job)
        if isinstance(job, PredictJob) and job.label == "A":
            return tuple(np.nan * predictions for predictions in made)
        return made

    parts = make_parts(answer)
    outcomes = network_forecasts(parts, "test", ALONE, FILES, SEED)
    assert list(outcomes.results) == ["BB"]
    assert "A: alone forecasts no numbers" in str(outcomes.failures["A"])
    kept = parts.settings.home / "artifacts" / "forecasts"
    assert len(list(kept.iterdir())) == 1
