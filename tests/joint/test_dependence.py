"""Dependence: past changes known at a session, and what stands in where they lack."""

import numpy as np
import pytest

from pipeline.joint import FEWEST_PAST_SESSIONS, MOST_PAST_SESSIONS, dependence_of, past_changes
from pipeline.windows import exponentially_weighted
from tests.joint.made_markets import market


def generator() -> np.random.Generator:
    return np.random.default_rng(2)


def test_a_change_is_in_units_of_the_volatility_known_when_it_began():
    prices = market(0, 150, 2)
    changes = past_changes(prices, 3)
    for session, stock, ahead in ((120, 0, 1), (146, 1, 3)):
        unit = exponentially_weighted(prices[: session + 1, stock])[-1]
        ratio = prices[session + ahead, stock] / prices[session, stock]
        expected = np.log(ratio) / unit / np.sqrt(ahead)
        assert changes[session, stock, ahead - 1] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(changes[-1]).all() and np.isnan(changes[-3, :, 2]).all()
    # The volatility of a stock's first sessions is hardly known.
    assert np.isnan(changes[:22]).all() and np.isfinite(changes[22:-3]).all()


def test_a_horizon_beyond_all_prices_has_no_changes():
    assert np.isnan(past_changes(market(0, 3, 2), 5)[:, :, 3:]).all()


def test_no_price_after_the_session_has_a_part_in_it():
    prices = market(1, 400, 3)
    other = prices.copy()
    other[301:] *= np.exp(np.random.default_rng(9).normal(0, 0.2, (99, 3)))
    seen, changed = (
        dependence_of(past_changes(each, 3), 300, generator()) for each in (prices, other)
    )
    assert seen.changes.tobytes() == changed.changes.tobytes()
    whole = dependence_of(past_changes(prices[:301], 3), 300, generator())
    assert seen.changes.tobytes() == whole.changes.tobytes()


def test_the_newest_sessions_count():
    changes = past_changes(market(1, MOST_PAST_SESSIONS + 40, 2), 1)
    newest = dependence_of(changes, len(changes) - 1, generator())
    assert newest.is_learnt and newest.own.tolist() == [MOST_PAST_SESSIONS] * 2
    assert np.array_equal(newest.changes, changes[-1 - MOST_PAST_SESSIONS : -1])
    assert newest.flat.shape == (MOST_PAST_SESSIONS, 2)


def test_a_stock_that_lacks_changes_takes_those_of_another_of_the_same_session():
    prices = market(2, 200, 4)
    prices[:150, 2] = np.nan  # listed late
    prices[180, 0] = np.nan  # masked: the changes from it and to it lack
    changes = past_changes(prices, 2)
    filled = dependence_of(changes, 199, generator())
    known = changes[filled_rows(changes)]
    assert filled.own.tolist() == [173, 176, 26, 176]
    assert np.isfinite(filled.changes).all()
    for session, stock in np.argwhere(np.isnan(known).any(axis=2)):
        others = [
            known[session, other]
            for other in range(4)
            if np.isfinite(known[session, other]).all() and other != stock
        ]
        assert any(np.array_equal(filled.changes[session, stock], each) for each in others)


def filled_rows(changes: np.ndarray) -> np.ndarray:
    """Return the sessions that some stock has changes of."""
    return np.flatnonzero(np.isfinite(changes).all(axis=2).any(axis=1))


def test_too_few_sessions_give_random_walks_that_know_nothing_of_each_other():
    changes = past_changes(market(3, FEWEST_PAST_SESSIONS + 23, 3), 2)
    walks = dependence_of(changes, FEWEST_PAST_SESSIONS + 22, generator())
    assert not walks.is_learnt
    correlation = np.corrcoef(walks.flat.T)
    assert correlation[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.1)  # one and two ahead
    assert abs(correlation[0, 2]) < 0.15
