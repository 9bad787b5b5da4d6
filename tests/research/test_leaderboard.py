"""The leaderboard against plain loops over the long table, and numbers that a hand can check."""

import numpy as np
import pandas as pd
import pytest

from pipeline.quantiles import INTERVALS
from pipeline.research import leaderboard
from pipeline.research.leaderboard import MOVING_CUTOFFS
from tests.made_forecasts import FIRST_DAY, SPREADS, forecasts_of


@pytest.fixture(scope="module")
def table():
    return forecasts_of()


def loops(table, name, horizon, ticker=None):
    """Return one forecaster's figures, window by window.

    They are mean pinball loss, RMSE of the median by horizon, coverage and width by level.
    """
    rows = [
        row
        for row in table.to_dict("records")
        if row["recipe"] == name
        and horizon in (0, row["horizon"])
        and ticker in (None, row["ticker"])
    ]
    pinballs, errors, quantiles, actuals = [], {}, {}, {}
    for row in rows:
        error = row["actual"] - row["forecast"]
        share = row["quantile"] if error > 0 else row["quantile"] - 1
        pinballs.append(share * error / row["last"])
        key = row["ticker"], row["cutoff"], row["horizon"]
        quantiles.setdefault(key, []).append(row["forecast"])
        actuals[key] = row["actual"], row["last"]
        if row["quantile"] == 0.5:
            errors.setdefault(row["horizon"], []).append((error / row["last"]) ** 2)
    inside, widths = {level: [] for level in INTERVALS}, {level: [] for level in INTERVALS}
    for key, forecast in quantiles.items():
        actual, last = actuals[key]
        for level, (low, high) in INTERVALS.items():
            inside[level].append(forecast[low] <= actual <= forecast[high])
            widths[level].append((forecast[high] - forecast[low]) / last)
    return (
        np.mean(pinballs),
        {ahead: np.sqrt(np.mean(squares)) for ahead, squares in errors.items()},
        {level: np.mean(hits) for level, hits in inside.items()},
        {level: np.mean(shares) for level, shares in widths.items()},
    )


@pytest.mark.parametrize("horizon", [0, 1, 2])
@pytest.mark.parametrize("name", list(SPREADS))
def test_a_row_of_the_leaderboard_is_what_plain_loops_find(table, name, horizon):
    board = leaderboard.leaderboard(table).set_index(["recipe", "horizon"]).loc[(name, horizon)]
    pinball, rmse, inside, widths = loops(table, name, horizon)
    naive_pinball, naive_rmse, _, _ = loops(table, "naive", horizon)
    ewma_pinball = loops(table, "ewma", horizon)[0]
    ratio = np.mean([rmse[ahead] / naive_rmse[ahead] for ahead in rmse])
    np.testing.assert_allclose(
        [board["pinball"], board["skill_naive"], board["skill_ewma"], board["rmse_ratio"]],
        [pinball, 1 - pinball / naive_pinball, 1 - pinball / ewma_pinball, ratio],
        atol=1e-12,
    )
    np.testing.assert_allclose(
        [board[f"coverage_{level}"] for level in INTERVALS], [inside[level] for level in INTERVALS]
    )
    np.testing.assert_allclose(
        [board[f"width_{level}"] for level in INTERVALS], [widths[level] for level in INTERVALS]
    )
    assert board["forecasts"] == 50 * 2 * (2 if horizon == 0 else 1)
    assert board["cutoffs"] == 50


def test_the_least_loss_stands_first_and_its_interval_holds_its_skill(table):
    board = leaderboard.leaderboard(table)
    best_first = sorted(SPREADS, key=lambda name: loops(table, name, 0)[0])
    assert list(dict.fromkeys(board["recipe"])) == best_first
    others = board[board["recipe"] != "ewma"]
    assert (others["skill_ewma_low"] < others["skill_ewma"]).all()
    assert (others["skill_ewma"] < others["skill_ewma_high"]).all()


def test_few_cutoffs_have_no_interval():
    board = leaderboard.leaderboard(forecasts_of(count=39))
    assert board["skill_ewma_low"].isna().all()
    assert board["skill_ewma"].notna().all()


def test_each_ticker_has_figures_of_its_own(table):
    rows = leaderboard.by_ticker(table).set_index(["ticker", "recipe"])
    assert set(rows.index) == {(ticker, name) for ticker in ("AAA", "BBB") for name in SPREADS}
    assert rows.loc[("BBB", "wide"), "pinball"] == pytest.approx(loops(table, "wide", 0, "BBB")[0])


def test_observed_shares_and_cells_are_counted():
    spreads = {"naive": 2.5, "ewma": 1.2, "high": 1.2}
    table = forecasts_of(spreads, count=3, tickers=("AAA",), shift=1000.0)
    observed = leaderboard.reliability(table).query("recipe == 'high'")["observed"]
    assert observed.tolist() == [1.0] * 7  # every actual lies below every quantile
    cells = leaderboard.pit(table).query("recipe == 'high'")
    assert cells["share"].tolist() == [1.0, *[0.0] * 7]
    assert cells["expected"].tolist() == [0.025, 0.075, 0.15, 0.25, 0.25, 0.15, 0.075, 0.025]


def test_the_loss_through_time_is_a_moving_ratio_to_ewma(table):
    rows = leaderboard.through_time(table)
    assert set(rows[rows["recipe"] == "ewma"]["ratio"].dropna()) == {1.0}
    assert set(rows["tickers"]) == {2}
    wide = rows[rows["recipe"] == "wide"].reset_index(drop=True)
    last = wide.tail(MOVING_CUTOFFS)
    assert wide["ratio"].iloc[-1] == pytest.approx(last["loss"].sum() / last["ewma_loss"].sum())
    half = wide.head(MOVING_CUTOFFS // 2)
    assert half["ratio"].isna().tolist() == [True] * (len(half) - 1) + [False]
    assert half["ratio"].iloc[-1] == pytest.approx(half["loss"].sum() / half["ewma_loss"].sum())


def test_only_pairs_that_every_forecaster_has_are_kept(table):
    at_first = table["cutoff"] == pd.Timestamp(FIRST_DAY)
    lacking = table[~((table["recipe"] == "wide") & (table["ticker"] == "BBB") & at_first)]
    kept = leaderboard.common_rows(lacking)
    assert len(kept) == len(table) - 3 * 2 * 7
    assert kept[(kept["ticker"] == "BBB") & (kept["cutoff"] == pd.Timestamp(FIRST_DAY))].empty
    pd.testing.assert_frame_equal(leaderboard.common_rows(table), table)


def test_a_row_too_few_is_refused(table):
    with pytest.raises(ValueError, match="every pair of ticker and cutoff"):
        leaderboard.records_of(table.iloc[1:])
