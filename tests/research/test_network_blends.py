"""Blends of networks at one training cutoff, as a day makes them, by validation alone."""

import datetime as dt

import numpy as np
import pytest

from pipeline.decisions import SplitForecasts, calibrated_test
from pipeline.models import BASELINES, HAR, YARDSTICKS
from pipeline.prices import mask
from pipeline.research.network_blends import network_blends, network_choice, pooled_har
from pipeline.sessions import Calendar
from pipeline.tables import HISTORY
from pipeline.windows import Newest, Since, Split, encode, load_dataset
from tests.daily.quick_days import NORMAL
from tests.made_backtests import HORIZON, LAST_PRICE, TINY, bars_of

CALENDAR = Calendar("XNYS")
SPLIT = Split(Since(dt.date(2016, 1, 4)), Newest(252), min_train_windows=100, embargo=2)


def history_of(seed):
    table = bars_of(seed, 1100).rename(columns={"date": "session"})
    table = table.assign(ticker=f"S{seed}", adj_close=table["close"])
    return mask(HISTORY.conform(table))


@pytest.fixture(scope="module")
def histories():
    return {f"S{seed}": history_of(seed) for seed in range(3)}


@pytest.fixture(scope="module")
def datasets(histories):
    made = {}
    for ticker, history in histories.items():
        spec = TINY.spec(ticker, LAST_PRICE, "close", HORIZON, SPLIT)
        made[ticker] = load_dataset(encode(history, spec))
    return made


@pytest.fixture(scope="module")
def regression(histories, datasets):
    return pooled_har(histories, datasets["S0"].spec, CALENDAR)


def knowing(dataset, share, test_share=None):
    """Return forecasts of a network that knows a share of the coming change."""

    def of(windows, known):
        change = windows.actual_with_dividends - windows.last[:, None]
        spread = windows.unit[:, None, None] * NORMAL
        return windows.last[:, None, None] + known * change[:, :, None] + spread

    test_share = share if test_share is None else test_share
    return SplitForecasts(of(dataset.validation, share), of(dataset.test, test_share))


def blends_of(datasets, forecasts, regression):
    return network_blends(
        {t: network_choice(datasets[t], forecasts[t], regression) for t in datasets}
    )


def test_a_network_that_earns_nothing_leaves_har_alone_calibrated(datasets, regression):
    forecasts = {ticker: knowing(dataset, -1.0) for ticker, dataset in datasets.items()}
    for ticker, blend in blends_of(datasets, forecasts, regression).items():
        dataset, own = datasets[ticker], regression.of(ticker)
        alone = SplitForecasts(own(dataset.validation), own(dataset.test))
        assert (blend.baseline, blend.weight) == (HAR, 0.0)
        assert np.array_equal(blend.calibrated, calibrated_test(dataset, alone))


def test_a_network_that_is_worth_it_is_blended_with_har(datasets, regression):
    forecasts = {ticker: knowing(dataset, 0.5) for ticker, dataset in datasets.items()}
    for ticker, blend in blends_of(datasets, forecasts, regression).items():
        assert blend.baseline == HAR
        assert 0.5 < blend.weight <= 1
        own = regression.of(ticker)(datasets[ticker].test)
        mixed = blend.weight * forecasts[ticker].test + (1 - blend.weight) * own
        np.testing.assert_allclose(blend.blend.test, mixed)


def test_nothing_of_the_test_sessions_decides(datasets, regression):
    once, other = (
        {t: knowing(dataset, 0.5, test_share) for t, dataset in datasets.items()}
        for test_share in (0.5, -3.0)
    )
    weights = [
        {t: (blend.baseline, blend.weight) for t, blend in each.items()}
        for each in (blends_of(datasets, made, regression) for made in (once, other))
    ]
    assert weights[0] == weights[1]


def test_without_a_regression_naive_or_the_random_walk_has_the_rest(histories, datasets):
    few = {ticker: history.tail(40) for ticker, history in histories.items()}
    assert pooled_har(few, datasets["S0"].spec, CALENDAR) is None
    forecasts = {ticker: knowing(dataset, -1.0) for ticker, dataset in datasets.items()}
    for ticker, blend in blends_of(datasets, forecasts, None).items():
        dataset = datasets[ticker]
        assert blend.baseline in YARDSTICKS
        baseline = BASELINES[blend.baseline].fit(dataset.train, HORIZON)
        assert np.array_equal(blend.blend.test, baseline(dataset.test))
