"""Whole days of a universe, done at past cutoffs on kept prices, for what they publish.

The steps are the day's own. They choose at each training cutoff, let pooled networks and baselines
stand in for young stocks, hold tickers back, and calibrate. Nothing of a day is left: rows and
files are in a sandbox, networks in the cache that all share.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Array, Floats
from pipeline.daily import Sandbox, ingest_events, make_forecasts, reasons_of, run_of
from pipeline.errors import LookAtTheData
from pipeline.leftovers import TemporaryFolder
from pipeline.measures import scores
from pipeline.models import EWMA, HAR, NAIVE, STANDING
from pipeline.prices import Histories
from pipeline.quantiles import QUANTILE_COUNT
from pipeline.reporting import counted
from pipeline.research.backtest_data import with_kept_events
from pipeline.research.backtest_plan import BacktestPlan, Block
from pipeline.research.backtest_request import Forecaster
from pipeline.tables import FORECASTS, PROMOTIONS

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "backtest"
#: What may be published of a stock: its network alone, the network blended with a baseline, or a
#: baseline alone.
NETWORK, BLEND = "network", "blend"
PUBLISHED_KINDS = (NETWORK, BLEND, HAR, EWMA, NAIVE)


@dataclass(frozen=True, eq=False)
class PublishedDays:
    """The forecasts that the days of a block's cutoffs publish.

    Attributes:
        forecasts: FORECASTS.
        kinds: by cutoff, how many stocks are forecast by each of `PUBLISHED_KINDS`.
        held_back: by ticker, why it has no forecast at some cutoffs.
    """

    forecasts: pd.DataFrame
    kinds: Mapping[str, Mapping[str, int]]
    held_back: Mapping[str, Mapping[str, str]]

    def of(self, ticker: str, horizon: int) -> tuple[Array, Floats, Floats]:
        """Return a ticker's cutoffs (n,), quantiles (n, H, Q) and last values (n,), in order."""
        own = self.forecasts[self.forecasts["ticker"] == ticker].sort_values(["cutoff", "horizon"])
        quantiles = own[list(scores.FORECAST_COLUMNS)].to_numpy()
        return (
            own["cutoff"].to_numpy().astype("datetime64[D]")[::horizon],
            quantiles.reshape(-1, horizon, QUANTILE_COUNT),
            own["last_value"].to_numpy()[::horizon],
        )


def published_days(
    parts: Parts, plan: BacktestPlan, forecaster: Forecaster, block: Block, histories: Histories
) -> PublishedDays:
    """Do the days of a block's cutoffs in a sandbox.

    A day that publishes nothing stops no other.

    Args:
        histories: what the plan has kept.

    Raises:
        StockcastError: the first error that is not a matter of the data.
    """
    forecasts: list[pd.DataFrame] = [FORECASTS.empty()]
    kinds: dict[str, Mapping[str, int]] = {}
    held_back: dict[str, dict[str, str]] = {}
    settings = parts.settings.replaced(**dict(forecaster.settings), baselines="")
    with (
        TemporaryFolder("backtest") as folder,
        Sandbox(folder, settings, parts.recipes, beside=parts) as sandbox,
    ):
        _fill(sandbox, plan, histories.until(block.cutoffs[-1]))
        universe, now = with_kept_events(parts, plan, folder), dt.datetime.now(dt.UTC)
        for cutoff in block.cutoffs:
            run = run_of(sandbox, universe.on(cutoff), cutoff, now, replay=False)
            ingest_events(sandbox, run, run.universe.tickers)
            stopped = ""
            try:
                make_forecasts(sandbox, run)
            except LookAtTheData as error:
                stopped = str(error)
            promotions = sandbox.rows(PROMOTIONS, run)
            forecasts.append(sandbox.rows(FORECASTS, run))
            kinds[str(cutoff)] = _kinds(promotions)
            reasons = reasons_of(sandbox, run, run.universe.tickers)
            for ticker in sorted({*run.universe.tickers} - {*promotions["ticker"]}):
                reason = reasons.get(ticker) or stopped or "its prices have ended"
                held_back.setdefault(ticker, {})[str(cutoff)] = reason
            published = counted(len(promotions), "ticker")
            parts.progress(STEP, "", f"the day {cutoff}: {stopped or f'{published} published'}")
    return PublishedDays(FORECASTS.conform(pd.concat(forecasts)), kinds, held_back)


def _fill(sandbox: Parts, plan: BacktestPlan, histories: Histories) -> None:
    bars, source_id = histories.bars, plan.universe.source_id
    days = plan.universe.start, bars["session"].max().date()
    sandbox.store.prices.save(source_id, bars, histories.actions, *days)


def _kinds(promotions: pd.DataFrame) -> Mapping[str, int]:
    """Return how many PROMOTIONS rows are of each of `PUBLISHED_KINDS`."""
    by_network = np.where(promotions["weight"] == 1, NETWORK, BLEND)
    is_standing = promotions["champion"].isin(STANDING)
    counts = Counter(np.where(is_standing, promotions["champion"], by_network).tolist())
    return {kind: counts[kind] for kind in PUBLISHED_KINDS}
