"""Promotion: decided on evidence, on the same sessions for all."""

import datetime as dt
import math

import numpy as np
import pytest

from pipeline.decisions.promotion import Candidate, decide
from pipeline.measures import difference

COUNT = 252
SESSIONS = (dt.date(2016, 1, 4), dt.date(2016, 12, 30))
RANDOM = np.random.default_rng(0)
#: The losses of the random walk, session by session; calm and storm take turns.
STORMS = 0.01 * np.exp(np.sin(np.arange(COUNT) / 20)) * RANDOM.uniform(0.5, 1.5, COUNT)
#: Their mean is 0: a forecaster that differs by these alone is neither better nor worse.
LUCK = RANDOM.normal(0, 0.3, COUNT)
LUCK -= (LUCK * STORMS).sum() / STORMS.sum()


def candidate(name, ratio=1.0, luck=0.0, **changes):
    """Return a forecaster that loses `ratio` times what the random walk loses, and some luck."""
    given = {"errors": STORMS, "test_loss": 1.0, "test_rmse": 1.0, **changes}
    return Candidate(name, f"{name}-id", STORMS * (ratio + luck * LUCK), **given)


NAIVE, EWMA = candidate("naive", 1.1), candidate("ewma")
BETTER, NO_WORSE, WORSE = 0.97, 1.0, 1.03


def choose(*networks, naive=NAIVE, **changes):
    return decide(
        list(networks),
        naive,
        EWMA,
        **{"floor": 0.05, "sessions": SESSIONS, "horizon": 5, **changes},
    )


def test_the_current_network_takes_the_incumbents_place_on_evidence():
    decision = choose(candidate("lstm", 0.95), candidate("previous", 0.98))
    assert (decision.champion, decision.model_id) == ("lstm", "lstm-id")
    assert (
        "lstm takes its place" in decision.reasons[-2]
        and decision.reasons[-1] == "lstm is published"
    )


@pytest.mark.parametrize(
    ("lstm", "previous"),
    [((0.98, 0.0), (0.95, 0.0)), ((0.96, 0.0), (0.96, 0.0)), ((0.959, 0.1), (0.96, 0.0))],
    ids=["worse", "equal", "better by luck"],
)
def test_the_incumbent_stays_where_there_is_no_evidence_that_the_current_network_is_better(
    lstm, previous
):
    decision = choose(candidate("lstm", *lstm), candidate("previous", *previous))
    assert (decision.champion, decision.model_id) == ("previous", "previous-id")
    assert "so the incumbent stays" in decision.reasons[-2]


def test_without_an_incumbent_a_network_that_is_not_worse_than_the_random_walk_is_published():
    assert choose(candidate("lstm", NO_WORSE, 0.1)).champion == "lstm"
    assert choose(candidate("lstm", BETTER)).champion == "lstm"
    assert choose(candidate("pooled", BETTER)).champion == "pooled"


def test_a_network_that_is_worse_than_the_random_walk_on_evidence_is_not_published():
    decision = choose(candidate("lstm", WORSE))
    assert (decision.champion, decision.model_id) == ("ewma", "ewma-id")
    assert any(
        reason.startswith("lstm is not published: worse than ewma on this evidence, +3.00%")
        for reason in decision.reasons
    )
    assert decision.reasons[-1] == "no network passes: ewma is published"


def test_har_is_the_baseline_that_a_network_is_measured_against():
    decision = choose(candidate("lstm", 0.95), har=candidate("har", BETTER))
    assert (decision.champion, decision.baseline) == ("lstm", "har")
    assert any(reason.startswith("lstm against har: -2.0") for reason in decision.reasons)


def test_a_network_that_beats_ewma_and_not_har_is_not_published():
    decision = choose(candidate("lstm", 0.98), har=candidate("har", 0.95))
    assert (decision.champion, decision.model_id, decision.baseline) == ("har", "har-id", "har")
    assert any(
        reason.startswith("lstm is not published: worse than har on this evidence, +3.1")
        for reason in decision.reasons
    )
    assert decision.reasons[-1] == "no network passes: har is published"


@pytest.mark.parametrize(
    ("har", "fault"),
    [
        (candidate("har", WORSE), "worse than ewma on this evidence, +3.00%"),
        (candidate("har", BETTER, test_loss=1.06), "pinball loss 1.0600 of ewma's on test"),
        (candidate("har", BETTER, test_rmse=1.06), "RMSE 1.0600 of naive's on test"),
    ],
    ids=["validation", "test loss", "test RMSE"],
)
def test_har_is_no_baseline_where_what_is_asked_of_a_network_cannot_be_said_of_it(har, fault):
    decision = choose(candidate("lstm", NO_WORSE), har=har)
    assert (decision.champion, decision.baseline) == ("lstm", "ewma")
    assert any(reason.startswith(f"har is no baseline: {fault}") for reason in decision.reasons)


def test_without_any_network_har_is_published():
    decision = choose(har=candidate("har", BETTER), no_network="too young")
    assert (decision.champion, decision.reasons[-1]) == ("har", "too young: har is published")


@pytest.mark.parametrize(
    "fault",
    [
        {"test_loss": 1.0501},
        {"test_rmse": 1.0501},
        {"test_loss": math.nan},
        {"test_rmse": math.nan},
    ],
)
def test_the_floor_holds_for_loss_and_for_rmse_and_nothing_is_not_enough(fault):
    decision = choose(candidate("lstm", BETTER, **fault))
    assert decision.champion == "ewma"
    [figure] = fault.values()
    reason = (
        "pinball loss {:.4f} of ewma's on test, at most 1.0500"
        if "test_loss" in fault
        else "RMSE {:.4f} of naive's on test"
    )
    assert any(reason.format(figure) in each for each in decision.reasons)


def test_what_lies_on_the_floor_passes():
    assert choose(candidate("lstm", BETTER, test_loss=1.05, test_rmse=1.05)).champion == "lstm"


def test_test_never_chooses_between_networks():
    previous = candidate("previous", 0.98)
    for test in (0.5, 1.0, 1.05):
        better, equal = (
            candidate("lstm", ratio, test_loss=test, test_rmse=test) for ratio in (0.95, 0.98)
        )
        assert choose(better, previous).champion == "lstm"
        assert choose(equal, previous).champion == "previous"


def test_a_network_that_forecasts_no_numbers_is_not_published():
    nothing = np.full(COUNT, math.nan)
    broken = Candidate("lstm", "lstm-id", nothing, nothing, math.nan, math.nan)
    assert choose(broken).champion == "ewma"
    assert choose(broken, candidate("previous")).champion == "previous"


def test_a_network_that_fails_leaves_the_place_to_the_other():
    failing = candidate("lstm", 0.9, test_loss=1.2)
    assert choose(failing, candidate("previous", 0.98)).champion == "previous"
    decision = choose(candidate("lstm", BETTER), candidate("previous", 0.5, test_rmse=1.2))
    assert decision.champion == "lstm"
    assert not any(
        "incumbent" in reason or "takes its place" in reason for reason in decision.reasons
    )


def test_a_protocol_that_has_peeked_is_never_published_however_good_it_looks():
    decision = choose(
        candidate("lstm", 0.1, errors=0.1 * STORMS, test_loss=0.1, test_rmse=0.1),
        leak="it saw the test sessions",
    )
    assert decision.champion == "ewma"
    assert (
        decision.reasons[-1]
        == "never published, because it has peeked (it saw the test sessions): ewma is"
    )
    assert "lstm against ewma: -90.00%" in decision.reasons[2]


def test_without_networks_the_reason_why_there_are_none_is_given():
    decision = choose(no_network="no network of its own: 196 sessions, 500 needed")
    assert (decision.champion, decision.model_id) == ("ewma", "ewma-id")
    assert (
        decision.reasons[-1] == "no network of its own: 196 sessions, 500 needed: ewma is published"
    )


def test_the_naive_forecast_is_published_where_the_random_walk_is_worse_on_evidence():
    assert choose(naive=candidate("naive", 0.95)).champion == "naive"
    assert choose(naive=candidate("naive", 0.999, 0.1)).champion == "ewma", (
        "by luck alone it is not"
    )
    # Whoever is to be published then must not be worse than that.
    assert choose(candidate("lstm", 0.98), naive=candidate("naive", 0.9)).champion == "naive"
    decision = choose(candidate("lstm", 0.88), naive=candidate("naive", 0.9))
    assert (decision.champion, decision.baseline) == ("lstm", "naive"), "and is blended with it"
    assert choose(candidate("lstm", 0.88)).baseline == "ewma"


def test_every_decision_names_its_sessions_its_figures_and_its_reason():
    lstm, previous = (
        candidate("lstm", 0.95, errors=0.81 * STORMS, test_loss=0.99, test_rmse=1.001),
        candidate("previous", 0.98, 0.05),
    )
    decision = choose(lstm, previous)
    mean = {each.name: each.losses.mean() for each in (NAIVE, EWMA, lstm, previous)}
    assert decision.reasons == (
        "validation 2016-01-04 to 2016-12-30, mean pinball loss: "
        f"naive {mean['naive']:.4%}, ewma {mean['ewma']:.4%}, lstm {mean['lstm']:.4%}, "
        f"previous {mean['previous']:.4%} of the price, differences with their 90% interval",
        f"ewma against naive: {difference(EWMA.losses, NAIVE.losses, 5)}",
        "lstm against ewma: -5.00% [-5.00%, -5.00%], "
        "RMSE against naive: -10.00% [-10.00%, -10.00%], "
        "on test 0.9900 of ewma's loss and 1.0010 of naive's RMSE",
        f"previous against ewma: {difference(previous.losses, EWMA.losses, 5)}, "
        "RMSE against naive: +0.00% [+0.00%, +0.00%], "
        "on test 1.0000 of ewma's loss and 1.0000 of naive's RMSE",
        f"lstm against previous: {difference(lstm.losses, previous.losses, 5)}: "
        "lstm takes its place",
        "lstm is published",
    )


def test_the_same_figures_make_the_same_decision():
    networks = candidate("lstm", 0.97, 0.2), candidate("previous", 0.98, -0.1)
    assert choose(*networks) == choose(*networks)
