"""HAR regressions: against duller computations, on made markets, and without a look ahead."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.errors import NotEnoughHistory
from pipeline.models import BASELINES, PooledHar, har, har_features, har_ridge, statistical
from pipeline.models.har_features import range_variances
from pipeline.quantiles import MEDIAN, PROBABILITIES, QUANTILE_COUNT, losses, shape_of
from pipeline.windows import exponentially_weighted
from tests.made_panels import clustered, of_stocks, with_bars

HORIZON, FITTED = 3, 900
NAMES = pytest.mark.parametrize("name", har.HAR_NAMES)


@pytest.fixture(scope="module")
def market():
    return clustered(0, 4, 1200)


def forecast(name, panel, fitted=FITTED):
    return har.forecast(name, panel, HORIZON, fitted)


def test_no_name_is_that_of_another_baseline():
    assert not set(har.HAR_NAMES) & {*BASELINES, *statistical.STATISTICAL_NAMES}


@NAMES
def test_forecasts_are_ordered_around_the_price_and_wider_with_the_horizon(market, name):
    quantiles = forecast(name, market)
    assert quantiles.shape == (300, 4, HORIZON, QUANTILE_COUNT)
    assert (np.diff(quantiles, axis=3) > 0).all()
    last = market.target[FITTED:, :, None]
    assert (np.abs(quantiles[..., MEDIAN] / last - 1) < 0.02).all()
    width = (quantiles[..., -1] - quantiles[..., 0]) / last
    assert (width[..., -1] > width[..., 0]).all()


def test_the_three_means_are_least_squares_of_what_a_plain_loop_collects(market):
    alone = of_stocks(market, [1])
    variances = range_variances(alone)[:, 0]
    inputs, values = [], []
    for row in range(22, FITTED + 1 - 2):  # the variance of the two sessions ahead
        inputs.append([np.log(variances[row + 1 - count : row + 1].mean()) for count in (1, 5, 22)])
        values.append(np.log(variances[row + 1] + variances[row + 2]))
    design = np.column_stack([np.ones(len(inputs)), inputs])
    intercept, *slopes = np.linalg.lstsq(design, np.array(values), rcond=None)[0]
    means = [np.log(variances[1001 - count : 1001].mean()) for count in (1, 5, 22)]
    expected = np.exp((intercept + np.dot(slopes, means)) / 2)
    deviations = har.three_means(alone, 2, FITTED)
    assert deviations[1, 1000, 0] == pytest.approx(expected)


def test_the_ridge_with_no_penalty_is_least_squares():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(500, 3)) * [1, 10, 0.1] + [5, 0, 2]
    values = 1 + inputs @ [0.5, -0.2, 3.0] + random.normal(size=500)
    columns = np.column_stack([np.ones(500), inputs, values])
    expected = np.linalg.lstsq(columns[:, :-1], values, rcond=None)[0]
    np.testing.assert_allclose(har_ridge.coefficients_of(columns.T @ columns, 0.0), expected)


def test_the_ridge_of_an_input_that_never_changes_leaves_it_out():
    columns = np.column_stack([np.ones(50), np.full(50, 7.0), np.arange(50.0), np.arange(50.0)])
    coefficients = har_ridge.coefficients_of(columns.T @ columns, 1e-9)
    np.testing.assert_allclose(coefficients, [0, 0, 1], atol=1e-6)


@NAMES
def test_in_a_market_of_clusters_each_beats_ewma(name):
    panel = clustered(3, 6, 1500)
    quantiles = forecast(name, panel, 1000)
    ratios = []
    for stock, prices in enumerate(panel.target.T):
        volatility = exponentially_weighted(prices)
        actual = np.column_stack([prices[ahead : ahead - HORIZON] for ahead in (1, 2)])
        actual = np.column_stack([actual, prices[HORIZON:]])
        last, unit = prices[:-HORIZON], (prices * volatility)[:-HORIZON]
        seen = slice(100, 1000 - HORIZON)
        points = np.repeat(last[:, None], HORIZON, axis=1)
        shape = shape_of(actual[seen], points[seen], unit[seen])
        ewma = points[1000:, :, None] + unit[1000:, None, None] * shape
        of_ewma = losses(actual[1000:], ewma, last[1000:]).mean()
        of_har = losses(actual[1000:], quantiles[:-HORIZON, stock], last[1000:]).mean()
        ratios.append(of_har / of_ewma)
    assert np.median(ratios) < 0.99


@NAMES
def test_forecasts_hold_the_shares_that_they_promise(market, name):
    quantiles = forecast(name, market)
    ahead = 2
    actual = market.target[FITTED + ahead :]
    below = actual[..., None] <= quantiles[:-ahead, :, ahead - 1]
    np.testing.assert_allclose(below.mean(axis=(0, 1)), PROBABILITIES, atol=0.06)


@NAMES
def test_what_happens_after_a_cutoff_changes_no_forecast_from_it(market, name):
    permuted = market.bars.copy()
    permuted[950:] = np.random.default_rng(1).permutation(permuted[950:])
    changed = forecast(name, with_bars(market, permuted))
    assert np.array_equal(changed[:50], forecast(name, market)[:50])
    assert not np.array_equal(changed[50:], forecast(name, market)[50:])


@NAMES
def test_nothing_after_the_training_cutoff_is_fitted(market, name):
    changed = market.bars.copy()
    changed[FITTED + 1 :] *= np.random.default_rng(2).uniform(0.9, 1.1, (299, 4, 5))
    before, after = (
        har.REGRESSIONS[name](each, HORIZON, FITTED)[:, har.LISTED_SESSIONS : FITTED + 1]
        for each in (market, with_bars(market, changed))
    )
    assert np.array_equal(before, after)


@NAMES
def test_the_same_prices_give_the_same_bits_and_are_left_as_they_are(market, name):
    before = market.bars.copy()
    assert np.array_equal(forecast(name, market), forecast(name, market))
    assert np.array_equal(market.bars, before)


@NAMES
def test_a_price_in_cents_is_forecast_as_in_dollars(market, name):
    cents = with_bars(market, market.bars * [100, 100, 100, 100, 1])
    np.testing.assert_allclose(forecast(name, cents), 100 * forecast(name, market), rtol=1e-9)


@NAMES
def test_one_stock_alone_is_forecast(market, name):
    quantiles = forecast(name, of_stocks(market, [2]))
    assert quantiles.shape == (300, 1, HORIZON, QUANTILE_COUNT)
    assert np.isfinite(quantiles).all()


@NAMES
def test_a_stock_that_is_listed_after_the_training_cutoff_has_the_market_to_go_by(market, name):
    bars = market.bars.copy()
    bars[:950, 3] = np.nan
    quantiles = forecast(name, with_bars(market, bars))
    assert np.isnan(quantiles[: 950 + har.LISTED_SESSIONS - FITTED, 3]).all()
    assert np.isfinite(quantiles[950 + har.LISTED_SESSIONS - FITTED :, 3]).all()
    assert np.isfinite(quantiles[:, :3]).all()


@NAMES
def test_a_masked_cell_is_carried_and_only_a_missing_price_is_not_forecast_from(market, name):
    bars = market.bars.copy()
    bars[1000, 0] = np.nan
    bars[1001, 1, 1:3] = np.nan  # high and low
    quantiles = forecast(name, with_bars(market, bars))
    missing = ~np.isfinite(quantiles).all(axis=(2, 3))
    assert np.argwhere(missing).tolist() == [[1000 - FITTED, 0]]
    width = quantiles[..., -1] / quantiles[..., 0]
    assert (width[1001 - FITTED :, :2] < 2).all()


@NAMES
def test_a_price_that_stands_still_has_a_forecast_of_some_width(market, name):
    bars = market.bars.copy()
    bars[:, 0, :4] = 10.0
    quantiles = forecast(name, with_bars(market, bars))
    assert (quantiles[:, 0, :, -1] > quantiles[:, 0, :, 0]).all()


@NAMES
def test_the_quantiles_are_of_the_target_whatever_the_close_is(market, name):
    highs = dataclasses.replace(market, target=market.bars[:, :, 1])
    quantiles = forecast(name, highs)
    below = highs.target[FITTED + 1 :, :, None] <= quantiles[:-1, :, 0]
    np.testing.assert_allclose(below.mean(axis=(0, 1)), PROBABILITIES, atol=0.06)


@NAMES
def test_too_few_sessions_are_refused_with_their_number(market, name):
    message = r"\d+ sessions of all stocks to fit a HAR regression on, 250 needed"
    with pytest.raises(NotEnoughHistory, match=message):
        forecast(name, market, 80)


def test_a_panel_that_knows_too_few_sessions_ahead_is_refused(market):
    with pytest.raises(ValueError, match="Received: 6 and 6"):
        har.forecast("har", market, 6, FITTED)


@pytest.fixture(scope="module")
def reporting():
    """A market whose stocks report once a quarter, give or take two sessions, and what is known.

    Returns:
        The panel; the rows of its reports by stock; the panel with each known two weeks before.
    """
    panel, random = clustered(0, 6, 1200), np.random.default_rng(3)
    bars, days = panel.bars.copy(), panel.sessions.astype("int64")
    quarters = np.searchsorted(days, np.arange(days[0] + 100, days[-1] - 20, 91))
    rows = quarters + random.integers(-2, 3, (6, len(quarters)))
    for stock, own in enumerate(rows):
        for row in own:
            bars[row:, stock, :4] *= np.exp(random.normal(0, 0.08))
            bars[row, stock, 1:3] *= np.exp([0.04, -0.04])
            bars[row, stock, 4] *= 4
    reports = [
        (stock, days[row], row - 10, len(days)) for stock, own in enumerate(rows) for row in own
    ]
    market = with_bars(panel, bars)
    return market, rows, dataclasses.replace(market, reports=np.array(reports, "int64"))


def widened(quantiles, rows, ahead):
    """Return how much wider forecasts of report days are than those of two weeks before."""
    width = np.log(quantiles[:, :, ahead - 1, -1] / quantiles[:, :, ahead - 1, 0])
    late = [own[own > FITTED + 20] for own in rows]
    ratios = [
        width[own - ahead - FITTED, stock] / width[own - ahead - 10 - FITTED, stock]
        for stock, own in enumerate(late)
    ]
    return float(np.median(np.concatenate(ratios)))


def test_a_range_widens_over_a_report_that_is_known(reporting):
    panel, rows, knowing = reporting
    by_season, by_day = (forecast("har", each) for each in (panel, knowing))
    assert widened(by_day, rows, 1) > 1.5 > 1.2 > widened(by_season, rows, 1)
    actual = panel.target[FITTED + 1 :]
    last = panel.target[FITTED:-1]
    lost = [
        losses(actual[..., None], each[:-1, :, :1], last[..., None]).mean()
        for each in (by_season, by_day)
    ]
    assert lost[1] < lost[0]


def test_a_day_that_is_known_moves_what_was_learnt_of_the_season(reporting):
    """Whoever fits has known no report, as an evening that is the first to ask for dates."""
    panel, rows, knowing = reporting
    inputs = har.RidgeInputs(panel, True)
    coefficients = inputs.fit(HORIZON, FITTED)
    without = inputs.deviations(coefficients)
    known = har.RidgeInputs(knowing, True).deviations(coefficients)
    late = [(row, stock) for stock, own in enumerate(rows) for row in own if row > FITTED + 20]
    on, stocks = (np.array(each) for each in zip(*late, strict=True))
    assert (known[0][on - 1, stocks] / without[0][on - 1, stocks]).mean() > 1.05
    few = dataclasses.replace(knowing, reports=knowing.reports[:20])
    learnt = har.RidgeInputs(few, True).fit(HORIZON, FITTED)
    assert (learnt[:, -1] == 0).all(), "twenty reports say nothing by themselves"
    assert (har.RidgeInputs(knowing, True).fit(HORIZON, FITTED)[0, -1]) > 0.1


def test_a_few_stocks_at_a_time_give_the_same_bits(reporting, monkeypatch):
    _, _, knowing = reporting
    highs = dataclasses.replace(knowing, target=knowing.bars[:, :, 1])  # with a line
    tickers = [f"S{stock}" for stock in range(highs.target.shape[1])]
    fitted = []
    for together in (64, 3):
        monkeypatch.setattr(har_features, "BLOCK_STOCKS", together)
        assert len(list(har_features.stock_blocks(highs))) == -(-len(tickers) // together)
        fitted.append(PooledHar.fitted(highs, tickers, HORIZON, FITTED))
    assert fitted[0].lines.any()
    whole, parts = (each.__dict__ for each in fitted)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name])


def test_dates_that_become_known_later_change_no_earlier_forecast(reporting):
    _, _, knowing = reporting
    later = knowing.reports.copy()
    later[:, 2] = np.maximum(later[:, 2], 1000)  # known from this row on
    changed = dataclasses.replace(knowing, reports=later)
    moved = later.copy()
    moved[:, 1] += 3
    other = dataclasses.replace(knowing, reports=np.concatenate([later, moved]))
    ours, theirs = (forecast("har", each)[: 1000 - FITTED] for each in (changed, other))
    assert np.array_equal(ours, theirs)
