"""Portfolio risk: gains, currencies and the record, on a made store."""

import numpy as np
import pytest

from pipeline.daily import page_tables, past_risk, portfolio_risk
from pipeline.errors import NothingStored, SettingsError
from pipeline.joint import SCENARIOS, Portfolio
from pipeline.measures.scores import FORECAST_COLUMNS
from pipeline.tables import FORECASTS, PRICE_CURRENCIES, SCORES
from tests.made_days import MadeParts, made_source
from tests.made_publications import CUTOFFS, KNOWN_AT, LAST, fill

PATHS = 100
HELD = Portfolio({"BRK.B": 10.0, "AAA": 30.0, "ZZZ": 1.0}, are_shares=True)


@pytest.fixture
def parts(tmp_path):
    with MadeParts(tmp_path, made_source()) as made:
        fill(made.store)
        yield made


def risk_of(parts, portfolio=HELD, session=LAST):
    series = page_tables.find(page_tables.all_series(parts.store))
    return portfolio_risk(parts, series, session, portfolio, PATHS)


def test_the_gain_of_a_single_stock_has_its_published_quantiles(parts):
    risk = risk_of(parts, Portfolio({"AAA": 2.0}, are_shares=True))
    row = parts.store.load(FORECASTS, ticker="AAA", cutoff=LAST, horizon=3).iloc[0]
    assert risk.worth == pytest.approx(2 * row["last_value"])
    table = risk.table([0.9]).set_index("horizon")
    # The 10% quantile lies between the tenth and the eleventh of a hundred draws.
    at_risk = 1 - row["lower_80"] / row["last_value"]
    assert table.loc[3, "value_at_risk_90"] == pytest.approx(at_risk, rel=0.05)
    assert table.loc[3, "expected_shortfall_90"] > table.loc[3, "value_at_risk_90"]
    assert table.loc[3, "session"] == row["session"]


def test_shares_are_weighted_by_what_they_are_worth_and_unpublished_ones_are_named(parts):
    risk = risk_of(parts)
    last = parts.store.load(FORECASTS, ticker=["AAA", "BRK.B"], cutoff=LAST, horizon=1)
    worth = last["last_value"].to_numpy() * [30, 10]
    assert risk.worth == pytest.approx(worth.sum())
    assert risk.weights == pytest.approx(worth / worth.sum())
    assert (risk.without, risk.currency) == (("ZZZ",), "")
    values = risk.drawn.values / last["last_value"].to_numpy()[:, None]
    assert risk.gains == pytest.approx(np.einsum("mst,s->mt", values - 1, risk.weights))


def test_a_portfolio_of_nothing_published_is_refused(parts):
    with pytest.raises(NothingStored, match=r"nothing is published of the portfolio's ZZZ\."):
        risk_of(parts, Portfolio({"ZZZ": 1.0}, are_shares=False))


@pytest.mark.parametrize("named", [["AAA"], ["AAA", "BRK.B"]])
def test_currencies_that_differ_are_refused(parts, named):
    import pandas as pd

    currencies = {"AAA": "GBp", "BRK.B": "GBP"}
    rows = [
        {
            "source_id": "sample",
            "ticker": ticker,
            "known_at": KNOWN_AT.replace(tzinfo=None),
            "currency": currencies[ticker],
        }
        for ticker in named
    ]
    parts.store.save(PRICE_CURRENCIES, PRICE_CURRENCIES.conform(pd.DataFrame(rows)))
    other = "GBP: BRK.B" if len(named) > 1 else "unknown: BRK.B"
    with pytest.raises(SettingsError, match=r"in 2 currencies") as refused:
        risk_of(parts)
    assert other in str(refused.value) and "GBp (pence): AAA" in str(refused.value)
    assert risk_of(parts, Portfolio({"AAA": 1.0}, are_shares=True)).currency == "GBp"


def test_the_record_counts_losses_beyond_what_was_promised_then(parts):
    risk = risk_of(parts, Portfolio({"AAA": 1.0}, are_shares=False))
    past = past_risk(parts, risk, [0.9], 500)
    # The newest cutoff's own outcome is not known yet.
    assert (past.first, past.last, past.backfilled) == (CUTOFFS[0], CUTOFFS[-2], False)
    rows = past.record.exceedances().set_index(["joined", "horizon"])
    scored = parts.store.load(SCORES, ticker="AAA").merge(
        parts.store.load(FORECASTS, ticker="AAA")[["cutoff", "horizon", "lower_80"]],
        on=["cutoff", "horizon"],
    )
    for ahead in (1, 5):
        own = scored[scored["horizon"] == ahead]
        assert rows.loc[(SCENARIOS, ahead), "sessions"] == len(own)
        beyond = int((own["actual"] < own["lower_80"]).sum())
        assert abs(rows.loc[(SCENARIOS, ahead), "exceedances"] - beyond) <= 1


def test_sessions_at_which_a_holding_was_not_scored_are_left_out(parts):
    parts.store.replace(SCORES, SCORES.empty(), ticker="BRK.B", cutoff=CUTOFFS[2])
    past = past_risk(parts, risk_of(parts), [0.95], 500)
    assert past.record.exceedances()["sessions"].max() == len(CUTOFFS) - 2
    newest = past_risk(parts, risk_of(parts), [0.95], 4)
    assert newest.first == CUTOFFS[-5]


def test_the_record_looks_at_no_session_after_the_one_asked_for(parts):
    past = past_risk(parts, risk_of(parts, session=CUTOFFS[4]), [0.95], 500)
    assert past.last == CUTOFFS[3] and past.record.exceedances()["sessions"].max() == 4
    assert past_risk(parts, risk_of(parts, session=CUTOFFS[0]), [0.95], 500) is None


def test_forecasts_made_later_are_a_record_of_their_own(parts):
    late = parts.store.load(SCORES).assign(backfilled=True)
    parts.store.save(SCORES, late)
    past = past_risk(parts, risk_of(parts), [0.95], 500)
    assert past.backfilled and past.record.exceedances()["sessions"].max() == len(CUTOFFS) - 1


def test_a_level_that_is_not_published_of_all_stands_aside(parts):
    """The tail is then drawn from the levels that are."""
    rows = parts.store.load(FORECASTS, ticker="AAA", cutoff=LAST)
    parts.store.save(FORECASTS, rows.assign(**{FORECAST_COLUMNS[0]: np.nan}))
    assert len(risk_of(parts).drawn.margins.probabilities) == len(FORECAST_COLUMNS) - 1
