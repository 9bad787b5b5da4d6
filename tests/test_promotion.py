"""The choice of what is published."""

import math

import pytest

from pipeline.promotion import Candidate, Decision, decide

NEW = Candidate("lstm", "new", validation=0.98, test=1.0)
OLD = Candidate("previous", "old", validation=0.97, test=1.0)


def choose(*candidates, **changes):
    return decide(list(candidates), **{"margin": 0.01, "floor": 0.05, **changes})


def test_the_better_of_two_on_validation_is_published():
    assert choose(NEW, OLD).champion == "previous"
    assert choose(NEW, Candidate("previous", "old", validation=0.99, test=0.5)).champion == "lstm"


def test_a_protocol_that_has_peeked_is_never_published_however_good_it_looks():
    decision = choose(Candidate("lstm", "new", validation=0.1, test=0.1), leak="it saw the test sessions")
    assert decision.champion == "naive"
    assert "never published, because it has peeked (it saw the test sessions)" in decision.reasons[-1]
    assert "0.1000 of naive's on validation" in decision.reasons[0]


def test_at_equal_validation_error_the_newer_network_is_published():
    assert choose(NEW, Candidate("previous", "old", validation=0.98, test=0.9)).champion == "lstm"


@pytest.mark.parametrize(
    ("validation", "test", "champion"),
    [(1.01, 1.05, "lstm"), (1.0101, 1.0, "naive"), (1.0, 1.0501, "naive"), (math.nan, 1.0, "naive"), (1.0, math.nan, "naive")],
)
def test_margin_and_floor_are_the_last_values_that_pass(validation, test, champion):
    assert choose(Candidate("lstm", "new", validation, test)).champion == champion


def test_a_network_that_fails_on_test_leaves_the_place_to_the_other():
    assert choose(NEW, Candidate("previous", "old", validation=0.5, test=1.2)).champion == "lstm"


def test_a_network_that_only_repeats_the_last_price_is_not_published_as_a_network():
    assert choose(Candidate("lstm", "new", 1.0, 1.0)).champion == "naive"


def test_every_decision_says_why():
    assert choose(NEW, Candidate("previous", "old", 1.02, 1.0)) == Decision(
        "lstm",
        "new",
        (
            "lstm: RMSE 0.9800 of naive's on validation, 1.0000 on test (means of all horizons)",
            "previous: RMSE 1.0200 of naive's on validation (mean of all horizons), at most 1.0100 allowed",
            "lstm is published",
        ),
    )
    assert choose(no_network="no network: 196 sessions, 500 needed") == Decision(
        "naive", "naive", ("no network: 196 sessions, 500 needed",)
    )
