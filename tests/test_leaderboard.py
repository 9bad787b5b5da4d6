"""The leaderboard against plain loops over the long table, and hand-checkable numbers."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline import leaderboard
from pipeline.quantiles import INTERVALS, PROBABILITIES
from pipeline.tables import BACKTESTS

FIRST = dt.date(2020, 1, 1)


def table_of(
    spreads: dict[str, float], count: int = 50, horizon: int = 2, tickers=("AAA", "BBB"), shift: float = 0.0
) -> pd.DataFrame:
    """Forecasters whose quantiles are `spread` dollars apart about the last price; `shift` moves what "high" says."""
    random = np.random.default_rng(3)
    rows = []
    for number in range(count):
        for ticker in tickers:
            last = 100.0 + number
            actual = last + random.normal(0, 2, horizon)
            for name, spread in spreads.items():
                for ahead in range(horizon):
                    for place, probability in enumerate(PROBABILITIES):
                        rows.append(
                            {
                                "recipe": name,
                                "ticker": ticker,
                                "cutoff": FIRST + dt.timedelta(days=number),
                                "horizon": ahead + 1,
                                "session": FIRST + dt.timedelta(days=number + ahead + 1),
                                "quantile": probability,
                                "forecast": last + (place - 3) * spread + (shift if name == "high" else 0),
                                "actual": actual[ahead],
                                "last": last,
                            }
                        )
    return BACKTESTS.conform(pd.DataFrame(rows))


SPREADS = {"naive": 2.5, "ewma": 1.2, "wide": 4.0}


@pytest.fixture(scope="module")
def table():
    return table_of(SPREADS)


def loops(table, name, horizon, ticker=None):
    """(mean pinball, RMSE of the median, coverage and width by level) of one forecaster, window by window."""
    rows = [
        row
        for row in table.to_dict("records")
        if row["recipe"] == name and (horizon in (0, row["horizon"])) and ticker in (None, row["ticker"])
    ]
    pinballs, errors, windows = [], {}, {}
    for row in rows:
        error = row["actual"] - row["forecast"]
        pinballs.append((row["quantile"] * error if error > 0 else (row["quantile"] - 1) * error) / row["last"])
        key = row["ticker"], row["cutoff"], row["horizon"]
        windows.setdefault(key, []).append(row["forecast"])
        if row["quantile"] == 0.5:
            errors.setdefault(row["horizon"], []).append((error / row["last"]) ** 2)
        windows[key, "came"] = row["actual"], row["last"]
    inside, widths = {level: [] for level in INTERVALS}, {level: [] for level in INTERVALS}
    for key, quantiles in windows.items():
        if len(key) == 3:
            came, last = windows[key, "came"]
            for level, (low, high) in INTERVALS.items():
                inside[level].append(quantiles[low] <= came <= quantiles[high])
                widths[level].append((quantiles[high] - quantiles[low]) / last)
    rmse = {ahead: np.sqrt(np.mean(values)) for ahead, values in errors.items()}
    return np.mean(pinballs), rmse, {k: np.mean(v) for k, v in inside.items()}, {k: np.mean(v) for k, v in widths.items()}


@pytest.mark.parametrize("horizon", [0, 1, 2])
@pytest.mark.parametrize("name", list(SPREADS))
def test_a_row_of_the_leaderboard_is_what_plain_loops_find(table, name, horizon):
    board = leaderboard.leaderboard(table).set_index(["recipe", "horizon"]).loc[(name, horizon)]
    pinball, rmse, inside, widths = loops(table, name, horizon)
    naive_pinball, naive_rmse, _, _ = loops(table, "naive", horizon)
    ewma_pinball = loops(table, "ewma", horizon)[0]
    found = [board["pinball"], board["skill_naive"], board["skill_ewma"], board["rmse_ratio"]]
    ratio = np.mean([rmse[ahead] / naive_rmse[ahead] for ahead in rmse])
    np.testing.assert_allclose(found, [pinball, 1 - pinball / naive_pinball, 1 - pinball / ewma_pinball, ratio], atol=1e-12)
    np.testing.assert_allclose([board[f"coverage_{level}"] for level in INTERVALS], [inside[level] for level in INTERVALS])
    np.testing.assert_allclose([board[f"width_{level}"] for level in INTERVALS], [widths[level] for level in INTERVALS])
    assert board["forecasts"] == 50 * 2 * (2 if horizon == 0 else 1) and board["cutoffs"] == 50


def test_the_least_loss_stands_first_and_its_interval_holds_its_skill(table):
    board = leaderboard.leaderboard(table)
    assert list(dict.fromkeys(board["recipe"])) == sorted(SPREADS, key=lambda name: loops(table, name, 0)[0])
    others = board[board["recipe"] != "ewma"]
    assert ((others["skill_ewma_low"] < others["skill_ewma"]) & (others["skill_ewma"] < others["skill_ewma_high"])).all()


def test_each_ticker_has_figures_of_its_own(table):
    rows = leaderboard.by_ticker(table).set_index(["ticker", "recipe"])
    assert set(rows.index) == {(ticker, name) for ticker in ("AAA", "BBB") for name in SPREADS}
    assert rows.loc[("BBB", "wide"), "pinball"] == pytest.approx(loops(table, "wide", 0, "BBB")[0])


def test_observed_shares_and_cells_are_counted():
    table = table_of({"naive": 2.5, "ewma": 1.2, "high": 1.2}, count=3, tickers=("AAA",), shift=1000.0)
    observed = leaderboard.reliability(table).query("recipe == 'high'")["observed"]
    assert observed.tolist() == [1.0] * 7  # whatever came lay below every quantile
    cells = leaderboard.pit(table).query("recipe == 'high'")
    assert cells["share"].tolist() == [1.0, *[0.0] * 7]
    assert cells["expected"].tolist() == [0.025, 0.075, 0.15, 0.25, 0.25, 0.15, 0.075, 0.025]


def test_the_loss_through_time_is_a_moving_ratio_to_ewma(table):
    rows = leaderboard.through_time(table)
    own = rows[rows["recipe"] == "wide"].reset_index(drop=True)
    assert set(rows[rows["recipe"] == "ewma"]["ratio"].dropna()) == {1.0} and set(rows["tickers"]) == {2}
    last = own.tail(leaderboard.MOVING)
    assert own["ratio"].iloc[-1] == pytest.approx(last["loss"].sum() / last["ewma_loss"].sum())
    half = own.head(leaderboard.MOVING // 2)
    assert half["ratio"].isna().tolist() == [True] * (len(half) - 1) + [False]
    assert half["ratio"].iloc[-1] == pytest.approx(half["loss"].sum() / half["ewma_loss"].sum())


def test_only_pairs_that_every_forecaster_has_are_kept(table):
    day = pd.Timestamp(FIRST)
    lacking = table[~((table["recipe"] == "wide") & (table["ticker"] == "BBB") & (table["cutoff"] == day))]
    kept = leaderboard.common(lacking)
    assert len(kept) == len(table) - 3 * 2 * 7
    assert kept[(kept["ticker"] == "BBB") & (kept["cutoff"] == day)].empty
    pd.testing.assert_frame_equal(leaderboard.common(table), table)


def test_a_row_too_few_is_refused(table):
    with pytest.raises(ValueError, match="every pair of ticker and cutoff"):
        leaderboard.told(table.iloc[1:])


def test_the_verdicts_say_who_loses():
    said = leaderboard.verdicts(leaderboard.leaderboard(table_of(SPREADS)))
    assert "wide loses to naive and loses to ewma." in said
    assert "ewma beats naive." in said


def test_few_cutoffs_have_no_interval_and_no_verdict():
    board = leaderboard.leaderboard(table_of(SPREADS, count=39))
    assert board["skill_ewma_low"].isna().all() and board["skill_ewma"].notna().all()
    assert leaderboard.verdicts(board)[0].endswith("cannot be told from naive on 39 cutoffs (40 are the least).")


def test_what_people_read_has_a_line_per_forecaster_and_says_percent(table):
    board = leaderboard.leaderboard(table)
    shown = leaderboard.for_people(board)
    assert shown["recipe"].tolist() == list(dict.fromkeys(board["recipe"]))
    assert shown.set_index("recipe").loc["ewma", "skill against ewma"] == "itself"
    assert leaderboard.horizons_for_people(board).columns.tolist() == ["recipe", "1", "2"]
