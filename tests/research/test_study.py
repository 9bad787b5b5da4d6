"""What studies see of a ticker's file, and where they keep what they have found."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError
from pipeline.models import RECIPES
from pipeline.parts import Parts
from pipeline.research.study import (
    Period,
    data_of,
    history_of,
    page_of,
    studied_universe,
    study_folder,
)
from pipeline.settings import Settings
from pipeline.windows import Newest, Split, Windowing
from tests.made_prices import random_walk
from tests.made_windows import walk

NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
RECIPE = dataclasses.replace(RECIPES.for_price("fastnu-default"), window=Windowing(10))
ALL = Period()
SPLIT = Split(Newest(20), min_train_windows=50)


def read(tmp_path, bars, target="close", period=ALL):
    """Return the history of DIS, whose file has these bars."""
    bars.to_csv(tmp_path / "DIS.csv", index=False)
    with Parts(Settings(home=tmp_path, data=str(tmp_path))) as parts:
        universe = studied_universe(parts.settings)
        return history_of(parts, universe, "DIS", target, period, NOW)


def test_a_period_is_named_by_its_ends():
    first, last = dt.date(2012, 1, 3), dt.date(2013, 3, 1)
    assert [
        str(Period()),
        str(Period(first)),
        str(Period(None, last)),
        str(Period(first, last)),
    ] == [
        "all",
        "from 2012-01-03",
        "to 2013-03-01",
        "from 2012-01-03 to 2013-03-01",
    ]


def test_a_recipe_of_the_settings_does_not_change_the_universe(tmp_path):
    settings = Settings(home=tmp_path, tickers="IBM")
    asked = settings.replaced(recipe="sezer-dis", target="open", horizon=9)
    assert studied_universe(asked) == studied_universe(settings)
    assert studied_universe(settings).tickers == ("IBM",)


def test_a_folder_that_is_not_there_is_refused():
    with pytest.raises(SettingsError, match="/nowhere/at/all is no folder"):
        studied_universe(Settings(data="/nowhere/at/all"))


# Histories


def test_a_history_has_a_row_per_session_and_nothing_is_masked_or_filled(tmp_path):
    bars = random_walk(1, 60)
    bars.loc[30, ["high", "close"]] = [np.nan, 1e6]
    history = read(tmp_path, bars.drop(index=20))
    assert list(history["session"]) == list(bars["date"])
    columns = ["open", "high", "low", "close", "volume"]
    expected = bars[columns].copy()
    expected.loc[20] = np.nan
    np.testing.assert_array_equal(history[columns], expected)


def test_before_the_years_of_the_calendar_every_day_is_a_session(tmp_path):
    days = pd.to_datetime(["1989-12-27", "1989-12-28", "1989-12-30", "1990-01-02", "1990-01-04"])
    history = read(tmp_path, random_walk(1, 5).assign(date=days))
    sessions = [*days[:4], pd.Timestamp("1990-01-03"), days[4]]
    assert list(history["session"]) == sessions
    assert list(history["close"].isna()) == [False, False, False, False, True, False]


def test_a_period_cuts_the_history(tmp_path):
    bars = random_walk(1, 60)
    days = bars["date"].dt.date.iloc[[10, 40]]
    history = read(tmp_path, bars, period=Period(*days))
    assert list(history["session"]) == list(bars["date"].iloc[10:41])


def test_the_adjusted_close_is_read_from_its_own_column(tmp_path):
    bars = random_walk(1, 30)
    bars = bars.assign(**{"Adj Close": bars["close"] / 2})
    history = read(tmp_path, bars, "adj_close")
    np.testing.assert_allclose(history["adj_close"], bars["close"] / 2)
    np.testing.assert_allclose(read(tmp_path, bars)["adj_close"], bars["close"])


def test_an_adjusted_close_that_is_not_in_the_file_is_missed(tmp_path):
    with pytest.raises(LookAtTheData, match=r"DIS\.csv has no column Adj Close"):
        read(tmp_path, random_walk(1, 30), "adj_close")


def test_a_period_without_prices_is_named(tmp_path):
    with pytest.raises(NotEnoughHistory, match=r"^DIS: no prices from 2019-01-01\. Name a folder"):
        read(tmp_path, random_walk(1, 30), period=Period(dt.date(2019, 1, 1)))


# Datasets


def test_a_dataset_is_cut_for_one_session_ahead():
    history = walk(100)
    data = data_of(history, RECIPE, "high", SPLIT)
    dataset = data.dataset
    assert dataset.spec == RECIPE.spec("IBM", dt.date(2020, 4, 9), "high", 1, SPLIT)
    np.testing.assert_array_equal(dataset.test.actual[:, 0], history["high"].tail(20))
    assert (len(dataset.train), len(dataset.test)) == (70, 20)
    assert data.digest == data_of(history, RECIPE, "high", SPLIT).digest
    assert data.digest != data_of(history, RECIPE, "close", SPLIT).digest


@pytest.mark.parametrize(
    ("sessions", "target", "message"),
    [
        (100, "low", "fastnu-default does not forecast low; its targets are high, close (flag"),
        (10, "high", "IBM: 10 sessions from 2020-01-01 to 2020-01-10 are too few: fastnu-default"),
        (79, "high", "IBM: 79 sessions from 2020-01-01 to 2020-03-19 leave 49 to train on: fastnu"),
    ],
)
def test_a_history_that_is_not_enough_is_refused_with_its_numbers(sessions, target, message):
    with pytest.raises(LookAtTheData) as refused:
        data_of(walk(sessions), RECIPE, target, SPLIT)
    assert str(refused.value).startswith(message)


def test_a_history_without_a_price_to_test_is_refused():
    history = walk(100)
    history.loc[79:, "high"] = np.nan
    with pytest.raises(NotEnoughHistory, match="lack their high that fastnu-default cannot be"):
        data_of(history, RECIPE, "high", SPLIT)


# Files


def test_a_studys_folder_is_named_by_its_parameters_and_its_source(tmp_path):
    universe = studied_universe(Settings(home=tmp_path))
    params = {"target": "high", "seeds": "7 8"}
    other_source = dataclasses.replace(universe, source="csv", data=str(tmp_path))
    folders = [
        study_folder("made", universe, params),
        study_folder("made", universe, {**params, "seeds": "7"}),
        study_folder("made", other_source, params),
    ]
    assert len(set(folders)) == 3
    assert all(folder.startswith("studies/made-high-") for folder in folders)
    assert study_folder("made", universe, dict(reversed(params.items()))) == folders[0]


def test_a_page_ends_with_what_failed():
    assert page_of(["one", "two"], []) == "one\n\ntwo"
    failures = [NotEnoughHistory("IBM: 3 sessions."), NotEnoughHistory("KO: 4 sessions.")]
    assert page_of(["one"], failures) == (
        "one\n\nfailed: IBM: 3 sessions.\nfailed: KO: 4 sessions."
    )
