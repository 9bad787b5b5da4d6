"""A reproduction before anything is trained: the recipes compared, and each ticker's data.

Every forecast of a ticker is measured on the same sessions: those that all its recipes are tested
on. No cell is filled: a session is left out and counted where its price is missing, or what it is
forecast from.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError
from pipeline.models import DEFAULT, PriceRecipe, Recipes, linear
from pipeline.research.study import Period, StudyData, data_of, history_of
from pipeline.tables import column
from pipeline.universes import Universe
from pipeline.windows import LastClose, Since, Split, Windows

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The windows that the linear model, which recipes are compared with, sees of a history.
LINEAR_WINDOWS = dataclasses.replace(
    DEFAULT, name="linear", normalisation=LastClose(), one_pass=None, fine_tuning=None
)
#: Missing days that a note names; the others are counted.
DAYS_NAMED = 3


@dataclass(frozen=True)
class StudyPlan:
    """The recipes of one source that are compared, on one target.

    Attributes:
        left_out: sentences that say which recipes are left out, and why.
    """

    name: str
    recipes: tuple[PriceRecipe, ...]
    target: str
    left_out: tuple[str, ...] = ()

    def for_tickers(self, tickers: Sequence[str]) -> StudyPlan:
        """Return the plan for these tickers: for one, without networks for many stocks.

        Raises:
            SettingsError: no recipe is left.
        """
        shared = [recipe for recipe in self.recipes if recipe.pooled and len(tickers) == 1]
        if not shared:
            return self
        reasons = [
            f"{recipe.name} is one network for many stocks, and there is only {tickers[0]}"
            for recipe in shared
        ]
        if len(shared) == len(self.recipes):
            raise SettingsError(f"{'; '.join(reasons)}. Name more tickers (--tickers).")
        return dataclasses.replace(
            self,
            recipes=tuple(recipe for recipe in self.recipes if recipe not in shared),
            left_out=(*self.left_out, *(f"{reason}: left out." for reason in reasons)),
        )


def study_names(recipes: Recipes) -> list[str]:
    """Return the names of all studies, in the order of their recipes."""
    return list(dict.fromkeys(recipe.study for recipe in recipes.price_modes if recipe.study))


def find_study(
    recipes: Recipes, name: str, universe: Universe, recipe: str = "", target: str = ""
) -> StudyPlan:
    """Return the study of a name for the tickers of `universe`.

    Args:
        recipe: the only recipe to compare; "": all of the study.
        target: "": its first recipe's own.

    Raises:
        SettingsError: there is no such study, recipe or target.
    """
    members = [each for each in recipes.price_modes if each.study == name]
    if not members or not name:
        raise SettingsError(
            f"There is no study {name!r}. The studies are: {', '.join(study_names(recipes))}."
        )
    names = [each.name for each in members]
    if recipe and recipe not in names:
        raise SettingsError(
            f"{recipe!r} is no recipe of the study {name}. Its recipes are: {', '.join(names)}."
        )
    compared = [each for each in members if recipe in ("", each.name)]
    target = target or compared[0].targets[0]
    for each in compared:
        if target not in each.targets:
            raise SettingsError(
                f"{each.name} does not forecast {target}; its targets are "
                f"{', '.join(each.targets)} (flag --target)."
            )
    return StudyPlan(name, tuple(compared), target).for_tickers(universe.tickers)


@dataclass(frozen=True, eq=False)
class StudiedTicker:
    """One ticker of a study.

    Attributes:
        data: datasets by recipe name; the default recipe has none where the history is too short
            for it.
        sessions: datetime64[D] (n,): those that everything is measured on.
        period: how many sessions the test period has.
        linear: the linear model's forecasts, prices (n,).
        notes: sentences that the reader must know.
    """

    ticker: str
    data: Mapping[str, StudyData]
    sessions: np.ndarray
    period: int
    linear: np.ndarray
    notes: tuple[str, ...]

    def is_measured(self, recipe: str) -> np.ndarray:
        """Return which of a recipe's test windows are measured, bool (its test windows,)."""
        return _are_among(self.data[recipe].dataset.test, self.sessions)

    def measured(self, recipe: str) -> Windows:
        """Return a recipe's test windows that are measured, n of them."""
        return self.data[recipe].dataset.test.take(self.is_measured(recipe))

    def predictions(self, recipe: str, forecast: np.ndarray) -> pd.DataFrame:
        """Return date, actual, prediction and naive, as the sources write their results.

        Args:
            forecast: of a network of that recipe, prices (n,).
        """
        test = self.measured(recipe)
        return pd.DataFrame(
            {
                "date": self.sessions,
                "actual": test.actual[:, 0],
                "prediction": forecast,
                "naive": test.last,
            }
        )


def prepare_ticker(
    parts: Parts, universe: Universe, plan: StudyPlan, ticker: str, period: Period, now: dt.datetime
) -> StudiedTicker:
    """Cut a ticker's history for all recipes, and find the sessions that all are tested on.

    Raises:
        LookAtTheData: there are none, or none of the days that a source was tested on.
        NotEnoughHistory: a recipe cannot be trained and tested.
    """
    history = history_of(parts, universe, ticker, plan.target, period, now)
    for recipe in plan.recipes:
        history = _until_tested(history, recipe)
    data = {
        recipe.name: data_of(history, recipe, plan.target, _published_split(recipe))
        for recipe in plan.recipes
    }
    days = history["session"].to_numpy().astype("datetime64[D]")
    tested = [days[-_test_sessions(each) :] for each in data.values()]
    # The default recipe and the linear model are tested from where the first of the recipes is:
    # they are trained on no more than it.
    since = Since(max(tested, key=len)[0].item())
    default = parts.recipes.for_price(DEFAULT.name)
    too_short = []
    try:
        split = dataclasses.replace(default.split, test=since)
        data[default.name] = data_of(history, default, plan.target, split)
    except NotEnoughHistory as error:
        too_short.append(f"The default recipe is not compared. {error}")
    straight = data_of(history, LINEAR_WINDOWS, plan.target, Split(since, min_train_windows=1))
    datasets = [each.dataset for each in (*data.values(), straight)]
    sessions = reduce(np.intersect1d, [each.test.sessions[:, 0] for each in datasets])
    if not len(sessions):
        raise LookAtTheData(
            f"{ticker}: no session of its test period can be forecast by all of "
            f"{', '.join(data)}. Look at the file."
        )
    fewest = len(min(tested, key=len))
    gaps = _gap_notes(history, plan, data, fewest, len(sessions))
    dataset = straight.dataset
    line = linear(dataset.train, dataset.test)[_are_among(dataset.test, sessions), 0]
    return StudiedTicker(ticker, data, sessions, fewest, line, (*gaps, *too_short))


def _until_tested(history: pd.DataFrame, recipe: PriceRecipe) -> pd.DataFrame:
    """Return the history up to the last day that a recipe's source was tested on, if it names one.

    Raises:
        LookAtTheData: the history has none of the days that it was tested on.
    """
    if recipe.tested is None:
        return history
    first, last = recipe.tested
    known = history[history["session"] <= pd.Timestamp(last)]
    if not (known["session"] >= pd.Timestamp(first)).any():
        begin, end = (history["session"].iloc[at].date() for at in (0, -1))
        raise LookAtTheData(
            f"{history['ticker'].iloc[0]}: no session from {first} to {last}, on which "
            f"{recipe.name} is tested; its prices are of {begin} to {end}. Give files that reach "
            f"from years before {first.year} through {last.year}."
        )
    return known


def _published_split(recipe: PriceRecipe) -> Split:
    """Return a recipe's split as published: on the days that its source names, where it does."""
    if recipe.tested is None:
        return recipe.split
    return dataclasses.replace(recipe.split, test=Since(recipe.tested[0]))


def _test_sessions(data: StudyData) -> int:
    """Return how many sessions the test part has, forecast or not; they end with the history."""
    return len(data.dataset.test) + data.dataset.left_out["test"]


def _are_among(windows: Windows, sessions: np.ndarray) -> np.ndarray:
    """Return which windows forecast one of these sessions, bool (windows,)."""
    return np.isin(windows.sessions[:, 0], sessions)


def _gap_notes(
    history: pd.DataFrame, plan: StudyPlan, data: Mapping[str, StudyData], period: int, tested: int
) -> Iterator[str]:
    """Yield which cells of the test period are missing, and what that does to its sessions.

    Args:
        period: how many sessions the test period has.
        tested: how many of them are measured.
    """
    ticker = history["ticker"].iloc[0]
    if tested < period:
        left_out = f"{period - tested} of {period} test sessions are left out"
        yield f"{ticker}: {left_out}, because {_reason(history.tail(period), plan.target)}."
    recipe = plan.recipes[0]
    touched = _windows_with_gaps(history, data[recipe.name])
    if touched:
        yield (
            f"{ticker}: in {touched} of the windows tested, {recipe.name} sees the last known "
            "price in the place of a missing one. It is only an input, never what is forecast."
        )


def _reason(inside: pd.DataFrame, target: str) -> str:
    missing = column(inside, target).isna()
    days = [str(day.date()) for day in inside.loc[missing, "session"]]
    if not days:
        return "what they are forecast from is missing or cannot be divided by"
    more = len(days) - DAYS_NAMED
    named = ", ".join(days[:DAYS_NAMED]) + (f" and {more} more days" if more > 0 else "")
    return f"the {target} of {named} is missing"


def _windows_with_gaps(history: pd.DataFrame, data: StudyData) -> int:
    """Return how many test windows see a missing cell of the columns that they are cut from."""
    spec, test = data.dataset.spec, data.dataset.test
    gaps = np.logical_or.reduce([column(history, name).isna().to_numpy() for name in spec.columns])
    before = np.add.accumulate(np.concatenate([[0], gaps]))
    end = test.position + 1
    start = np.maximum(end - spec.window.context_length, 0)
    return int((before[end] > before[start]).sum())
