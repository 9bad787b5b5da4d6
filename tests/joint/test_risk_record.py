"""The record: on a made market, scenarios keep their promise and independent draws do not."""

import numpy as np
import pytest

from pipeline.joint import SCENARIOS, record_of
from pipeline.quantiles import PROBABILITIES
from tests.joint.made_markets import HORIZON, market, past_forecasts

STOCKS = 4


@pytest.fixture(scope="module")
def record():
    """the record of 150 sessions of four stocks of the same part."""
    forecasts = past_forecasts(market(7, 452, STOCKS), 300)
    return record_of(forecasts, PROBABILITIES, np.full(STOCKS, 0.25), [0.95, 0.99], 200)


def test_tests_reject_independent_draws_and_no_scenarios(record):
    table = record.exceedances()
    assert len(table) == 3 * 2 * HORIZON
    first = table[table["horizon"] == 1].set_index(["joined", "level"])
    for level in (0.95, 0.99):
        assert first.loc[(SCENARIOS, level), ["kupiec", "conditional"]].min() > 0.05
        assert first.loc[("Gaussian copula", level), ["kupiec", "conditional"]].min() > 0.05
        assert first.loc[("independent draws", level), "kupiec"] < 1e-4
    assert first.loc[(SCENARIOS, 0.95), "sessions"] == 150
    assert first.loc[(SCENARIOS, 0.95), "promised"] == pytest.approx(7.5)


def test_scenarios_score_better_than_independent_draws(record):
    table = record.scores().set_index(["joined", "horizon"])
    for name in ("energy", "variogram"):
        own = table.loc[(SCENARIOS, 1), name]
        assert own < table.loc[("independent draws", 1), name]
        assert table.loc[("independent draws", 1), f"{name}_gain"].startswith("-")
        assert table.loc[(SCENARIOS, 1), f"{name}_gain"] == ""


def test_an_outcome_that_is_not_known_counts_nowhere():
    forecasts = past_forecasts(market(7, 120, 2), 100)
    forecasts[3].actual[1, 1] = np.nan
    record = record_of(forecasts, PROBABILITIES, np.array([0.5, 0.5]), [0.9], 50)
    table = record.exceedances()
    sessions = table[table["joined"] == SCENARIOS]["sessions"].tolist()
    assert sessions == [18, 17] == record.scores()["sessions"].tolist()[:2]


def test_one_stock_has_no_variogram():
    forecasts = past_forecasts(market(7, 110, 1), 100)
    record = record_of(forecasts, PROBABILITIES, np.array([1.0]), [0.9], 50)
    scores = record.scores()
    assert scores["variogram"].isna().all() and scores["energy"].notna().all()
