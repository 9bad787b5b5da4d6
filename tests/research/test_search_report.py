"""The text of a search: progress, sentences and the command that repeats it."""

import dataclasses
import datetime as dt

import pytest

from pipeline.research.search import Trial, TrialState
from pipeline.research.search_plan import Fold, SearchPlan, SearchRequest
from pipeline.research.search_report import (
    search_command,
    search_sentences,
    trial_line,
    trial_table,
)
from tests.made_days import SMALL
from tests.made_searches import TWO

OWN = Trial(0, TrialState.COMPLETE, {"units": 16, "means": (1, 5)}, (1.02, 1.0), 2.04)
BETTER = Trial(1, TrialState.COMPLETE, {"units": 9, "means": (1, 20)}, (0.97, 0.98), 1.0)
PRUNED = Trial(2, TrialState.PRUNED, {"units": 60, "means": (1, 5)}, (1.5,), 0.5)
FOLD = Fold(dt.date(2011, 2, 28), dt.date(2012, 2, 29), {"AAA": b"", "BBB": b""})
PLAN = SearchPlan(TWO, SMALL, 7, (FOLD,), dt.date(2012, 3, 1), (), {})


def test_a_line_of_progress_has_the_newest_trial_and_the_best():
    assert trial_line([OWN, BETTER, PRUNED]) == (
        "trial 2 (units 60, means 1 5): pruned, 0.5 s; best so far trial 1, 0.9800"
    )
    assert trial_line([OWN]) == (
        "trial 0 (units 16, means 1 5): 1.0000 of ewma's loss, 2.0 s; best so far trial 0, 1.0000"
    )


def test_the_table_has_a_row_per_trial():
    table = trial_table([OWN, BETTER, PRUNED])
    assert table.columns.tolist() == [
        "trial",
        "state",
        "ratio",
        "folds",
        "units",
        "means",
        "seconds",
    ]
    assert table.iloc[1].tolist() == [1, "complete", 0.98, 2, "9", "1 20", 1]


@pytest.mark.parametrize(
    ("trials", "gain"),
    [
        ([OWN, BETTER], "the recipe as it is 1.0000; trial 1 is the best at 0.9800, -2.00%."),
        ([OWN, PRUNED], "the recipe as it is 1.0000; no trial was better."),
    ],
)
def test_sentences_say_what_was_won_and_what_was_not_looked_at(trials, gain):
    text = " ".join(search_sentences(PLAN, trials))
    assert gain in text
    assert "Folds: 2011-02-28 to 2012-02-29 (2 tickers)." in text
    assert "The test sessions, from 2012-03-01 on, have not been looked at." in text


@pytest.mark.parametrize(
    ("universe", "flags"),
    [
        (TWO, "--universe two --tickers AAA,BBB"),
        (dataclasses.replace(TWO, name="sample"), "--universe sample --tickers AAA,BBB"),
        (
            dataclasses.replace(TWO, name="yahoo", source="yahoo"),
            "--source yahoo --tickers AAA,BBB",
        ),
    ],
)
def test_the_command_names_the_universe_or_the_source_that_made_it(universe, flags):
    command = search_command(universe, SMALL, SearchRequest(2, 3), 7)
    assert command == (
        f"stockcast tune --recipe default {flags} --target close --horizon 5 --trials 2 "
        "--folds 3 --seed 7"
    )


def test_the_command_has_the_range_and_the_folder_of_files():
    universe = dataclasses.replace(TWO, name="csv", source="csv", data="/prices")
    request = SearchRequest(2, 3, dt.date(2011, 1, 3), dt.date(2012, 1, 3))
    command = search_command(universe, SMALL, request, 7)
    assert "--source csv " in command
    assert command.endswith("--from 2011-01-03 --to 2012-01-03 --seed 7 --data /prices")
