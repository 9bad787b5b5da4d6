"""Scores of joint forecasts, against plain loops and known values."""

import math

import numpy as np
import pytest

from pipeline.joint import energy_score, variogram_score
from pipeline.joint.multivariate_scores import PAIRED_SHIFTS


def test_the_energy_score_is_that_of_a_plain_loop_over_its_pairs():
    random = np.random.default_rng(0)
    paths, actual = random.normal(size=(30, 3)), random.normal(size=3)
    near = sum(math.dist(path, actual) for path in paths) / 30
    pairs = [
        math.dist(paths[row], paths[(row - shift) % 30])
        for row in range(30)
        for shift in range(1, PAIRED_SHIFTS + 1)
    ]
    assert energy_score(paths, actual) == pytest.approx(near - sum(pairs) / len(pairs) / 2)


def test_the_energy_score_of_one_dimension_is_the_crps_of_its_distribution():
    # Of the standard normal at 0: 2 phi(0) - 1 / sqrt(pi) (Gneiting & Raftery 2007).
    paths = np.random.default_rng(1).standard_normal((40_000, 1))
    exact = 2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)
    assert energy_score(paths, np.zeros(1)) == pytest.approx(exact, abs=0.005)


def test_the_variogram_score_is_that_of_a_plain_loop_over_its_pairs():
    random = np.random.default_rng(2)
    paths, actual = random.normal(size=(20, 4)), random.normal(size=4)
    squares = []
    for first in range(4):
        for second in range(first):
            expected = np.mean([abs(path[first] - path[second]) ** 0.5 for path in paths])
            squares.append((abs(actual[first] - actual[second]) ** 0.5 - expected) ** 2)
    assert variogram_score(paths, actual) == pytest.approx(np.mean(squares))


def test_both_are_lower_for_the_true_dependence():
    random = np.random.default_rng(3)
    common = random.standard_normal((1000, 1))
    true = common + 0.3 * random.standard_normal((1000, 5))
    apart = random.permuted(true, axis=0)
    outcomes = random.standard_normal((100, 1)) + 0.3 * random.standard_normal((100, 5))
    for score in (energy_score, variogram_score):
        means = [np.mean([score(paths, each) for each in outcomes]) for paths in (true, apart)]
        assert means[0] < means[1]
