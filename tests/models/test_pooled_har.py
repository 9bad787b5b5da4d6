"""`har` of a universe: the same forecasts as a backtest's, on any later panel, stock by stock."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.models import PooledHar, StockHar, har
from tests.made_panels import clustered, of_stocks, with_bars

HORIZON, FITTED = 3, 900
TICKERS = ("AA", "BB", "CC")


@pytest.fixture(scope="module")
def market():
    return clustered(0, 3, 1000)


@pytest.fixture(scope="module")
def fitted(market):
    return PooledHar.fitted(market, TICKERS, HORIZON, FITTED)


def windows_of(panel, stock, rows, volatility=0.01):
    last = panel.target[rows, stock]
    return SimpleNamespace(last=last, unit=volatility * last, origins=panel.sessions[rows])


def test_a_stock_s_forecasts_are_those_of_the_regression_on_all(market, fitted):
    expected = har.forecast("har", market, HORIZON, FITTED)
    rows = np.array([900, 950, 999])
    for stock, ticker in enumerate(TICKERS):
        quantiles = fitted.of(ticker)(windows_of(market, stock, rows))
        np.testing.assert_allclose(quantiles, expected[rows - FITTED, stock], rtol=1e-7)


def test_what_it_is_fitted_on_does_not_change_with_what_comes_later(market, fitted):
    bars = market.bars.copy()
    bars[FITTED + 1 :] *= np.random.default_rng(1).uniform(0.5, 2, size=bars[FITTED + 1 :].shape)
    other = PooledHar.fitted(with_bars(market, bars), TICKERS, HORIZON, FITTED)
    assert np.array_equal(other.coefficients, fitted.coefficients)
    assert np.array_equal(other.shapes, fitted.shapes)


def test_it_is_asked_on_another_panel(market, fitted):
    longer = clustered(0, 3, 1000)
    again = fitted.on(longer, TICKERS)
    assert np.array_equal(again.deviations, fitted.deviations, equal_nan=True)
    assert again.sessions.tolist() == market.sessions.tolist()
    shorter = of_stocks(market, [0, 1])
    two = fitted.on(shorter, TICKERS[:2])
    assert two.deviations.shape == (2, 1000, HORIZON)
    assert not np.array_equal(two.deviations, fitted.deviations[:2]), "the market is another"


def test_a_stock_that_it_was_not_fitted_on_has_the_shape_of_all(market, fitted):
    named = fitted.on(market, ("AA", "NEW", "CC"))
    assert np.array_equal(named.of("NEW").shape, fitted.shape)
    assert np.array_equal(named.of("AA").shape, fitted.of("AA").shape)


def test_fitted_on_one_stock_alone_it_needs_no_market_later(market):
    alone = PooledHar.fitted(of_stocks(market, [0]), TICKERS[:1], HORIZON, FITTED)
    assert not alone.with_market
    both = alone.on(of_stocks(market, [0, 1]), TICKERS[:2])
    assert np.array_equal(both.deviations[0], alone.deviations[0], equal_nan=True)


def test_from_a_session_that_it_does_not_know_it_forecasts_by_ewma_volatility(market, fitted):
    stock = fitted.of("AA")
    windows = windows_of(market, 0, np.array([10, 950]), volatility=0.02)
    early, known = stock(windows)
    roots = np.sqrt([1, 2, 3])[:, None]
    np.testing.assert_allclose(early, windows.last[0] * np.exp(0.02 * roots * stock.shape))
    centres, deviations = stock.at(windows.origins)
    assert np.isnan(deviations[0]).all() and not centres[0].any()
    assert not np.allclose(known / windows.last[1], early / windows.last[0])


def test_a_file_keeps_the_sessions_that_are_asked_for(market, fitted):
    origins = market.sessions[[990, 950]]
    kept = StockHar.of_arrays(fitted.of("BB").among(origins).arrays())
    assert kept.sessions.tolist() == sorted(origins.tolist())
    for both in zip(kept.at(origins), fitted.of("BB").at(origins), strict=True):
        assert np.array_equal(*both)
    assert kept.centres.any(), "the target is not the close"
    assert StockHar.of_arrays({}) is None


def test_a_dividend_is_no_move(market):
    """The stock pays a tenth of its price every 60 sessions: what is forecast does not widen."""
    steps = np.ones(market.target.shape)
    steps[60::60, 0] = 0.9
    paid = np.cumprod(steps, axis=0)
    bars = market.bars.copy()
    bars[:, :, :4] *= paid[-1, :, None]  # as the last session sees them
    traded = dataclasses.replace(market, bars=bars, target=market.target * paid, steps=steps)
    expected = har.forecast("har", market, HORIZON, FITTED) / market.target[FITTED:, :, None, None]
    quantiles = har.forecast("har", traded, HORIZON, FITTED)
    np.testing.assert_allclose(quantiles / traded.target[FITTED:, :, None, None], expected)
