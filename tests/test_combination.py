"""How much of a network is published: nothing without evidence, nearly all with much."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.combination import GRID, LAGS, TOGETHER, Curve, curve, mixed, weights
from pipeline.evidence import t_statistic
from pipeline.models.baselines import NORMAL
from pipeline.quantiles import PROBABILITIES

COUNT = 250
SESSIONS = np.datetime64("2012-01-02") + np.arange(COUNT)


def losing(at_best, best=1.0, noise=0.05, count=COUNT, seed=0):
    """A curve of the newest sessions whose losses fall to `at_best` of the baseline's at the weight `best`, with noise that grows with the weight."""
    random = np.random.default_rng(seed)
    own = random.normal(0, noise, count)
    own -= own.mean()
    gain = (1 - at_best) * (1 - ((GRID - best) / best) ** 2)
    return Curve(1 - gain[:, None] + GRID[:, None] * own[None], SESSIONS[-count:])


def turned(made):
    """The same curve with losses for gains."""
    return Curve(2 - made.losses, made.sessions)


def measured(actual, last):
    """What `curve` looks at of validation windows."""
    return SimpleNamespace(actual=actual, last=last, origins=SESSIONS[: len(last)])


def shrunk(merged):
    best = merged.mean(axis=1).argmin()
    t = t_statistic(merged[0] - merged[best], LAGS) if best else 0.0
    return round(float(GRID[best] * max(0.0, 1 - 1 / t**2)), 4) if t > 0 else 0.0


def test_a_curve_is_the_loss_of_every_mixture_relative_to_the_baseline_alone():
    random = np.random.default_rng(1)
    actual, last = random.normal(100, 3, (5, 2)), np.array([50.0, 100, 100, 100, 200])
    network, baseline = (np.sort(random.normal(100, 3, (5, 2, 7)), axis=2) for _ in range(2))
    expected = np.zeros((21, 5))
    for place in range(21):
        share = place / 20
        for row in range(5):
            for horizon in range(2):
                for probability, ours, theirs in zip(PROBABILITIES, network[row, horizon], baseline[row, horizon], strict=True):
                    error = actual[row, horizon] - (share * ours + (1 - share) * theirs)
                    expected[place, row] += (probability * error if error > 0 else (probability - 1) * error) / 14 / last[row]
    made = curve(measured(actual, last), network, baseline)
    np.testing.assert_allclose(made.losses, expected / expected[0].mean())
    np.testing.assert_array_equal(made.sessions, SESSIONS[:5])


def test_all_none_and_half_of_a_network():
    network, baseline = np.full((1, 1, 7), 10.0), np.full((1, 1, 7), 20.0)
    assert [mixed(network, baseline, share)[0, 0, 0] for share in (1.0, 0.0, 0.5)] == [10, 20, 15]


def test_a_network_that_says_what_the_baseline_says_or_loses_more_has_no_weight():
    assert weights({"IBM": Curve(np.ones((21, COUNT)), SESSIONS)}) == {"IBM": 0.0}
    assert weights({"IBM": turned(losing(0.95))}) == {"IBM": 0.0}


def test_a_network_that_is_clearly_better_has_nearly_all_of_the_weight():
    [weight] = weights({"IBM": losing(0.9)}).values()
    assert 0.99 < weight <= 1


def test_the_weight_is_the_best_of_the_grid_shrunk_by_its_evidence():
    tried = losing(0.99, best=0.6, noise=0.2)
    t = t_statistic(tried.losses[0] - tried.losses[12], LAGS)
    assert t > 1
    assert weights({"IBM": tried}) == {"IBM": round(0.6 * (1 - 1 / t**2), 4)}


def test_the_thinner_the_evidence_the_smaller_the_weight():
    made = [weights({"IBM": losing(0.99, noise=noise)})["IBM"] for noise in (0.05, 0.1, 0.15, 5.0)]
    assert made == sorted(made, reverse=True) and len(set(made)) == 4
    assert made[0] > 0.9 and made[-1] == 0.0


def test_a_network_better_by_luck_alone_seldom_has_much_weight():
    random, made = np.random.default_rng(3), []
    actual = random.normal(size=(COUNT, 1)) * 2
    baseline = 2 * np.tile(NORMAL, (COUNT, 1, 1))
    for _ in range(30):
        network = baseline * random.uniform(0.95, 1.05) + random.normal(0, 0.3, (COUNT, 1, 1))
        made.append(weights({"IBM": curve(measured(actual + 100, np.full(COUNT, 100.0)), network + 100, baseline + 100)})["IBM"])
    assert np.mean(made) < 0.2


def test_each_stock_counts_its_own_sessions_and_those_of_all():
    good, bad = losing(0.98), turned(losing(0.98, seed=1))
    together = weights({"GOOD": good, "BAD": bad})
    mean = (good.losses + bad.losses) / 2
    expected = {ticker: shrunk((own.losses + TOGETHER * mean) / (1 + TOGETHER)) for ticker, own in (("GOOD", good), ("BAD", bad))}
    assert together == expected


def test_a_stock_with_thin_evidence_leans_on_the_others():
    thin = losing(0.995, noise=0.3, seed=4)
    alone = weights({"THIN": thin})["THIN"]
    among = weights({"THIN": thin, **{f"S{number}": losing(0.98, seed=10 + number) for number in range(9)}})["THIN"]
    doubted = weights({"THIN": thin, **{f"S{number}": turned(losing(0.98, seed=10 + number)) for number in range(9)}})["THIN"]
    assert doubted == 0.0 and alone < 0.5 < among


def test_a_stock_with_fewer_sessions_has_those_of_the_others_before_them():
    long, short = losing(0.98), losing(0.97, count=60, seed=2)
    made = weights({"LONG": long, "SHORT": short})
    mean = long.losses.copy()
    mean[:, -60:] = (mean[:, -60:] + short.losses) / 2  # before, there is only the one
    own = TOGETHER * mean
    own[:, -60:] += short.losses * COUNT / 60
    own /= 1 + TOGETHER
    assert made == {"LONG": shrunk((long.losses + TOGETHER * mean) / (1 + TOGETHER)), "SHORT": shrunk(own)}
    assert made == weights({"SHORT": short, "LONG": long}), "whichever comes first"


def test_sessions_of_others_after_a_stocks_own_do_not_count_for_it():
    """A stock with little history is validated on sessions that the others are tested on."""
    long, young = losing(0.98), losing(0.5, seed=2)
    made = weights({"LONG": long, "YOUNG": Curve(young.losses, SESSIONS + COUNT)})
    assert made["LONG"] == weights({"LONG": long})["LONG"]


def test_a_young_stock_leans_on_what_others_showed_before_its_own_sessions():
    young = Curve(losing(0.995, noise=0.1, count=40, seed=5).losses, SESSIONS[-40:] + COUNT)
    alone = weights({"YOUNG": young})["YOUNG"]
    among = weights({"YOUNG": young, **{f"S{number}": losing(0.98, seed=10 + number) for number in range(9)}})["YOUNG"]
    doubted = weights({"YOUNG": young, **{f"S{number}": turned(losing(0.98, seed=10 + number)) for number in range(9)}})["YOUNG"]
    assert doubted == 0.0 and alone < 0.5 < among


def test_a_young_stock_whose_own_sessions_speak_against_the_network_has_less_of_it():
    """However many sessions the others have before, all of them together count for `TOGETHER` stocks."""
    others = {f"S{number}": losing(0.98, seed=10 + number) for number in range(9)}
    made = {}
    for at_best in (0.99, 1.01, 1.03, 1.06):
        bad = losing(at_best, count=60, seed=5)
        made[at_best] = weights({"YOUNG": Curve(bad.losses, SESSIONS[-60:] + COUNT), **others})["YOUNG"]
    assert made[0.99] > made[1.01] >= made[1.03] >= made[1.06] == 0.0


def test_no_stocks_have_no_weights():
    assert weights({}) == {}


@pytest.mark.parametrize("seed", range(5))
def test_weights_lie_between_nothing_and_all(seed):
    random = np.random.default_rng(seed)
    made = weights({f"S{number}": losing(random.uniform(0.9, 1.1), random.uniform(0.1, 1), seed=number) for number in range(5)})
    assert all(0 <= weight <= 1 for weight in made.values())
