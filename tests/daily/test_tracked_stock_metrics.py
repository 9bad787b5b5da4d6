"""What people read of a stock's network: figures, headline, verdict, promotion."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.daily.dataset_files import DatasetEntry
from pipeline.daily.lineup import Lineup
from pipeline.daily.tracked_stock_metrics import (
    PREDICTED_COLUMNS,
    distribution_figures,
    headline,
    promotion_line,
    stock_description,
    stock_figures,
)
from pipeline.measures import crps, exceedance_test, qlike
from pipeline.models import RECIPES
from tests.made_days import SMALL
from tests.made_prices import LAST

TRAINING = DatasetEntry("training", LAST, "d1", "", 850, "no network of its own: too young")
OWN = Lineup("OLD", (TRAINING,), ())
METRICS = {
    "training/epochs": 2.0,
    "test/rmse": 0.5,
    "test/rmse_naive": 0.625,
    "test/rmse_ewma": 0.625,
    "skill/rmse": 0.2,
    "skill/pinball": -0.1,
    "test/mae": 0.25,
    "test/mae_naive": 0.375,
    "test/pinball": 0.011,
    "test/pinball_ewma": 0.01,
    "test/coverage_80": 0.81,
}
BASELINES = ("naive", "ewma", "average", "moving")


def evaluation(model, split, horizon, rmse):
    """Return an EVALUATIONS row whose other figures follow from the RMSE."""
    shares = {f"coverage_{level}": level / 100 for level in (50, 80, 95)}
    return {
        "dataset": "d1",
        "model": model,
        "split": split,
        "horizon": horizon,
        "sessions": 60,
        "rmse": rmse,
        "mae": rmse / 2,
        "mase": rmse * 2,
        "directional_accuracy": 0.5,
        "pinball": rmse / 100,
        **shares,
    }


def test_figures_are_of_the_first_session_and_the_loss_of_all():
    from pipeline.models import BASELINES as BASELINE_NAMES

    rows = [
        evaluation(model, split, horizon, rmse * horizon * (2 if split == "validation" else 1))
        for model, rmse in {"m1": 0.5, **dict.fromkeys(BASELINE_NAMES, 1.0)}.items()
        for split in ("validation", "test")
        for horizon in (2, 1)
    ]
    figures = stock_figures(pd.DataFrame(rows), "m1")
    expected = {
        "test/rmse": 0.5,
        "test/rmse_naive": 1.0,
        "skill/rmse": 0.5,
        "test/mae": 0.25,
        "test/mase_naive": 2.0,
        "test/pinball": 0.0075,
        "test/pinball_ewma": 0.015,
        "skill/pinball": 0.5,
        "validation/rmse": 1.0,
        "validation/rmse_naive": 2.0,
        "test/coverage_80": 0.8,
        "test_by_horizon/rmse_h02": 1.0,
        "test_by_horizon/rmse_naive_h02": 2.0,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)
    assert set(figures) == set(stock_figures(pd.DataFrame(rows), "naive")), "one set of names"


def test_figures_of_the_distribution_are_of_the_calibrated_test_predictions():
    # 60 sessions, two horizons; the interval of 95% is 2 dollars wide on either side of 100.
    spread = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    actual = np.full((60, 2), 100.25)
    actual[[10, 20, 30], 0], actual[40, 0] = 97.0, 103.0
    cutoffs = pd.date_range("2013-01-01", periods=60)
    table = pd.DataFrame(
        {
            "cutoff": np.tile(cutoffs, 2),
            "horizon": np.repeat([1, 2], 60),
            "actual": actual.T.ravel(),
            "naive": 100.0,
            **dict(zip(PREDICTED_COLUMNS, 100 + spread, strict=True)),
        }
    )
    figures = distribution_figures(table)
    quantiles, last = np.tile(100 + spread, (60, 2, 1)), np.full(60, 100.0)
    test = exceedance_test(np.abs(actual[:, 0] - 100) > 2, 0.05)
    outer = exceedance_test(np.abs(actual[:, 0] - 100) > 2.73, 0.02)
    assert test.exceedances == outer.exceedances == 4
    assert figures == pytest.approx(
        {
            "test/crps": crps(actual, quantiles, last).mean(),
            "test/qlike": qlike(actual, quantiles, last).mean(),
            "test/width_80": 0.02,
            "test/below_q025": 3 / 60,
            "test/above_q975": 1 / 60,
            "test/kupiec_95": test.kupiec,
            "test/christoffersen_95": test.conditional,
            "test/below_q010": 3 / 60,
            "test/above_q990": 1 / 60,
            "test/kupiec_98": outer.kupiec,
            "test/christoffersen_98": outer.conditional,
        }
    )


def test_the_regression_of_all_stocks_stands_beside_the_network_where_it_was_fitted():
    from pipeline.models import STANDING

    rows = [
        evaluation(model, split, horizon, {"m1": 0.5, "har": 0.8}.get(model, 1.0))
        for model in ("m1", *STANDING)
        for split in ("validation", "test")
        for horizon in (1, 2)
    ]
    figures = stock_figures(pd.DataFrame(rows), "m1")
    assert (figures["test/rmse_har"], figures["test/pinball_har"]) == (0.8, 0.008)
    assert figures["skill/pinball_over_har"] == pytest.approx(1 - 0.005 / 0.008)
    without = [row for row in rows if row["model"] != "har"]
    assert not [name for name in stock_figures(pd.DataFrame(without), "m1") if "har" in name]


def test_a_headline_is_a_network_and_the_naive_forecast():
    assert headline(METRICS) == "test RMSE 0.5000, naive 0.6250, skill +20.00%"
    default = headline({**METRICS, "test/rmse_default_recipe": 0.55})
    assert default == "test RMSE 0.5000, naive 0.6250, default recipe 0.5500, skill +20.00%"
    without = {name: value for name, value in METRICS.items() if name != "training/epochs"}
    assert headline(without) == "test RMSE of naive 0.6250; no network"


def test_a_description_begins_with_the_verdict_and_ends_with_the_data():
    text = stock_description(OWN, SMALL, METRICS, 60)
    verdict, table, data = text.split("\n\n")
    assert verdict == (
        "**OLD: the distribution is 10.00% worse than ewma's; "
        "the median, one session ahead, is 20.00% better than naive's.**"
    )
    assert table.splitlines() == [
        "| on 60 test sessions | default | ewma | naive |",
        "|---|---|---|---|",
        "| mean pinball loss, of the price | 1.100% | 1.000% |  |",
        "| RMSE one session ahead | 0.5000 | 0.6250 | 0.6250 |",
        "| MAE one session ahead | 0.2500 |  | 0.3750 |",
        "| inside the 80% interval | 81.0% |  |  |",
    ]
    figures = {"test/crps": 0.02, "test/kupiec_95": 0.5, "test/christoffersen_95": 0.125}
    figures |= {"test/kupiec_98": 0.25, "test/christoffersen_98": 0.75}
    tested = stock_description(OWN, SMALL, {**METRICS, **figures}, 60).split("\n\n")[1]
    assert tested.splitlines()[-3:] == [
        "| CRPS, of the price | 2.000% |  |  |",
        "| p of Kupiec's and Christoffersen's test of the 95% interval | 0.50, 0.12 |  |  |",
        "| p of Kupiec's and Christoffersen's test of the 98% interval | 0.25, 0.75 |  |  |",
    ]
    har = {"test/pinball_har": 0.0095, "test/rmse_har": 0.75}
    beside = stock_description(OWN, SMALL, {**METRICS, **har}, 60).split("\n\n")[1]
    assert beside.splitlines() == [
        "| on 60 test sessions | default | har | ewma | naive |",
        "|---|---|---|---|---|",
        "| mean pinball loss, of the price | 1.100% | 0.950% | 1.000% |  |",
        "| RMSE one session ahead | 0.5000 | 0.7500 | 0.6250 | 0.6250 |",
        "| MAE one session ahead | 0.2500 |  |  | 0.3750 |",
        "| inside the 80% interval | 81.0% |  |  |  |",
    ]
    assert data == (
        "Recipe `default`, dataset `d1`, 850 sessions up to 2013-03-01. "
        "What is published is decided by `promote`."
    )


def test_a_description_says_why_there_is_no_network_and_how_a_protocol_peeks():
    without = {name: value for name, value in METRICS.items() if name != "training/epochs"}
    text = stock_description(OWN, RECIPES.for_price("castilla.faithful"), without, 60)
    assert text.startswith(
        "**OLD has no network: no network of its own: too young** "
        "The figures are the naive forecast's."
    )
    assert "This protocol peeks: MinMax" in text and "It is never published." in text


@pytest.mark.parametrize(
    ("skill", "verdict"),
    [(0.0, "the distribution equals ewma's"), (math.nan, "cannot be compared with ewma's")],
)
def test_a_verdict_without_a_difference_says_so(skill, verdict):
    assert verdict in stock_description(OWN, SMALL, {**METRICS, "skill/pinball": skill}, 60)


PROMOTION = {
    "champion": "lstm",
    "weight": 0.6,
    "baseline": "ewma",
    "test_rmse": 0.5,
    "skill": 0.2,
    "pinball_skill": 0.1,
    "pinball_skill_over_har": math.nan,
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            "lstm, 60% of it and the rest of ewma: test pinball skill +10.00% against ewma, "
            "RMSE skill +20.00% against naive",
        ),
        (
            {"champion": "ewma", "weight": 0.0},
            "ewma: the network's test pinball skill +10.00% against ewma, "
            "RMSE skill +20.00% against naive",
        ),
        (
            {"pinball_skill_over_har": -0.01},
            "lstm, 60% of it and the rest of ewma: test pinball skill +10.00% against ewma "
            "and -1.00% against har, RMSE skill +20.00% against naive",
        ),
        (
            {"champion": "har", "weight": 0.0, "pinball_skill_over_har": 0.0},
            "har: test pinball skill +10.00% against ewma, RMSE skill +20.00% against naive",
        ),
        ({"champion": "ewma", "test_rmse": math.nan}, "ewma; no network"),
        (
            {"champion": "naive", "pinball_skill": math.nan},
            "naive: the network's test RMSE skill +20.00% against naive",
        ),
    ],
    ids=["network", "baseline", "beside har", "har", "no network", "before distributions"],
)
def test_a_promotion_is_a_line(changes, line):
    assert promotion_line({**PROMOTION, **changes}) == line
