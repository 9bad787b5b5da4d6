"""Planning a search: its folds, what it keeps back, and what is refused before any training."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import NotEnoughHistory, SettingsError
from pipeline.models import RECIPES
from pipeline.prices import fetch_histories, on_calendar
from pipeline.research.search_plan import SearchRequest
from pipeline.research.search_planning import plan_search
from pipeline.sessions import Calendar
from pipeline.tables import PRICE_COLUMNS
from pipeline.windows import Newest, Split, encode, load_dataset
from tests.made_days import NOW, SMALL
from tests.made_prices import LAST
from tests.made_searches import SESSIONS, TWO, UNTOUCHED, SearchParts


@pytest.fixture
def parts(tmp_path):
    with SearchParts(tmp_path) as made:
        yield made


def test_folds_are_the_last_years_before_the_sessions_that_are_kept_back(parts):
    plan = parts.plan(SearchRequest(1, 3))
    ends = [SESSIONS[-252 - back * 252 - 1] for back in (2, 1, 0)]
    assert [fold.last for fold in plan.folds] == ends
    starts = [SESSIONS[SESSIONS.index(end) - 251] for end in ends]
    assert [fold.first for fold in plan.folds] == starts
    assert plan.untouched == UNTOUCHED
    for fold in plan.folds[1:]:
        assert sorted(fold.files) == ["AAA", "BBB"]
        for file in fold.files.values():
            dataset = load_dataset(file)
            assert dataset.test.sessions.min().astype(object) == fold.first
            assert dataset.test.sessions.max().astype(object) == fold.last
            assert dataset.validation.sessions.max() < np.datetime64(fold.first)
            assert dataset.train.sessions.max() < dataset.validation.sessions.min()


def test_a_ticker_that_is_too_young_for_a_fold_sits_it_out_and_is_named(parts):
    plan = parts.plan(SearchRequest(1, 3))
    tickers = [sorted(fold.files) for fold in plan.folds]
    assert tickers == [["AAA"], ["AAA", "BBB"], ["AAA", "BBB"]]
    [message] = [message for _, _, message in parts.messages if "goes without" in message]
    # 122 sessions before the fold: 40 of context, 60 of validation, and 4 between parts, twice.
    windows = 122 - 40 - 60 - 2 * 4
    assert message == (
        f"the fold {plan.folds[0]} goes without BBB: 374 sessions leave {windows} windows to "
        "train on, 100 are needed"
    )


def test_a_ticker_without_prices_before_a_fold_ends_is_named(parts):
    bars = parts.made.bars["BBB"]
    parts.made.bars["BBB"] = bars[bars["date"] >= pd.Timestamp(UNTOUCHED)]
    [fold] = parts.plan(SearchRequest(1, 1)).folds
    assert list(fold.files) == ["AAA"]
    message = f"the fold {fold} goes without BBB: no prices up to {fold.last}"
    assert ("tune", "", message) in parts.messages


def test_a_renamed_ticker_is_searched_with_the_prices_of_both_names(parts):
    [right] = parts.plan(SearchRequest(1, 1)).folds
    bars = parts.made.bars.pop("AAA")
    parts.made.bars |= {"OLD": bars[:-700], "AAA": bars[-700:]}
    renamed = dataclasses.replace(TWO, aliases={"AAA": "OLD"})
    [fold] = plan_search(parts, renamed, SMALL, SearchRequest(1, 1), NOW).folds
    assert fold.files == right.files


def test_a_fold_reads_a_block_of_bars_in_another_unit_repaired(parts):
    [right] = parts.plan(SearchRequest(1, 1)).folds
    bars = parts.made.bars["AAA"]
    bars.loc[bars.index[700:710], PRICE_COLUMNS] *= 100
    [fold] = parts.plan(SearchRequest(1, 1)).folds
    ours, theirs = (load_dataset(each.files["AAA"]) for each in (fold, right))
    np.testing.assert_allclose(ours.train.values, theirs.train.values, rtol=1e-9)


def test_a_recipe_that_tests_on_more_keeps_more_back(parts):
    split = Split(Newest(400), Newest(60), min_train_windows=100)
    recipe = dataclasses.replace(SMALL, split=split)
    plan = parts.plan(SearchRequest(1, 1), recipe)
    assert plan.untouched == SESSIONS[-400 - TWO.horizon + 1]
    # The whole history, cut by the recipe as the daily run would cut it.
    histories = fetch_histories(parts.made, ["AAA"], SESSIONS[0], LAST, Calendar("XNYS"), NOW)
    history = on_calendar(histories.of("AAA", LAST, masked=False), SESSIONS)
    dataset = load_dataset(encode(history, recipe.spec("AAA", LAST, TWO.target, TWO.horizon)))
    assert dataset.test.sessions.min() == np.datetime64(plan.untouched)


def test_no_price_of_the_sessions_kept_back_moves_a_fold(parts):
    before = parts.plan()
    for number, bars in enumerate(parts.made.bars.values()):
        late = bars["date"] >= pd.Timestamp(UNTOUCHED)
        columns = ["open", "high", "low", "close", "volume"]
        bars.loc[late, columns] = bars.loc[late, columns].iloc[::-1].to_numpy() * (3 + number)
    after = parts.plan()
    assert [fold.files for fold in after.folds] == [fold.files for fold in before.folds]
    assert after.fingerprint == before.fingerprint


def test_a_price_of_the_last_session_that_counts_makes_it_another_search(parts):
    before = parts.plan().fingerprint
    bars = parts.made.bars["AAA"]
    row = bars.index[bars["date"] == pd.Timestamp(SESSIONS[-253])]
    bars.loc[row, "close"] *= 1.0001
    assert parts.plan().fingerprint != before


def test_with_to_the_sessions_before_it_are_the_ones_kept_back(parts):
    plan = parts.plan(SearchRequest(1, 1, last=SESSIONS[-100]))
    assert plan.untouched == SESSIONS[-100 - 251]
    assert plan.folds[-1].last == SESSIONS[-100 - 252]


@pytest.mark.parametrize(
    ("recipe", "request_", "error", "message"),
    [
        (
            RECIPES.for_price("castilla.faithful"),
            SearchRequest(6, 2),
            SettingsError,
            r"castilla\.faithful peeks .* Name castilla \(--recipe\)\.",
        ),
        (
            RECIPES.for_price("ganegedara-ema"),
            SearchRequest(6, 2),
            SettingsError,
            r"no search space for ganegedara-ema\. There is one for: default, ",
        ),
        (
            dataclasses.replace(SMALL, targets=("high",)),
            SearchRequest(6, 2),
            SettingsError,
            r"default does not forecast close; its targets are high ",
        ),
        (
            SMALL,
            SearchRequest(1, 30),
            NotEnoughHistory,
            r"30 folds of 252 need more\. Ask for fewer folds",
        ),
        (
            SMALL,
            SearchRequest(1, 6),
            NotEnoughHistory,
            r"Nothing can be learnt before the fold .*: AAA: no prices up to .*; BBB: no prices "
            r"up to .*\. Ask for fewer folds",
        ),
        (SMALL, SearchRequest(1, 1, first=dt.date(2013, 2, 25)), NotEnoughHistory, r"0 sessions"),
        (
            SMALL,
            SearchRequest(1, 1, last=dt.date(1999, 2, 25)),
            SettingsError,
            r"There is no session of XNYS",
        ),
    ],
)
def test_a_search_that_cannot_be_done_is_refused(parts, recipe, request_, error, message):
    with pytest.raises(error, match=message):
        parts.plan(request_, recipe)


@pytest.mark.parametrize("values", [{"trials": 0, "folds": 1}, {"trials": 1, "folds": 0}])
def test_no_trials_and_no_folds_are_refused(values):
    with pytest.raises(SettingsError, match="at least 1 is expected"):
        SearchRequest(**values)


def test_days_in_the_wrong_order_are_refused():
    with pytest.raises(SettingsError, match=r"--from 2013-01-02 is after --to 2013-01-01"):
        SearchRequest(1, 1, dt.date(2013, 1, 2), dt.date(2013, 1, 1))
