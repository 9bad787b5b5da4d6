"""Another future differs in every bar after a session, and in none before."""

import numpy as np
import pandas as pd

from pipeline.inspection.perturbation import perturb_actions, perturb_prices
from pipeline.tables import ACTIONS, PRICE_COLUMNS
from tests.made_audits import made_bars


def test_another_future_has_other_bars_after_the_session_and_the_same_before():
    prices = made_bars("AAA")["AAA"].prices
    before = prices.copy()
    cut = len(prices) - 20
    other = perturb_prices(prices, prices["session"].iloc[cut - 1].date())
    pd.testing.assert_frame_equal(prices, before)
    pd.testing.assert_frame_equal(other[:cut], prices[:cut])
    for name in (*PRICE_COLUMNS, "volume"):
        assert (other[name][cut:] != prices[name][cut:]).all()
    assert (other["high"] >= other[["open", "close", "low"]].max(axis=1)).all()
    moves, others = (np.diff(np.log(table["close"][cut:])) for table in (prices, other))
    assert np.corrcoef(moves, others)[0, 1] < 0  # a rise becomes a fall


def test_a_missing_cell_stays_missing_in_another_future():
    prices = made_bars("AAA")["AAA"].prices.copy()
    prices.loc[len(prices) - 3, ["close", "volume"]] = np.nan
    other = perturb_prices(prices, prices["session"].iloc[-10].date())
    pd.testing.assert_frame_equal(other.isna(), prices.isna())


def test_other_actions_are_the_same_up_to_the_session():
    sessions = made_bars("AAA")["AAA"].prices["session"].tail(10).reset_index(drop=True)
    actions = ACTIONS.conform(
        pd.DataFrame(
            {
                "ticker": "AAA",
                "session": sessions[[2, 7]],
                "kind": "dividend",
                "value": [0.5, 0.6],
            }
        )
    )
    other = perturb_actions(actions, "AAA", sessions, sessions[4].date())
    assert list(other.itertuples(index=False, name=None)) == [
        ("AAA", sessions[2], "dividend", 0.5),
        ("AAA", sessions[6], "split", 3.0),
        ("AAA", sessions[8], "dividend", 1.5),
    ]
