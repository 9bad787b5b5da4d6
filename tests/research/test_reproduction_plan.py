"""Studies before anything is trained: which recipes, which sessions, what is left out."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError, UnknownTicker
from pipeline.models import RECIPES
from pipeline.research.reproduction_plan import find_study, prepare_ticker, study_names
from pipeline.research.study import Period
from pipeline.universes import Universe
from tests.made_prices import random_walk
from tests.made_studies import (
    GAP,
    LAST_OF_2017,
    NOW,
    POOL,
    SHORT,
    SHORT_RECIPES,
    TESTED,
    StudyParts,
    write_prices,
)

ONE = Universe(name="csv", source="csv", data="/prices", tickers=("IBM",))
ALL = Period()
TWO = dataclasses.replace(ONE, tickers=("IBM", "KO"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_prices(tmp_path_factory.mktemp("prices"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory, folder):
    with StudyParts(tmp_path_factory.mktemp("home"), folder) as opened:
        yield opened


def prepared(parts, ticker, study="made", universe=TWO, recipe="", target="", period=ALL):
    universe = dataclasses.replace(universe, data=parts.settings.data)
    plan = find_study(parts.recipes, study, universe, recipe, target)
    return prepare_ticker(parts, universe, plan, ticker, period, NOW)


# Which recipes


def test_the_studies_are_those_that_recipes_name():
    assert study_names(RECIPES) == ["weng", "sezer", "fastnu", "aungiers"]
    assert study_names(SHORT_RECIPES) == ["weng", "sezer", "fastnu", "aungiers", "made"]


def test_a_study_has_its_recipes_and_the_first_ones_target():
    plan = find_study(SHORT_RECIPES, "made", TWO)
    assert (plan.recipes, plan.target, plan.left_out) == ((SHORT, POOL), "high", ())
    plan = find_study(SHORT_RECIPES, "made", TWO, "pool", "close")
    assert (plan.recipes, plan.target) == ((POOL,), "close")


def test_a_network_for_many_stocks_is_left_out_where_there_is_one():
    plan = find_study(SHORT_RECIPES, "made", ONE)
    sentence = "pool is one network for many stocks, and there is only IBM: left out."
    assert (plan.recipes, plan.left_out) == ((SHORT,), (sentence,))
    assert find_study(SHORT_RECIPES, "made", TWO).for_tickers(["IBM"]) == plan


@pytest.mark.parametrize(
    ("name", "recipe", "target", "message"),
    [
        ("fastnow", "", "", "There is no study 'fastnow'. The studies are: weng, sezer, fastnu, "),
        ("", "", "", "There is no study ''"),
        ("fastnu", "walia", "", "'walia' is no recipe of the study fastnu. Its recipes are: fastn"),
        ("fastnu", "", "low", "fastnu-default does not forecast low; its targets are high, close"),
        ("weng", "weng-multi", "", "weng-multi is one network for many stocks, and there is only"),
    ],
)
def test_what_cannot_be_compared_is_refused(name, recipe, target, message):
    with pytest.raises(SettingsError) as refused:
        find_study(RECIPES, name, ONE, recipe, target)
    assert str(refused.value).startswith(message)


# Which sessions


def test_the_sessions_are_those_that_have_their_price_and_the_one_before(parts, folder):
    ticker = prepared(parts, "KO")
    days = pd.read_csv(folder / "KO.csv")["date"].to_numpy("datetime64[D]")
    tested = days[days >= np.datetime64(TESTED[0])]
    gap = int(np.flatnonzero(tested == np.datetime64(GAP))[0])
    np.testing.assert_array_equal(ticker.sessions, np.delete(tested, [gap, gap + 1]))
    assert ticker.period == len(tested) == 63
    assert ticker.notes == (
        f"KO: 2 of 63 test sessions are left out, because the high of {GAP} is missing.",
        "KO: in 9 of the windows tested, short sees the last known price in the place of a missing "
        "one. It is only an input, never what is forecast.",
    )
    assert prepared(parts, "IBM").notes == ()


def test_a_note_names_three_missing_days_and_counts_the_others(tmp_path):
    bars = random_walk(0, 300, LAST_OF_2017)
    bars.loc[bars.index[-40:-20:4], "high"] = np.nan
    bars.to_csv(tmp_path / "IBM.csv", index=False)
    with StudyParts(tmp_path, tmp_path) as parts:
        note = prepared(parts, "IBM", universe=ONE).notes[0]
    named = ", ".join(str(day.date()) for day in bars["date"].iloc[-40:-28:4])
    assert f"the high of {named} and 2 more days is missing." in note


def test_the_default_recipe_learns_nothing_from_the_sessions_tested(parts):
    ticker = prepared(parts, "IBM")
    default, tested = ticker.data["default"].dataset, ticker.data["short"].dataset.test.sessions
    assert (
        default.train.sessions.max()
        < default.validation.sessions.min()
        < default.validation.sessions.max()
        < tested.min()
    )
    np.testing.assert_array_equal(default.test.sessions, tested)


def test_a_history_too_short_for_the_default_recipe_is_compared_without_it(tmp_path):
    random_walk(0, 300, LAST_OF_2017).to_csv(tmp_path / "IBM.csv", index=False)
    default = SHORT_RECIPES.for_price("default")
    split = dataclasses.replace(default.split, min_train_windows=400)
    recipes = SHORT_RECIPES.replaced(dataclasses.replace(default, split=split))
    with StudyParts(tmp_path, tmp_path, recipes=recipes) as parts:
        ticker = prepared(parts, "IBM", universe=ONE)
    assert list(ticker.data) == ["short"] and len(ticker.sessions) == 63
    assert ticker.notes[0].startswith("The default recipe is not compared. IBM: 300 sessions")


def test_predictions_are_written_as_the_sources_write_them(parts):
    ticker = prepared(parts, "KO")
    table = ticker.predictions("short", np.arange(61.0))
    assert list(table.columns) == ["date", "actual", "prediction", "naive"]
    test = ticker.data["short"].dataset.test.take(ticker.is_measured("short"))
    np.testing.assert_array_equal(table["date"], test.sessions[:, 0])
    np.testing.assert_array_equal(table[["actual", "naive"]].T, [test.actual[:, 0], test.last])


@pytest.mark.parametrize(
    ("study", "ticker", "asked", "kind", "message"),
    [
        ("made", "OLD", {}, LookAtTheData, "OLD: no session from 2017-10-02 to 2017-12-29, on wh"),
        ("made", "NOPE", {}, UnknownTicker, "NOPE is not among the tickers of"),
        ("made", "FEW", {}, NotEnoughHistory, "short needs 10 as context and 100 to train on"),
        ("sezer", "IBM", {}, LookAtTheData, "IBM.csv has no column Adj Close"),
        ("sezer", "FEW", {"target": "close"}, NotEnoughHistory, "sezer-dis needs 240 as context"),
        (
            "fastnu",
            "IBM",
            {"period": Period(first=dt.date(2019, 1, 1))},
            NotEnoughHistory,
            "IBM: no prices from 2019-01-01",
        ),
    ],
)
def test_a_ticker_that_cannot_be_tested_says_why(parts, study, ticker, asked, kind, message):
    with pytest.raises(kind) as error:
        prepared(parts, ticker, study, **asked)
    assert message in str(error.value) and "\n" not in str(error.value)
