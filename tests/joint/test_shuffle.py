"""Shuffles: margins stay what they were, and the order is that of the past."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.joint import gaussian_copula, independent, past_changes, schaake_shuffle, strata
from tests.joint.made_markets import market

RANDOM = np.random.default_rng(5)
#: Three dimensions on scales of their own, four draws each.
MARGINS = np.array([[1.0, 2, 3, 4], [10, 20, 30, 40], [0.1, 0.2, 0.3, 0.4]])


def generator() -> np.random.Generator:
    return np.random.default_rng(1)


def past(sessions: int, shared: float = 0.6) -> np.ndarray:
    changes = past_changes(market(3, sessions + 24, 4, shared), 2)[22:-2]
    return changes.reshape(sessions, -1)


def test_each_path_is_a_past_session_with_its_ranks():
    sessions = np.array([[0.3, -2.0, 7.0], [0.1, 5.0, 6.0], [0.4, 1.0, 5.0], [0.2, 0.0, 4.0]])
    paths = schaake_shuffle(MARGINS, sessions, generator())
    expected = {(3.0, 10.0, 0.4), (1.0, 40.0, 0.3), (4.0, 30.0, 0.2), (2.0, 20.0, 0.1)}
    assert set(map(tuple, paths.tolist())) == expected


@pytest.mark.parametrize("sessions", [60, 500, 1500])
def test_each_column_is_a_permutation_of_its_margin(sessions):
    margins = np.sort(RANDOM.normal(size=(8, 1000)), axis=1)
    for paths in (
        schaake_shuffle(margins, past(sessions), generator()),
        gaussian_copula(margins, past(sessions), generator()),
        independent(margins, generator()),
    ):
        assert np.array_equal(np.sort(paths, axis=0), margins.T)


@pytest.mark.parametrize("sessions", [100, 1500])
def test_the_rank_correlation_of_the_past_is_recovered(sessions):
    margins = np.tile(strata(1000) ** 3, (8, 1))
    own = spearmanr(past(sessions)).statistic
    shuffled = spearmanr(schaake_shuffle(margins, past(sessions), generator())).statistic
    copula = spearmanr(gaussian_copula(margins, past(sessions), generator())).statistic
    assert np.abs(shuffled - own).max() < 0.05
    assert np.abs(copula - own).max() < 0.12
    apart = spearmanr(independent(margins, generator())).statistic
    assert np.abs(apart - np.eye(8)).max() < 0.12


def test_paths_of_one_session_depend_on_each_other_too():
    margins = np.tile(strata(1000), (8, 1))
    paths = schaake_shuffle(margins, past(10, shared=0.9), generator())
    lowest = paths[paths[:, 0] < 0.1]  # the hundred paths of the worst of ten sessions
    assert len(lowest) == 100 and spearmanr(lowest[:, 0], lowest[:, 2]).statistic > 0.4


def test_the_same_seed_gives_the_same_paths():
    margins = np.sort(RANDOM.normal(size=(8, 300)), axis=1)
    for join in (schaake_shuffle, gaussian_copula):
        once, again = (join(margins, past(100), generator()) for _ in range(2))
        assert once.tobytes() == again.tobytes()
