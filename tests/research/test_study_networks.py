"""Networks of studies, with workers that answer by a function: nothing is trained."""

import dataclasses

import numpy as np
import pytest

from pipeline import windows
from pipeline.errors import RunError
from pipeline.quantiles import MEDIAN, QUANTILE_COUNT
from pipeline.research.study import data_of
from pipeline.research.study_networks import (
    StudyNetwork,
    look_ahead_of,
    make_look_aheads,
    predictions_of,
    train_networks,
)
from pipeline.training.jobs import SHARED, FitJob, LookAheadJob, Trained
from pipeline.windows import Newest, Split
from tests.made_studies import POOL, SHORT, AnsweringWorkers, StudyParts
from tests.made_windows import walk

SPLIT = Split(Newest(20), min_train_windows=50)
TRAINED = Trained(b"a network", {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}, 1, 0.25, 9)


def answer(job):
    """Answer as a network does that forecasts no change."""
    if isinstance(job, FitJob):
        return TRAINED
    if isinstance(job, LookAheadJob):
        return windows.look_ahead(job.windows, unchanged, job.length)
    return (job.windows[0].last[:, None],)


def unchanged(cut):
    return ((cut.last - cut.offset) / cut.scale)[:, None]


@pytest.fixture
def parts(tmp_path):
    class AnsweredParts(StudyParts):
        workers = AnsweringWorkers(answer)

    with AnsweredParts(tmp_path, tmp_path) as opened:
        yield opened


def networks(*recipes, seeds=(7,)):
    """Return networks for IBM and KO; of a pooled recipe, one for both."""
    data = {}
    for number, ticker in enumerate(("IBM", "KO")):
        history = walk(100, number).assign(ticker=ticker)
        data[ticker] = data_of(history, SHORT, "high", SPLIT)
    return [
        StudyNetwork(recipe, group, seed)
        for recipe in recipes
        for group in ([data] if recipe.pooled else [{t: own} for t, own in data.items()])
        for seed in seeds
    ]


def test_a_network_is_known_by_its_recipe_seed_and_what_it_learns_from():
    ibm, ibm_again, ko, _ = networks(SHORT, seeds=(7, 8))
    (pool,) = networks(POOL)
    named = [(network.label, network.title) for network in (ibm, ko, pool)]
    assert named == [
        ("IBM", "IBM short seed 7"),
        ("KO", "KO short seed 7"),
        (SHARED, "all pool seed 7"),
    ]
    assert len({network.model_id for network in (ibm, ibm_again, ko, pool)}) == 4
    assert networks(dataclasses.replace(SHORT, name="other"))[0].model_id == ibm.model_id


def test_every_network_is_trained_once_and_predicts_every_ticker(parts):
    all_networks = networks(SHORT, POOL)
    assert train_networks(parts, "study", all_networks, {}) == {}
    for network in all_networks:
        for ticker, data in network.data.items():
            predictions = predictions_of(parts, network, ticker)
            np.testing.assert_array_equal(predictions, data.dataset.test.last)
    assert parts.messages == [
        ("study", "", "training 3 networks, 3 epochs at most"),
        ("study", "IBM", "1 of 3: short, seed 7: 1 epoch, 0.2 s"),
        ("study", "KO", "2 of 3: short, seed 7: 1 epoch, 0.2 s"),
        ("study", SHARED, "3 of 3: pool, seed 7: 1 epoch, 0.2 s"),
    ]
    parts.messages.clear()
    parts.workers.jobs.clear()
    assert train_networks(parts, "study", all_networks, {}) == {}
    assert parts.messages == [("study", "", "3 of 3 networks are there already")]
    assert parts.workers.jobs == []


def test_of_quantiles_the_median_is_kept(parts):
    def quantiles(job):
        if isinstance(job, FitJob):
            return TRAINED
        return (
            np.arange(len(job.windows[0]) * QUANTILE_COUNT, dtype=float).reshape(
                -1, 1, QUANTILE_COUNT
            ),
        )

    parts.workers = AnsweringWorkers(quantiles)
    network = networks(SHORT)[0]
    train_networks(parts, "study", [network], {})
    expected = np.arange(20) * QUANTILE_COUNT + MEDIAN
    np.testing.assert_array_equal(predictions_of(parts, network, "IBM"), expected)


def test_a_network_that_fails_fails_all_its_tickers_and_no_others(parts):
    def fails(job):
        if isinstance(job, FitJob) and job.label == "IBM":
            raise RunError("IBM: no memory is left.")
        return answer(job)

    parts.workers = AnsweringWorkers(fails)
    failures = train_networks(parts, "study", networks(SHORT), {})
    assert {ticker: str(error) for ticker, error in failures.items()} == {
        "IBM": "IBM: no memory is left."
    }
    assert ("study", "IBM", "short, seed 7 failed: IBM: no memory is left.") in parts.messages

    def none_is_finite(job):
        return TRAINED if isinstance(job, FitJob) else (np.full((20, 1), np.nan),)

    parts.workers = AnsweringWorkers(none_is_finite)
    failures = train_networks(parts, "study", networks(POOL, seeds=(9,)), {})
    assert sorted(failures) == ["IBM", "KO"] and len(set(failures.values())) == 1
    assert "pool with seed 9 forecasts no numbers" in str(failures["IBM"])


def test_a_look_ahead_is_made_once_and_read_back_as_it_was(parts):
    network = networks(SHORT)[0]
    train_networks(parts, "study", [network], {})
    assert make_look_aheads(parts, "study", [(network, "IBM")]) == []
    test = network.data["IBM"].dataset.test
    expected = windows.look_ahead(test, unchanged, windows.SEQUENCE_LENGTH)
    assert look_ahead_of(parts, network, "IBM").table().equals(expected.table())
    assert parts.messages[-1][2] == "looking ahead over the test sessions with 1 network"
    jobs = len(parts.workers.jobs)
    assert make_look_aheads(parts, "study", [(network, "IBM")]) == []
    assert len(parts.workers.jobs) == jobs


def test_a_look_ahead_that_fails_is_returned_as_its_error(parts):
    network = networks(SHORT)[0]
    train_networks(parts, "study", [network], {})

    def fails(job):
        raise RunError("it cannot look ahead")

    parts.workers = AnsweringWorkers(fails)
    (error,) = make_look_aheads(parts, "study", [(network, "IBM")])
    assert str(error) == "it cannot look ahead"
