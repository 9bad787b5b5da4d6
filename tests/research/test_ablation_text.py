"""An ablation's sentences follow its figures."""

import dataclasses

import pandas as pd
import pytest

from pipeline.errors import NotEnoughHistory
from pipeline.models import RECIPES
from pipeline.research.ablation_text import ablation_summary, ablation_text, ablation_verdicts

BASE = dataclasses.replace(RECIPES.for_price("fastnu-default"), epochs=50)
DAYS = {"first_session": pd.Timestamp("2017-01-03"), "last_session": pd.Timestamp("2017-12-29")}


def rows_of(ratios):
    """Return rows as `ablate` makes them, of {(layers, units): ratios by seed}."""
    return pd.DataFrame(
        [
            {"ticker": "IBM", "layers": layers, "units": units, "seed": seed}
            | {"ratio_to_naive": ratio, "sessions": 251, "left_out": 2, **DAYS}
            for (layers, units), by_seed in ratios.items()
            for seed, ratio in enumerate(by_seed)
        ]
    )


@pytest.mark.parametrize(
    ("ratios", "answer"),
    [
        (
            {(1, 5): [2.0, 2.2], (2, 5): [2.4, 2.6]},
            "did not reduce the error: from 1 to 2 layers the ratio went from 2.100 to 2.500",
        ),
        (
            {(1, 5): [2.0, 2.2], (2, 5): [1.0, 0.9]},
            "reduced the error: from 1 to 2 layers the ratio went from 2.100 to 0.950",
        ),
        (
            {(1, 5): [2.0, 2.2], (2, 5): [1.0, 1.0], (1, 9): [1.0, 1.0], (2, 9): [2.0, 2.0]},
            "reduced the error only here and there: from 1 to 2 layers the ratio went from 1.550 "
            "to 1.500",
        ),
    ],
)
def test_the_verdict_follows_the_figures(ratios, answer):
    verdicts = ablation_verdicts(rows_of(ratios))
    assert verdicts[0].startswith(f"More layers {answer} on average, and fell for")
    assert verdicts[1].startswith("The seed alone moves the ratio by")


def test_what_the_seed_does_is_compared_with_what_layers_do():
    verdicts = ablation_verdicts(rows_of({(1, 5): [2.0, 2.4], (2, 5): [1.0, 3.2]}))
    assert verdicts[1:] == [
        "The seed alone moves the ratio by 1.300 on average and 2.200 at most: more than the "
        "layers do.",
        "0 of 4 networks beat the naive forecast.",
    ]


def test_one_seed_and_one_size_give_one_sentence():
    assert ablation_verdicts(rows_of({(2, 5): [0.9]})) == [
        "1 of 1 networks beat the naive forecast."
    ]


def test_the_summary_has_mean_and_range_over_the_seeds():
    summary = ablation_summary(rows_of({(1, 5): [2.0, 3.0], (2, 5): [1.0, 1.0]}))
    assert summary.to_dict("list") == {
        "layers": [1, 2],
        "units": [5, 5],
        "mean": [2.5, 1.0],
        "least": [2.0, 1.0],
        "greatest": [3.0, 1.0],
    }


def test_the_text_says_what_was_tested_what_was_shortened_and_what_failed():
    failures = [NotEnoughHistory("FEW: 100 sessions.")]
    text = ablation_text(BASE, 2, "high", rows_of({(1, 5): [2.0], (2, 5): [1.5]}), failures)
    assert " ".join(text.split()) == (
        "fastnu-default with other layers; high, one session ahead, RMSE over the naive "
        "forecast's; mean (range) over IBM and 1 seed. Tested on 251 sessions from 2017-01-03 to "
        "2017-12-29, 2 left out. Shortened to 2 epochs of 50: not what the report trained. "
        "layers 5 units 1 2.000 2 1.500 "
        "More layers reduced the error: from 1 to 2 layers the ratio went from 2.000 to 1.500 on "
        "average, and fell for 1 of 1 pairs of ticker and units; 1 of 1 single steps up were "
        "improvements. 0 of 2 networks beat the naive forecast. failed: FEW: 100 sessions."
    )
    assert "Shortened" not in ablation_text(BASE, 50, "high", rows_of({(1, 5): [2.0]}), [])
