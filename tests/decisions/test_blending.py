"""Weights of networks: nothing without evidence, nearly all with much."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.decisions.blending import (
    LEAST_WEIGHT,
    TRIED_WEIGHTS,
    WEIGHT_OF_ALL,
    LossCurve,
    blend,
    loss_curve,
    network_weights,
)
from pipeline.measures import CORRELATED_SESSIONS, t_statistic
from pipeline.quantiles import PROBABILITIES

HORIZON = 5
COUNT = 250
SESSIONS = np.datetime64("2012-01-02") + np.arange(COUNT)
#: The standard normal distribution's quantiles.
NORMAL = np.array([-1.96, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.96])


def losing(at_best, best=1.0, noise=0.05, count=COUNT, seed=0):
    """Return a curve of the newest sessions with noise that grows with the weight.

    Its losses fall to `at_best` of the baseline's at the weight `best`.
    """
    random = np.random.default_rng(seed)
    own = random.normal(0, noise, count)
    own -= own.mean()
    gain = (1 - at_best) * (1 - ((TRIED_WEIGHTS - best) / best) ** 2)
    losses = 1 - gain[:, None] + TRIED_WEIGHTS[:, None] * own[None]
    return LossCurve(losses, SESSIONS[-count:], HORIZON)


def turned(curve):
    """Return the same curve with losses for gains."""
    return LossCurve(2 - curve.losses, curve.sessions, HORIZON)


def stocks(make=lambda curve: curve):
    """Return nine stocks whose networks are better, or what `make` makes of their curves."""
    return {f"S{number}": make(losing(0.98, seed=10 + number)) for number in range(9)}


def windows_of(actual, last):
    """Return validation windows as `loss_curve` looks at them."""
    return SimpleNamespace(actual_with_dividends=actual, last=last, origins=SESSIONS[: len(last)])


def shrunk(losses):
    best = losses.mean(axis=1).argmin()
    t = t_statistic(losses[0] - losses[best], CORRELATED_SESSIONS) if best else 0.0
    return round(float(TRIED_WEIGHTS[best] * max(0.0, 1 - 1 / t**2)), 4) if t > 0 else 0.0


def test_a_curve_is_the_loss_of_every_blend_relative_to_the_baseline_alone():
    random = np.random.default_rng(1)
    actual, last = random.normal(100, 3, (5, 2)), np.array([50.0, 100, 100, 100, 200])
    network, baseline = (np.sort(random.normal(100, 3, (5, 2, 7)), axis=2) for _ in range(2))
    expected = np.zeros((21, 5))
    for place in range(21):
        share = place / 20
        for row in range(5):
            for horizon in range(2):
                quantiles = network[row, horizon], baseline[row, horizon]
                for probability, ours, theirs in zip(PROBABILITIES, *quantiles, strict=True):
                    error = actual[row, horizon] - (share * ours + (1 - share) * theirs)
                    loss = probability * error if error > 0 else (probability - 1) * error
                    expected[place, row] += loss / 14 / last[row]
    curve = loss_curve(windows_of(actual, last), network, baseline)
    np.testing.assert_allclose(curve.losses, expected / expected[0].mean())
    np.testing.assert_array_equal(curve.sessions, SESSIONS[:5])


def test_all_none_and_half_of_a_network():
    network, baseline = np.full((1, 1, 7), 10.0), np.full((1, 1, 7), 20.0)
    assert [blend(network, baseline, share)[0, 0, 0] for share in (1.0, 0.0, 0.5)] == [10, 20, 15]


def test_a_network_that_forecasts_as_the_baseline_does_or_loses_more_has_no_weight():
    same = LossCurve(np.ones((21, COUNT)), SESSIONS, HORIZON)
    assert network_weights({"IBM": same}) == {"IBM": 0.0}
    assert network_weights({"IBM": turned(losing(0.95))}) == {"IBM": 0.0}


def test_the_evidence_of_longer_forecasts_allows_for_twice_their_horizon():
    curve = losing(0.995, noise=0.02, seed=3)
    best = int(curve.losses.mean(axis=1).argmin())
    [weight] = network_weights({"IBM": dataclasses.replace(curve, horizon=30)}).values()
    t = t_statistic(curve.losses[0] - curve.losses[best], 60)
    assert weight == round(TRIED_WEIGHTS[best] * (1 - 1 / t**2), 4)
    assert weight != network_weights({"IBM": curve})["IBM"]


def test_a_network_that_is_clearly_better_has_nearly_all_of_the_weight():
    [weight] = network_weights({"IBM": losing(0.9)}).values()
    assert 0.99 < weight <= 1


def test_the_weight_is_the_best_of_those_tried_shrunk_by_its_evidence():
    curve = losing(0.99, best=0.6, noise=0.2)
    t = t_statistic(curve.losses[0] - curve.losses[12], CORRELATED_SESSIONS)
    assert t > 1
    assert network_weights({"IBM": curve}) == {"IBM": round(0.6 * (1 - 1 / t**2), 4)}


def test_a_share_that_would_be_shown_as_none_is_none():
    small = [losing(0.9999, best=0.05, noise=noise) for noise in np.geomspace(0.001, 0.1, 200)]
    small = [curve for curve in small if 0 < shrunk(curve.losses) < LEAST_WEIGHT]
    large = losing(0.9)
    assert small and 1 - LEAST_WEIGHT < shrunk(large.losses) < 1
    weights = [network_weights({"IBM": curve})["IBM"] for curve in (*small, large)]
    assert weights == [0.0] * len(small) + [1.0]


def test_the_thinner_the_evidence_the_smaller_the_weight():
    weights = [
        network_weights({"IBM": losing(0.99, noise=noise)})["IBM"]
        for noise in (0.05, 0.1, 0.15, 5.0)
    ]
    assert weights == sorted(weights, reverse=True) and len(set(weights)) == 4
    assert weights[0] > 0.9 and weights[-1] == 0.0


def test_a_network_better_by_luck_alone_seldom_has_much_weight():
    random, weights = np.random.default_rng(3), []
    actual = random.normal(size=(COUNT, 1)) * 2
    baseline = 2 * np.tile(NORMAL, (COUNT, 1, 1))
    validation = windows_of(actual + 100, np.full(COUNT, 100.0))
    for _ in range(30):
        network = baseline * random.uniform(0.95, 1.05) + random.normal(0, 0.3, (COUNT, 1, 1))
        curve = loss_curve(validation, network + 100, baseline + 100)
        weights.append(network_weights({"IBM": curve})["IBM"])
    assert np.mean(weights) < 0.2


def test_each_stock_counts_its_own_sessions_and_those_of_all():
    good, bad = losing(0.98), turned(losing(0.98, seed=1))
    mean = (good.losses + bad.losses) / 2
    assert network_weights({"GOOD": good, "BAD": bad}) == {
        ticker: shrunk((own.losses + WEIGHT_OF_ALL * mean) / (1 + WEIGHT_OF_ALL))
        for ticker, own in (("GOOD", good), ("BAD", bad))
    }


@pytest.mark.parametrize(
    "curve",
    [
        losing(0.995, noise=0.3, seed=4),
        LossCurve(
            losing(0.995, noise=0.1, count=40, seed=5).losses, SESSIONS[-40:] + COUNT, HORIZON
        ),
    ],
    ids=["with thin evidence", "younger than they are"],
)
def test_a_stock_leans_on_what_the_others_show(curve):
    alone, among, doubted = (
        network_weights({"LEANS": curve, **others})["LEANS"]
        for others in ({}, stocks(), stocks(turned))
    )
    assert doubted == 0.0 and alone < 0.5 < among


def test_a_stock_with_fewer_sessions_has_those_of_the_others_before_them():
    long, short = losing(0.98), losing(0.97, count=60, seed=2)
    weights = network_weights({"LONG": long, "SHORT": short})
    mean = long.losses.copy()
    mean[:, -60:] = (mean[:, -60:] + short.losses) / 2  # before, there is only the one
    own = WEIGHT_OF_ALL * mean
    own[:, -60:] += short.losses * COUNT / 60
    own /= 1 + WEIGHT_OF_ALL
    assert weights == {
        "LONG": shrunk((long.losses + WEIGHT_OF_ALL * mean) / (1 + WEIGHT_OF_ALL)),
        "SHORT": shrunk(own),
    }
    assert weights == network_weights({"SHORT": short, "LONG": long}), "in any order"


def test_sessions_of_others_after_a_stocks_own_do_not_count_for_it():
    """A stock with little history is validated on sessions that the others are tested on."""
    long, young = losing(0.98), losing(0.5, seed=2)
    later = LossCurve(young.losses, SESSIONS + COUNT, HORIZON)
    weights = network_weights({"LONG": long, "YOUNG": later})
    assert weights["LONG"] == network_weights({"LONG": long})["LONG"]


def test_a_young_stock_whose_own_sessions_speak_against_the_network_has_less_of_it():
    """All other stocks count for `WEIGHT_OF_ALL`, however many sessions they have before."""
    weights = {}
    for at_best in (0.99, 1.01, 1.03, 1.06):
        bad = losing(at_best, count=60, seed=5)
        young = LossCurve(bad.losses, SESSIONS[-60:] + COUNT, HORIZON)
        weights[at_best] = network_weights({"YOUNG": young, **stocks()})["YOUNG"]
    assert weights[0.99] > weights[1.01] >= weights[1.03] >= weights[1.06] == 0.0


def test_no_stocks_have_no_weights():
    assert network_weights({}) == {}


@pytest.mark.parametrize("seed", range(5))
def test_weights_lie_between_nothing_and_all(seed):
    random = np.random.default_rng(seed)
    curves = {
        f"S{number}": losing(random.uniform(0.9, 1.1), random.uniform(0.1, 1), seed=number)
        for number in range(5)
    }
    assert all(0 <= weight <= 1 for weight in network_weights(curves).values())
