"""Training and measuring a reproduction: what each network is worth on each ticker's sessions.

Each forecast is measured next to those that it should be better than: the naive one, a linear
model's and the default recipe's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.daily import spread_of_changes
from pipeline.errors import StockcastError
from pipeline.measures import directional_accuracy, root_mean_squared_error
from pipeline.models import DEFAULT, PriceRecipe
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.research.reproduction_plan import StudiedTicker, StudyPlan, prepare_ticker
from pipeline.research.study import Period
from pipeline.research.study_networks import StudyNetwork, predictions_of, train_networks
from pipeline.universes import Universe
from pipeline.windows import Dataset, Windows

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "reproduce"
#: How far from the days that a source was tested on its first and last session may be: holidays,
#: a missing price.
TOLERATED_GAP = np.timedelta64(7, "D")


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Networks with their forecasts and errors, on the tickers that did not fail.

    Attributes:
        tickers: by name.
        forecasts: of the sessions measured, by (ticker, recipe, seed), prices (n,).
        rows: one per ticker, recipe and seed.
        failures: by ticker.
    """

    plan: StudyPlan
    tickers: Mapping[str, StudiedTicker]
    networks: Sequence[StudyNetwork]
    forecasts: Mapping[tuple[str, str, int], np.ndarray]
    rows: pd.DataFrame
    failures: Mapping[str, StockcastError]

    @property
    def first_seed(self) -> int:
        """The seed of the networks that are shown in pictures."""
        return min(network.seed for network in self.networks)

    @property
    def looking_ahead(self) -> list[tuple[StudyNetwork, str]]:
        """The networks and tickers whose three ways ahead are shown."""
        shown = [
            network
            for network in self.networks
            if network.seed == self.first_seed and network.recipe in self.plan.recipes
        ]
        return [(network, t) for network in shown for t in network.data if t in self.tickers]


def measure_reproduction(
    parts: Parts, universe: Universe, plan: StudyPlan, seeds: int, period: Period, now: dt.datetime
) -> Reproduction:
    """Train what is missing and measure it; a ticker that fails does not stop the others.

    Raises:
        StockcastError: every ticker failed; it is the first one's error.
    """
    prepared = _prepare(parts, universe, plan, period, now)
    failures = dict(prepared.failures)
    plan = plan.for_tickers(list(prepared.results))
    first = parts.settings.seed
    networks = list(_networks(parts, plan, prepared.results, range(first, first + seeds)))
    for ticker, error in train_networks(parts, STEP, networks, universe.sectors).items():
        failures.setdefault(ticker, error)
    if len(failures) == len(universe.tickers):
        raise next(iter(failures.values()))
    tickers = {name: each for name, each in prepared.results.items() if name not in failures}
    forecasts = {
        (name, network.recipe.name, network.seed): predictions_of(parts, network, name)[
            ticker.is_measured(network.recipe.name)
        ]
        for name, ticker in tickers.items()
        for network in networks
        if name in network.data
    }
    rows = [
        _row(parts, plan, ticker, network, forecasts)
        for name, ticker in tickers.items()
        for network in networks
        if name in network.data
    ]
    return Reproduction(plan, tickers, networks, forecasts, pd.DataFrame(rows), failures)


def _prepare(
    parts: Parts, universe: Universe, plan: StudyPlan, period: Period, now: dt.datetime
) -> Outcomes[StudiedTicker]:
    return outcome_of_each(
        universe.tickers,
        lambda ticker: prepare_ticker(parts, universe, plan, ticker, period, now),
        lambda ticker, error: parts.progress(STEP, ticker, f"failed: {error}"),
    )


def _networks(
    parts: Parts, plan: StudyPlan, tickers: Mapping[str, StudiedTicker], seeds: Sequence[int]
) -> Iterator[StudyNetwork]:
    """Yield the networks of the plan's recipes and of the default one, for each seed."""
    for recipe in (*plan.recipes, parts.recipes.for_price(DEFAULT.name)):
        data = {
            name: ticker.data[recipe.name]
            for name, ticker in tickers.items()
            if recipe.name in ticker.data
        }
        groups = [data] if recipe.pooled else [{name: one} for name, one in data.items()]
        for group in groups:
            if group:
                yield from (StudyNetwork(recipe, group, seed) for seed in seeds)


def _row(
    parts: Parts,
    plan: StudyPlan,
    ticker: StudiedTicker,
    network: StudyNetwork,
    forecasts: Mapping[tuple[str, str, int], np.ndarray],
) -> dict[str, object]:
    """Return what a network is worth on a ticker's sessions."""
    name, recipe, seed = ticker.ticker, network.recipe, network.seed
    test, forecast = ticker.measured(recipe.name), forecasts[name, recipe.name, seed]
    default = forecasts.get((name, DEFAULT.name, seed))
    rmse, naive = _rmse(test, forecast), _rmse(test, test.last)
    table = ticker.predictions(recipe.name, forecast).assign(horizon=1)
    record = parts.networks.training(network.model_id)
    # A source's figures are of its own column.
    published = recipe.published.get(name, np.nan) if plan.target == recipe.targets[0] else np.nan
    return {
        "study": plan.name,
        "ticker": name,
        "recipe": recipe.name,
        "mode": recipe.mode,
        "target": plan.target,
        "seed": seed,
        "published_rmse": published,
        "published_sessions": _as_published(recipe, ticker.sessions),
        "rmse": rmse,
        "naive_rmse": naive,
        "linear_rmse": _rmse(test, ticker.linear),
        "default_rmse": np.nan if default is None else _rmse(test, default),
        "ratio_to_naive": rmse / naive,
        "directional_accuracy": directional_accuracy(test.actual, forecast[:, None], test.last)[0],
        "spread": spread_of_changes(table),
        "training_loss": record.history["loss"][-1],
        "validation_loss": record.history["val_loss"][-1],
        **_normalised(network.data[name].dataset, predictions_of(parts, network, name)),
        "sessions": len(ticker.sessions),
        "left_out": ticker.period - len(ticker.sessions),
        "first_session": pd.Timestamp(ticker.sessions[0]),
        "last_session": pd.Timestamp(ticker.sessions[-1]),
        "epochs": record.epochs,
        "seconds": record.seconds,
    }


def _rmse(test: Windows, prices: np.ndarray) -> float:
    return float(root_mean_squared_error(test.actual, prices[:, None])[0])


def _as_published(recipe: PriceRecipe, sessions: np.ndarray) -> bool:
    """Return whether a source was tested on these sessions, from the first to the last."""
    if recipe.tested is None:
        return False
    ends = np.abs(sessions[[0, -1]] - np.array(recipe.tested, "datetime64[D]"))
    return bool((ends <= TOLERATED_GAP).all())


def _normalised(data: Dataset, forecast: np.ndarray) -> dict[str, float]:
    """Return mean squared errors on a recipe's own normalised windows, as the sources give them.

    They are over all of its test part, and over all windows before it.
    """

    def squares(part: Windows, prices: np.ndarray) -> np.ndarray:
        actual = part.ahead_with_dividends[:, 0]
        predicted, happened = (part.from_prices(each[:, None]) for each in (prices, actual))
        errors: np.ndarray = predicted - happened
        return errors[:, 0] ** 2

    # The sources count what they validate on as training.
    before = [squares(part, part.last) for part in (data.train, data.validation)]
    return {
        "normalised_mse": float(squares(data.test, forecast).mean()),
        "naive_normalised_mse": float(squares(data.test, data.test.last).mean()),
        "naive_normalised_mse_train": float(np.concatenate(before).mean()),
    }
