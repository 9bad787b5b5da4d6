"""Shards of a backtest: the forecasts of one forecaster in one block.

A block's networks learn, choose and weigh on sessions up to its first cutoff, less an embargo.
Their forecasts are blended with a baseline and calibrated as a day does it (see `network_blends`).
Baselines learn their shape from the same training sessions; HAR regressions are fitted on all
stocks up to the first cutoff, less the embargo, and statistical models at every cutoff on the
prices up to it. None of these is calibrated.

A shard that is there is read, not made again, so a backtest that was stopped goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.decisions import Choice
from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.models import BASELINES, PooledHar, PriceRecipe, har, statistical
from pipeline.prices import Histories
from pipeline.quantiles import PROBABILITIES, QUANTILE_COUNT
from pipeline.reporting import counted
from pipeline.research.backtest_data import (
    at_cutoffs,
    block_histories,
    dataset_files,
    held_back,
    kept_histories,
)
from pipeline.research.backtest_plan import BacktestPlan, Block
from pipeline.research.backtest_request import Forecaster
from pipeline.research.har_forecasts import anchored_files, har_forecasts
from pipeline.research.network_blends import network_blends, network_choice, pooled_har
from pipeline.research.network_forecasts import network_forecasts
from pipeline.research.published_days import published_days
from pipeline.research.shard_notes import ShardNotes
from pipeline.storage import pack_table, unpack_table
from pipeline.tables import BACKTESTS, column
from pipeline.windows import Dataset, TargetSeries, Windows, load_dataset, steps_of

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "backtest"


@dataclass(frozen=True, eq=False)
class CutoffForecasts:
    """The forecasts of one ticker at a block's cutoffs.

    Attributes:
        windows: n windows that end at cutoffs.
        quantiles: prices (n, H, Q).
    """

    windows: Windows
    quantiles: np.ndarray


@dataclass(frozen=True)
class _BlockData:
    """A block of a plan with the data of its tickers.

    Attributes:
        histories: by ticker, see `block_histories`.
        files: by ticker, the dataset files of those that can be learnt from.
        begin: by ticker, the first block's dataset files, for a warm start; empty: there is none.
        held: by ticker, see `held_back`.
        kept: what the plan has kept, of sessions after the block too.
    """

    plan: BacktestPlan
    block: Block
    histories: Mapping[str, pd.DataFrame]
    files: Mapping[str, bytes]
    begin: Mapping[str, bytes]
    held: Mapping[str, list[dt.date]]
    kept: Histories

    def at_cutoffs(self, dataset: Dataset) -> np.ndarray:
        """Return which test windows of a dataset end at a cutoff, bool (n,)."""
        ticker = dataset.spec.ticker
        held = self.held.get(ticker, [])
        return at_cutoffs(self.histories[ticker], self.block, dataset.test, held)


def make_shard(parts: Parts, plan: BacktestPlan, forecaster: Forecaster, block: Block) -> str:
    """Make one shard, unless it is there; return its artifact's name.

    A ticker whose data do not allow a forecast is left out; the reason is kept in the notes.

    Raises:
        StockcastError: the first error that is not a matter of one ticker's data.
    """
    name = plan.shard_file(forecaster, block)
    notes_file = plan.notes_file(forecaster, block)
    if parts.artifacts.has_derived(name) and parts.artifacts.has_derived(notes_file):
        return name
    data, left_out = _block_data(parts, plan, forecaster, block)
    forecasts, notes = _forecasts(parts, forecaster, data)
    rows = [_rows(forecaster.name, ticker, each) for ticker, each in forecasts.items()]
    table = BACKTESTS.conform(pd.concat(rows)) if rows else BACKTESTS.empty()
    notes = dataclasses.replace(notes, left_out={**left_out, **notes.left_out})
    parts.artifacts.write_derived(notes_file, notes.encode())
    # Last: where the shard is, its notes are too.
    parts.artifacts.write_derived(name, pack_table(table))
    place = f"block {block.number + 1} of {len(plan.blocks)}"
    made = counted(len(table) // (plan.universe.horizon * QUANTILE_COUNT), "forecast")
    tickers = counted(table["ticker"].nunique(), "ticker")
    days = f"{block.cutoffs[0]} to {block.cutoffs[-1]}"
    parts.progress(STEP, "", f"{forecaster.name}, {place} ({days}): {made} of {tickers}")
    return name


def read_shards(parts: Parts, plan: BacktestPlan) -> pd.DataFrame:
    """Return the BACKTESTS rows of all shards; `NothingStored` where one has not been made."""
    files = (plan.shard_file(*shard) for shard in plan.shards)
    shards = [unpack_table(parts.artifacts.read_derived(file)) for file in files]
    return BACKTESTS.conform(pd.concat(shards))


def read_notes(parts: Parts, plan: BacktestPlan) -> list[tuple[Forecaster, Block, ShardNotes]]:
    """Return the remarks on all shards."""
    return [
        (*shard, ShardNotes.decode(parts.artifacts.read_derived(plan.notes_file(*shard))))
        for shard in plan.shards
    ]


def _block_data(
    parts: Parts, plan: BacktestPlan, forecaster: Forecaster, block: Block
) -> tuple[_BlockData, dict[str, str]]:
    """Return the data of a block, and by ticker why some cannot be learnt from."""
    kept, calendar = kept_histories(parts, plan), parts.calendar(plan.universe)
    histories = block_histories(plan, block, kept, calendar)
    datasets = dataset_files(plan, forecaster, block, histories)
    begin: Mapping[str, bytes] = {}
    if forecaster.trains_here and plan.warm_start and block.number:
        first = plan.blocks[0]
        earlier = block_histories(plan, first, kept, calendar)
        learnt = dataset_files(plan, forecaster, first, earlier).results
        begin = anchored_files(learnt, earlier, calendar)
    left_out = {ticker: str(error) for ticker, error in datasets.failures.items()}
    files: Mapping[str, bytes] = datasets.results
    if forecaster.recipe:
        files = anchored_files(files, histories, calendar)
    held = held_back(block, kept)
    return _BlockData(plan, block, histories, files, begin, held, kept), left_out


def _forecasts(
    parts: Parts, forecaster: Forecaster, data: _BlockData
) -> tuple[dict[str, CutoffForecasts], ShardNotes]:
    """Return forecasts by ticker, with the remarks on them."""
    if forecaster.is_published:
        return _published_forecasts(parts, forecaster, data)
    if forecaster.recipe:
        return _network_forecasts(parts, forecaster.recipe, forecaster.seed, data)
    if forecaster.name in BASELINES:
        return _baseline_forecasts(forecaster.name, data), ShardNotes()
    if forecaster.name in har.HAR_NAMES:
        return _har_forecasts(parts, forecaster.name, data), ShardNotes()
    return _statistical_forecasts(forecaster.name, data)


def _published_forecasts(
    parts: Parts, forecaster: Forecaster, data: _BlockData
) -> tuple[dict[str, CutoffForecasts], ShardNotes]:
    """Return what the days of the cutoffs publish, in the prices of the block's end."""
    days = published_days(parts, data.plan, forecaster, data.block, data.kept)
    forecasts: dict[str, CutoffForecasts] = {}
    for ticker, file in data.files.items():
        dataset = load_dataset(file)
        cutoffs, quantiles, last = days.of(ticker, dataset.spec.horizon)
        chosen = data.at_cutoffs(dataset) & np.isin(dataset.test.origins, cutoffs)
        test = dataset.test.take(chosen)
        rows = np.searchsorted(cutoffs, test.origins)
        # A split since then has changed the unit; without one, the same price is divided by itself.
        unit = (test.last / last[rows])[:, None, None]
        forecasts[ticker] = CutoffForecasts(test, quantiles[rows] * unit)
    return forecasts, ShardNotes(published=days.kinds, held_back=days.held_back)


def _network_forecasts(
    parts: Parts, recipe: PriceRecipe, seed: int, data: _BlockData
) -> tuple[dict[str, CutoffForecasts], ShardNotes]:
    """Return a recipe's forecasts as they would have been published.

    Networks are blended with a baseline by their validation, then calibrated session by session.
    """
    outcomes = network_forecasts(parts, STEP, recipe, data.files, seed, data.begin)
    left_out: dict[str, str] = {}
    for ticker, error in outcomes.failures.items():
        if not isinstance(error, LookAtTheData):
            raise error
        left_out[ticker] = str(error)
    regression = _regression(parts, recipe, data)
    datasets: dict[str, Dataset] = {}
    choices: dict[str, Choice] = {}
    for ticker, made in outcomes.results.items():
        dataset = load_dataset(data.files[ticker])
        choices[ticker] = network_choice(dataset, made, regression)
        # Training windows are most of a dataset, and are not needed any more.
        datasets[ticker] = dataclasses.replace(dataset, train=dataset.train.take(slice(0)))
    blends = network_blends(choices)
    forecasts: dict[str, CutoffForecasts] = {}
    for ticker, blend in blends.items():
        dataset = datasets[ticker]
        chosen = data.at_cutoffs(dataset)
        forecasts[ticker] = CutoffForecasts(dataset.test.take(chosen), blend.calibrated[chosen])
    return forecasts, ShardNotes(
        left_out=left_out,
        weights={ticker: blend.weight for ticker, blend in blends.items()},
        baselines={ticker: blend.baseline for ticker, blend in blends.items()},
    )


def _regression(parts: Parts, recipe: PriceRecipe, data: _BlockData) -> PooledHar | None:
    """Return `har` as networks are blended with it; None: there is none."""
    if recipe.smoothing or not data.files:  # it forecasts another price than the regression
        return None
    plan = data.plan
    spec, calendar = plan.spec(recipe, data.block, ""), parts.calendar(plan.universe)
    return pooled_har(data.histories, spec, calendar)


def _baseline_forecasts(name: str, data: _BlockData) -> dict[str, CutoffForecasts]:
    """Return a baseline's forecasts; its shape is learnt from the training windows."""
    forecasts: dict[str, CutoffForecasts] = {}
    for ticker, file in data.files.items():
        dataset = load_dataset(file)
        fitted = BASELINES[name].fit(dataset.train, dataset.spec.horizon)
        chosen = data.at_cutoffs(dataset)
        forecasts[ticker] = _finite(dataset.test.take(chosen), fitted(dataset.test)[chosen])
    return forecasts


def _har_forecasts(parts: Parts, name: str, data: _BlockData) -> dict[str, CutoffForecasts]:
    """Return a HAR regression's forecasts; stocks that are too young for a network help to fit."""
    if not data.files:
        return {}
    plan, calendar = data.plan, parts.calendar(data.plan.universe)
    target, horizon = plan.universe.target, plan.universe.horizon
    known = calendar.sessions(plan.universe.start, data.block.cutoffs[0])
    learnt = known[-1 - min(plan.embargo, len(known) - 1)]
    regression = har_forecasts(name, data.histories, target, horizon, learnt, calendar)
    forecasts: dict[str, CutoffForecasts] = {}
    for ticker, file in data.files.items():
        dataset = load_dataset(file)
        test = dataset.test.take(data.at_cutoffs(dataset))
        forecasts[ticker] = _finite(test, regression.at(ticker, test.origins))
    return forecasts


def _finite(test: Windows, quantiles: Floats) -> CutoffForecasts:
    """Leave out the cutoffs without a forecast: where closes have only begun."""
    finite = np.flatnonzero(np.isfinite(quantiles).all(axis=(1, 2)))
    return CutoffForecasts(test.take(finite), quantiles[finite])


def _statistical_forecasts(
    name: str, data: _BlockData
) -> tuple[dict[str, CutoffForecasts], ShardNotes]:
    """Return a statistical model's forecasts; it is fitted at every cutoff."""
    forecasts: dict[str, CutoffForecasts] = {}
    stood_in: dict[str, list[str]] = {}
    for ticker, file in data.files.items():
        dataset = load_dataset(file)
        horizon = dataset.spec.horizon
        history, spec = data.histories[ticker], dataset.spec
        prices = column(history, spec.target).ffill().to_numpy("float64")
        series = TargetSeries(prices, steps_of(history, spec)[spec.target])
        test = dataset.test.take(data.at_cutoffs(dataset))
        quantiles = np.full((len(test), horizon, QUANTILE_COUNT), np.nan)
        for row, (position, cutoff) in enumerate(zip(test.position, test.origins, strict=True)):
            prices = series.up_to(position)
            known = prices[np.isfinite(prices)]
            with contextlib.suppress(NotEnoughHistory):  # of a young stock: not from this cutoff
                forecast = statistical.forecast(name, known, horizon, f"{ticker} {cutoff}")
                quantiles[row] = forecast.quantiles
                if forecast.reason:
                    stood_in.setdefault(ticker, []).append(str(cutoff))
        forecasts[ticker] = _finite(test, quantiles)
    return forecasts, ShardNotes(stood_in=stood_in)


def _rows(name: str, ticker: str, forecasts: CutoffForecasts) -> pd.DataFrame:
    """Return the BACKTESTS rows of a ticker's forecasts."""
    windows, quantiles = forecasts.windows, forecasts.quantiles
    count, horizon, _ = quantiles.shape
    per_window = horizon * QUANTILE_COUNT
    return pd.DataFrame(
        {
            "recipe": name,
            "ticker": ticker,
            "cutoff": windows.origins.repeat(per_window),
            "horizon": np.tile(np.arange(1, horizon + 1).repeat(QUANTILE_COUNT), count),
            "session": windows.sessions.reshape(-1).repeat(QUANTILE_COUNT),
            "quantile": np.tile(PROBABILITIES, count * horizon),
            "forecast": quantiles.reshape(-1),
            "actual": windows.actual.reshape(-1).repeat(QUANTILE_COUNT),
            "last": windows.last.repeat(per_window),
        }
    )
