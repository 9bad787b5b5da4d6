"""The tables of distributions against plain loops, and their text."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from pipeline.measures import CONFIDENCE
from pipeline.measures.distributions import CRPS_WEIGHTS
from pipeline.models.baselines import NORMAL_QUANTILES
from pipeline.quantiles import PROBABILITIES
from pipeline.research.distribution_table import (
    DistributionTables,
    distribution_table,
    distribution_tables,
    exceedance_tests,
    quantile_table,
    tracked_figures,
)
from pipeline.research.distribution_text import (
    distribution_text,
    readable_distributions,
    readable_exceedances,
    readable_quantiles,
)
from pipeline.research.leaderboard import ForecasterRecord, leaderboard, records_of
from tests.made_forecasts import FIRST_DAY, SPREADS, forecasts_of


@pytest.fixture(scope="module")
def table():
    return forecasts_of()


@pytest.fixture(scope="module")
def records(table):
    return records_of(table)


@pytest.fixture(scope="module")
def foresight(records):
    """Return forecasts that lie halfway between those of ewma and the outcome."""
    ewma = records["ewma"]
    return dataclasses.replace(ewma, quantiles=(ewma.quantiles + ewma.actual[..., None]) / 2)


@pytest.fixture(scope="module")
def worth(records, foresight):
    tests = exceedance_tests(records)
    rows = distribution_table(records, foresight), quantile_table(records, tests), tests
    return DistributionTables(*rows, foresight_gain=0.5)


def test_a_row_is_what_plain_loops_find(table, worth):
    rows = worth.distributions.set_index(["recipe", "horizon"])
    figures = {}
    for name in ("wide", "ewma"):
        scores, losses = [], []
        of_name = table[(table["recipe"] == name) & (table["horizon"] == 1)]
        for _, window in of_name.groupby(["cutoff", "ticker"]):
            actual, last = window["actual"].iloc[0], window["last"].iloc[0]
            score = 0.0
            for weight, probability, quantile in zip(
                CRPS_WEIGHTS, PROBABILITIES, window["forecast"], strict=True
            ):
                error = actual - quantile
                score += 2 * weight * max(probability * error, (probability - 1) * error) / last
            scores.append(score)
            width = window["forecast"].iloc[6] - window["forecast"].iloc[0]
            implied = (width / last / 3.919928) ** 2
            losses.append(math.log(implied) + (actual / last - 1) ** 2 / implied)
        figures[name] = np.mean(scores), np.mean(losses)
    row = rows.loc[("wide", 1)]
    np.testing.assert_allclose((row["crps"], row["qlike"]), figures["wide"])
    assert row["crps_skill_ewma"] == pytest.approx(1 - figures["wide"][0] / figures["ewma"][0])
    assert row["qlike_gain_ewma"] == pytest.approx(figures["ewma"][1] - figures["wide"][1])
    for name in ("crps_skill_ewma", "qlike_gain_ewma", "foresight_share", "width_80"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_the_share_of_foresight_is_of_the_loss_that_it_saves(records, foresight, worth):
    shares = worth.distributions.set_index(["recipe", "horizon"])["foresight_share"]
    ewma, wide, least = (
        record.losses.mean() for record in (records["ewma"], records["wide"], foresight)
    )
    assert shares[("wide", 0)] == pytest.approx((ewma - wide) / (ewma - least))
    assert shares[("ewma", 0)] == 0.0


def test_without_a_gain_of_foresight_there_is_no_share(table):
    unknown = distribution_tables(table, {})
    assert unknown.foresight_gain == 0.0
    assert unknown.distributions["foresight_share"].isna().all()
    assert "unknown" in readable_distributions(unknown.distributions)["of foresight"].tolist()
    assert "would gain nothing over ewma here." in " ".join(distribution_text(unknown).split())


def test_prices_that_never_move_leave_what_is_relative_open(table):
    still = table.assign(actual=table["last"], forecast=table["last"])
    worth = distribution_tables(still, {})
    assert math.isnan(worth.foresight_gain)
    assert (worth.distributions["crps"] == 0).all()
    assert worth.distributions["crps_skill_ewma"].isna().all()
    assert "gain nothing over ewma" in " ".join(distribution_text(worth).split())


def test_each_quantile_has_its_loss_its_share_and_its_tests(table, worth):
    rows = worth.quantiles.set_index(["recipe", "horizon", "quantile"])
    assert len(rows) == 3 * 3 * 9
    of_first = table[(table["recipe"] == "wide") & (table["horizon"] == 1)]
    for probability in (0.025, 0.9):
        own = of_first[of_first["quantile"] == probability]
        error = own["actual"] - own["forecast"]
        loss = np.where(error > 0, probability * error, (probability - 1) * error) / own["last"]
        row = rows.loc[("wide", 1, probability)]
        assert row["pinball"] == pytest.approx(loss.mean())
        beyond = error < 0 if probability < 0.5 else error > 0
        assert row["exceeded"] == pytest.approx(beyond.mean())
        assert row["promised"] == pytest.approx(min(probability, 1 - probability))
    # The tails are Student's with 5 degrees of freedom, on the scale of the outermost two.
    outer, next_outer = (
        of_first[of_first["quantile"] == probability]["forecast"].to_numpy()
        for probability in (0.025, 0.1)
    )
    t01, t025, t10 = stats.t(5).ppf([0.01, 0.025, 0.1])
    lowest = outer - (next_outer - outer) * (t025 - t01) / (t10 - t025)
    beyond = of_first[of_first["quantile"] == 0.025]["actual"] < lowest
    assert rows.loc[("wide", 1, 0.01), "exceeded"] == pytest.approx(beyond.mean())
    pinball = rows["pinball"].unstack("quantile")[list(PROBABILITIES)].mean(axis=1)
    board = leaderboard(table).set_index(["recipe", "horizon"])["pinball"]
    np.testing.assert_allclose(pinball.loc[board.index], board)


def test_tests_are_of_each_ticker_and_the_table_counts_the_rejected(table, worth):
    tests = worth.exceedances.set_index(["recipe", "ticker", "horizon", "quantile"])
    assert len(tests) == 3 * 2 * 2 * 9
    # 12 dollars from the median to the outer quantile, and errors of 2: nothing lies beyond.
    row = tests.loc[("wide", "AAA", 1, 0.025)]
    assert (row["sessions"], row["exceedances"]) == (50, 0)
    assert row["kupiec"] == pytest.approx(stats.chi2.sf(-100 * math.log(0.975), 1))
    rows = worth.quantiles.set_index(["recipe", "horizon", "quantile"])
    assert rows.loc[("wide", 1, 0.25), "rejected_kupiec"] == 1.0
    assert math.isnan(rows.loc[("wide", 0, 0.25), "rejected_kupiec"])


def test_few_cutoffs_have_no_interval_and_no_p_value():
    worth = distribution_tables(forecasts_of(count=39), {})
    assert worth.distributions["crps_skill_ewma_low"].isna().all()
    assert worth.distributions["pit_p_value"].isna().all()
    assert worth.quantiles["exceeded_low"].isna().all()
    assert worth.distributions["crps"].notna().all()


def test_what_is_tracked_is_finite_and_names_its_horizon(worth):
    own = (rows[rows["recipe"] == "wide"] for rows in (worth.distributions, worth.quantiles))
    figures = tracked_figures(*own)
    assert all(map(math.isfinite, figures.values()))
    rows = worth.distributions.set_index(["recipe", "horizon"])
    assert figures["crps"] == rows.loc[("wide", 0), "crps"]
    assert figures["crps.h2"] == rows.loc[("wide", 2), "crps"]
    assert figures["rejected_kupiec_q250.h1"] == 1.0
    assert {
        "pinball_q025",
        "exceeded_q975.h1",
        "exceeded_q990.h1",
        "foresight_share",
        "pit_p_value",
    } <= set(figures)


def test_the_tables_for_people_have_a_line_per_forecaster(worth):
    order = list(dict.fromkeys(worth.distributions["recipe"]))
    of_all = readable_distributions(worth.distributions)
    assert of_all["recipe"].tolist() == order
    ewma = of_all.set_index("recipe").loc["ewma"]
    assert ewma[["skill against ewma", "QLIKE gain", "of foresight"]].tolist() == ["itself"] * 3
    quantiles = readable_quantiles(worth.quantiles)
    assert quantiles.columns.tolist() == [
        "recipe", "1.0%", "2.5%", "10.0%", "25.0%", "50.0%", "75.0%", "90.0%", "97.5%", "99.0%",
    ]  # fmt: skip
    beyond = readable_exceedances(worth.quantiles).set_index("recipe")
    assert beyond.columns.tolist() == ["below 1.0%", "below 2.5%", "above 97.5%", "above 99.0%"]
    assert beyond.loc["wide", "below 2.5%"] == "0.0% 0% / 0%"
    assert " [" in beyond.loc["ewma", "below 2.5%"]
    text = " ".join(distribution_text(worth).split())
    assert "would lose 50.0% less than ewma" in text
    assert f"Intervals ({CONFIDENCE:.0%}) and tests allow" in text
    assert set(SPREADS) == set(order)


def test_right_quantiles_keep_their_promise_and_narrow_ones_do_not():
    # Five sessions ahead, forecast at each session: the outcomes overlap.
    random, count, horizon = np.random.default_rng(8), 600, 5
    closes = 100 + np.cumsum(random.normal(size=count + horizon))
    last, ahead = closes[:count], np.arange(1, horizon + 1)
    spread = np.sqrt(ahead)[:, None] * NORMAL_QUANTILES
    days = np.datetime64(FIRST_DAY, "s") + np.arange(count).astype("timedelta64[D]")
    records = {
        name: ForecasterRecord(
            np.full(count, "AAA", dtype=object),
            days,
            last[:, None, None] + width * spread,
            closes[np.arange(count)[:, None] + ahead],
            last,
        )
        for name, width in (("naive", 1.0), ("ewma", 1.0), ("narrow", 0.7))
    }
    table = distribution_table(records, records["ewma"]).set_index(["recipe", "horizon"])
    tests = exceedance_tests(records)
    assert table.loc[("ewma", 0), "pit_p_value"] > 0.05
    assert table.loc[("narrow", 0), "pit_p_value"] < 0.01
    by = tests.set_index(["recipe", "horizon", "quantile"])
    for ahead in (1, 5):
        assert by.loc[("ewma", ahead, 0.025), "kupiec"] > 0.05
        assert by.loc[("narrow", ahead, 0.025), "kupiec"] < 0.05
    of_narrow = quantile_table(records, tests).set_index(["recipe", "horizon", "quantile"])
    assert of_narrow.loc[("narrow", 0, 0.975), "exceeded_low"] > 0.025
