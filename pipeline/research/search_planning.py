"""Planning a search: the sessions that it may look at, and its folds before any training.

The newest sessions are not even fetched: as many as the recipe tests on, and never fewer than
`FEWEST_KEPT_BACK`. The last years of those before are the folds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.daily import VALIDATION
from pipeline.errors import NotEnoughHistory, SettingsError
from pipeline.extras import require
from pipeline.models import PriceRecipe, Recipes
from pipeline.prices import (
    Histories,
    fetch_histories,
    newest_session,
    on_calendar,
    require_known,
)
from pipeline.research.har_forecasts import anchored_files
from pipeline.research.search_plan import FOLD_SESSIONS, STEP, Fold, SearchPlan, SearchRequest
from pipeline.research.search_spaces import SPACES, own_values, space_of, tunable
from pipeline.universes import Universe
from pipeline.windows import Since, Spec, encode, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Sessions at the end of the history that no search looks at, where the recipe tests on fewer.
FEWEST_KEPT_BACK = 252


def plan_search(
    parts: Parts, universe: Universe, recipe: PriceRecipe, request: SearchRequest, now: dt.datetime
) -> SearchPlan:
    """Decide folds and space, and cut the folds' datasets.

    Raises:
        SettingsError: the recipe cannot be tuned, there is no session in the range, or Optuna is
            not installed.
        NotEnoughHistory: a fold has no ticker to learn from.
    """
    require("optuna", "A search")
    _require_tunable(parts.recipes, universe, recipe)
    allowed, untouched = _sessions(parts, universe, recipe, request, now)
    if len(allowed) <= request.folds * FOLD_SESSIONS:
        raise NotEnoughHistory(
            f"{universe.name}: {len(allowed)} sessions from {universe.start} on come before "
            f"{untouched}, from where on nothing is looked at; {request.folds} folds of "
            f"{FOLD_SESSIONS} need more. Ask for fewer folds (--folds), or begin earlier (--from)."
        )
    universe = universe.on(allowed[-1])
    source, calendar = parts.source(universe), parts.calendar(universe)
    days = allowed[0], allowed[-1], calendar, now
    histories = fetch_histories(source, universe.tickers, *days, universe.aliases, universe.repair)
    folds = tuple(
        _fold(parts, universe, recipe, allowed[: len(allowed) - back * FOLD_SESSIONS], histories)
        for back in reversed(range(request.folds))
    )
    return SearchPlan(
        universe,
        recipe,
        parts.settings.seed,
        folds,
        untouched,
        space_of(recipe),
        own_values(recipe),
    )


def _require_tunable(recipes: Recipes, universe: Universe, recipe: PriceRecipe) -> None:
    if recipe.leak:
        raise SettingsError(
            f"{recipe.name} peeks ({recipe.leak}): a search would tune the leak. "
            f"Name {recipe.name.split('.')[0]} (--recipe)."
        )
    if type(recipe.network) not in SPACES:
        raise SettingsError(
            f"There is no search space for {recipe.name}. There is one for: "
            f"{', '.join(tunable(recipes))} (--recipe)."
        )
    if universe.target not in recipe.targets:
        raise SettingsError(
            f"{recipe.name} does not forecast {universe.target}; its targets are "
            f"{', '.join(recipe.targets)} (--target)."
        )


def _sessions(
    parts: Parts, universe: Universe, recipe: PriceRecipe, request: SearchRequest, now: dt.datetime
) -> tuple[list[dt.date], dt.date]:
    """Return the sessions that may be looked at, and the first one that may not.

    Dates alone decide, before any price is asked for.
    """
    calendar, source = parts.calendar(universe), parts.source(universe)
    require_known(source, universe.tickers, universe.aliases)
    newest = newest_session(source, universe.names, calendar, now)
    first = max(request.first or universe.start, universe.start)
    last = min(request.last or newest, newest)
    sessions = calendar.sessions(first, last)
    if not sessions:
        raise SettingsError(
            f"There is no session of {calendar.name} from {first} to {last}. "
            "Give an earlier --from or a later --to."
        )
    spec = recipe.spec("", last, universe.target, universe.horizon)
    context = spec.window.context_length
    # The first session that each window forecasts.
    days = np.array(sessions[: len(sessions) - spec.horizon + 1], "datetime64[D]")[context:]
    tested = context + (spec.split.starts(days, spec.reach, context)[3] if len(days) else 0)
    kept_back = min(tested, max(len(sessions) - FEWEST_KEPT_BACK, 0))
    return sessions[:kept_back], sessions[kept_back]


def _fold(
    parts: Parts,
    universe: Universe,
    recipe: PriceRecipe,
    sessions: Sequence[dt.date],
    histories: Histories,
) -> Fold:
    """Return the fold that ends with `sessions`, as its last evening would have seen the prices."""
    first, last = sessions[-FOLD_SESSIONS], sessions[-1]
    most = universe.history_sessions
    sessions = sessions[-(most + FOLD_SESSIONS) :] if most else sessions
    validation = recipe.split.validation or VALIDATION
    split = replace(recipe.split, test=Since(first), validation=validation)
    files: dict[str, bytes] = {}
    rows: dict[str, pd.DataFrame] = {}
    reasons: list[str] = []
    histories = histories.until(last)
    for ticker in sorted(universe.tickers):
        spec = recipe.spec(ticker, last, universe.target, universe.horizon, split)
        history = histories.of(ticker, last)
        try:
            files[ticker] = _dataset_file(history, spec, sessions)
        except NotEnoughHistory as error:
            reasons.append(str(error))
        else:
            rows[ticker] = on_calendar(history, sessions)
    if not files:
        raise NotEnoughHistory(
            f"Nothing can be learnt before the fold {first} to {last}: {'; '.join(reasons)}. "
            "Ask for fewer folds (--folds), or begin earlier (--from)."
        )
    for reason in reasons:
        parts.progress(STEP, "", f"the fold {first} to {last} goes without {reason}")
    return Fold(first, last, anchored_files(files, rows, parts.calendar(universe)))


def _dataset_file(history: pd.DataFrame, spec: Spec, sessions: Sequence[dt.date]) -> bytes:
    """Return a ticker's dataset file for a fold.

    Raises:
        NotEnoughHistory: the ticker cannot be learnt from, or not measured on the fold. The message
            is the end of a sentence.
    """
    if history.empty:
        raise NotEnoughHistory(f"{spec.ticker}: no prices up to {spec.cutoff}")
    rows = on_calendar(history, sessions)
    count = len(rows)
    if count < spec.window.context_length + spec.horizon:
        raise NotEnoughHistory(f"{spec.ticker}: {count} sessions")
    file = encode(rows, spec)
    dataset = load_dataset(file)
    windows = (len(dataset.train) + dataset.left_out["train"]) * spec.window.stride
    needed = max(spec.split.min_train_windows, 1)
    if windows < needed:
        raise NotEnoughHistory(
            f"{spec.ticker}: {count} sessions leave {windows} windows to train on, "
            f"{needed} are needed"
        )
    if not dataset.trainable:
        raise NotEnoughHistory(f"{spec.ticker}: too few sessions have their {spec.target}")
    return file
