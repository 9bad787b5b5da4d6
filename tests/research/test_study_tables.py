"""A study's tables and sentences, compared whole."""

import numpy as np
import pandas as pd

from pipeline.research.study_tables import (
    ablation_table,
    normalised_table,
    study_table,
    study_verdicts,
)

RECIPES_SHOWN = ["short", "pool"]


def result(ticker, recipe, seed, rmse, default, **figures):
    """Return a row as `reproduce` makes it; the naive forecast's RMSE is 2 dollars."""
    return {
        "ticker": ticker,
        "recipe": recipe,
        "seed": seed,
        "published_rmse": np.nan,
        "published_sessions": False,
        "rmse": rmse,
        "naive_rmse": 2.0,
        "linear_rmse": 2.2,
        "default_rmse": default,
        "normalised_mse": 1e-3,
        "naive_normalised_mse": 2e-3,
        "naive_normalised_mse_train": 3e-3,
        "directional_accuracy": 0.5,
        "spread": 0.25,
        "sessions": 61,
        "left_out": 2,
        **figures,
    }


PUBLISHED = {"published_rmse": 2.5, "published_sessions": True}
#: Two seeds of a recipe on IBM; KO is a hundred times as dear and has no default recipe.
RESULTS = pd.DataFrame(
    [
        result("IBM", "short", 7, 3.0, 1.8, **PUBLISHED, spread=0.5),
        result("IBM", "short", 8, 4.0, 2.2, **PUBLISHED, normalised_mse=2e-3),
        result("IBM", "pool", 7, 1.8, 2.0),
        result("KO", "short", 7, 120.0, np.nan, naive_rmse=100.0, linear_rmse=90.0, spread=np.nan),
    ]
)


def test_every_error_stands_next_to_its_multiple_of_naives():
    header, *lines = study_table(RESULTS, RECIPES_SHOWN).splitlines()
    assert header == (
        "ticker  recipe  published      x    ours           by seed      x   naive   linear      x"
        "  default      x  tested  left out"
    )
    assert [" ".join(line.split()) for line in lines] == [
        "IBM short 2.5000 1.250 3.5000 3.0000 .. 4.0000 1.750 "
        "2.0000 2.2000 1.100 2.0000 1.000 61 2",
        "IBM pool – – 1.8000 0.900 2.0000 2.2000 1.100 2.0000 1.000 61 2",
        "KO short – – 120.00 1.200 100.00 90.0000 0.900 – – 61 2",
    ]
    assert {len(line) for line in (header, *lines)} == {len(header)}


def test_errors_on_normalised_windows_are_means_over_the_seeds():
    assert normalised_table(RESULTS, ["short"]).splitlines() == [
        "ticker  recipe   test MSE  naive test MSE  naive train MSE  direction right"
        "  spread of changes",
        "IBM     short   1.500e-03       2.000e-03        3.000e-03            50.0%"
        "               0.38",
        "KO      short   1.000e-03       2.000e-03        3.000e-03            50.0%"
        "                  –",
    ]


def test_only_the_recipes_asked_for_are_shown():
    lines = study_table(RESULTS, ["pool"]).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["IBM", "pool"]]


def test_the_verdicts_rank_everyone_and_count_wins_over_naive():
    assert study_verdicts(RESULTS, RECIPES_SHOWN) == [
        "IBM, best first: pool 1.8000, default 2.0000, naive 2.0000, linear 2.2000, short 3.5000.",
        "KO, best first: linear 90.0000, naive 100.00, short 120.00.",
        "short beats the naive forecast on 0 of 2 tickers: 1.475 times its RMSE on average.",
        "pool beats the naive forecast on 1 of 1 ticker: 0.900 times its RMSE.",
        "default beats the naive forecast on 0 of 1 ticker: 1.000 times its RMSE.",
        "linear beats the naive forecast on 1 of 2 tickers: 1.000 times its RMSE on average.",
        "The default recipe's RMSE, compared with the published one of short: 20% below on IBM.",
    ]


def test_figures_that_were_published_of_other_sessions_are_not_compared():
    others = RESULTS.assign(published_sessions=False)
    assert study_verdicts(others, ["short"])[-1] == (
        "The published RMSE of short is of other sessions: it shows how large an error its source "
        "had, no more."
    )
    without = RESULTS.assign(published_rmse=np.nan)
    assert not any("published" in verdict for verdict in study_verdicts(without, ["short"]))


def test_an_ablation_has_a_line_per_layers_and_a_column_per_units():
    summary = pd.DataFrame(
        [
            {"layers": 1, "units": 25, "mean": 2.0, "least": 1.5, "greatest": 2.5},
            {"layers": 1, "units": 1, "mean": 3.0, "least": 3.0, "greatest": 3.0},
            {"layers": 4, "units": 25, "mean": 1.25, "least": 1.0, "greatest": 1.5},
        ]
    )
    assert ablation_table(summary).splitlines() == [
        "layers  1 unit                 25 units",
        "     1   3.000  2.000  (1.500 .. 2.500)",
        "     4       –  1.250  (1.000 .. 1.500)",
    ]
