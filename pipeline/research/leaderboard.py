"""The tables of a backtest: which forecaster is best, and by how much more than luck. Pure.

They are made from the long table BACKTESTS. Losses are mean pinball losses as a fraction of the
price. Stocks of one session rise and fall together, so their losses are averaged first, and the
intervals are over cutoffs (see `significance`). Skill is 1 - loss over the opponent's: positive is
better.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.arrays import Array, Bools, Floats
from pipeline.measures import difference
from pipeline.models import EWMA, HAR, NAIVE
from pipeline.quantiles import (
    EXPECTED_CELLS,
    INTERVALS,
    MEDIAN,
    PROBABILITIES,
    QUANTILE_COUNT,
    cells,
    inside,
    losses,
)
from pipeline.tables import BACKTESTS

#: The opponents that skill is measured against: they always take part.
OPPONENTS = (NAIVE, EWMA)
#: Fewer cutoffs have no interval: it would be too wide to say anything.
FEWEST_CUTOFFS = 40
#: In place of a horizon: all horizons together.
ALL_HORIZONS = 0
#: Cutoffs that a moving loss is the mean of; at the beginning, half of them are enough.
MOVING_CUTOFFS = 20


@dataclass(frozen=True, eq=False)
class ForecasterRecord:
    """The forecasts of one forecaster at n pairs of ticker and cutoff, in the order of both.

    The pairs of all forecasters are the same.

    Attributes:
        ticker, cutoff: (n,); cutoffs are datetime64.
        quantiles: prices (n, H, Q).
        actual: prices (n, H).
        last: prices (n,), the target at the cutoff.
    """

    ticker: Array
    cutoff: Array
    quantiles: Floats
    actual: Floats
    last: Floats

    def of(self, ticker: str) -> ForecasterRecord:
        """Return the record of one ticker."""
        rows: Bools = self.ticker == ticker
        return replace(
            self,
            ticker=self.ticker[rows],
            cutoff=self.cutoff[rows],
            quantiles=self.quantiles[rows],
            actual=self.actual[rows],
            last=self.last[rows],
        )

    @cached_property
    def losses(self) -> Floats:
        """Losses (n, H) as fractions of the price."""
        return losses(self.actual, self.quantiles, self.last)

    @cached_property
    def by_cutoff(self) -> pd.DataFrame:
        """Losses averaged over the tickers of each cutoff; columns `ALL_HORIZONS` and 1 to H."""
        return self.averaged(self.losses)

    def averaged(self, values: Floats) -> pd.DataFrame:
        """Return values (n, H) averaged over the tickers of each cutoff, as in `by_cutoff`."""
        table = pd.DataFrame(values, columns=range(1, values.shape[1] + 1))
        table.insert(0, ALL_HORIZONS, values.mean(axis=1))
        return table.groupby(self.cutoff, sort=True).mean()

    def cutoffs_ahead(self, horizon: int) -> int:
        """Return a horizon in cutoffs, as forecasts of neighbouring cutoffs overlap by so many.

        Cutoffs may be several sessions apart.

        Args:
            horizon: sessions; `ALL_HORIZONS`: the longest.
        """
        cutoffs = np.unique(self.cutoff).astype("datetime64[D]")
        apart = np.busday_count(cutoffs[:-1], cutoffs[1:])
        step = float(np.median(apart)) if len(apart) else 1.0
        return math.ceil((horizon or self.actual.shape[1]) / max(step, 1.0))

    @property
    def rmse(self) -> Floats:
        """RMSE of the median by horizon (H,).

        It is a fraction of the price, so that a split or an expensive year does not count more.
        """
        errors = (self.quantiles[:, :, MEDIAN] - self.actual) / self.last[:, None]
        rmse: Floats = np.sqrt((errors**2).mean(axis=0))
        return rmse

    def coverage(self, level: int) -> Floats:
        """Return the share of actuals inside the central interval of `level` percent, (H,)."""
        coverage: Floats = inside(self.actual, self.quantiles, level).mean(axis=0)
        return coverage

    def widths(self, level: int) -> Floats:
        """Return the widths of the interval as fractions of the price, (n, H)."""
        low, high = INTERVALS[level]
        widths: Floats = self.quantiles[:, :, high] - self.quantiles[:, :, low]
        return widths / self.last[:, None]

    def width(self, level: int) -> Floats:
        """Return the mean width of the interval as a fraction of the price, (H,)."""
        mean: Floats = self.widths(level).mean(axis=0)
        return mean


def common_rows(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the pairs of ticker and cutoff that every forecaster has."""
    forecasters = forecasts["recipe"].nunique()
    pairs = (
        forecasts.drop_duplicates(["recipe", "ticker", "cutoff"])
        .groupby(["ticker", "cutoff"])
        .size()
    )
    shared = pairs[pairs == forecasters].reset_index()[["ticker", "cutoff"]]
    return BACKTESTS.conform(forecasts.merge(shared, on=["ticker", "cutoff"]))


def records_of(forecasts: pd.DataFrame) -> dict[str, ForecasterRecord]:
    """Return the record of each forecaster by name.

    Args:
        forecasts: BACKTESTS rows of `common_rows`.

    Raises:
        ValueError: a pair of ticker and cutoff lacks a row.
    """
    horizon = int(forecasts["horizon"].max())
    per_pair = horizon * QUANTILE_COUNT
    records: dict[str, ForecasterRecord] = {}
    for name, rows in BACKTESTS.conform(forecasts).groupby("recipe", sort=False):
        whole = len(rows) % per_pair == 0
        if not whole or not np.allclose(
            rows["quantile"].to_numpy().reshape(-1, QUANTILE_COUNT), PROBABILITIES
        ):
            raise ValueError(
                f"{name}: every pair of ticker and cutoff must have {horizon} horizons of "
                f"{QUANTILE_COUNT} quantiles."
            )
        first, ends = rows.iloc[::per_pair], rows.iloc[::QUANTILE_COUNT]
        records[str(name)] = ForecasterRecord(
            first["ticker"].to_numpy(dtype=object),
            first["cutoff"].to_numpy(),
            rows["forecast"].to_numpy().reshape(-1, horizon, QUANTILE_COUNT),
            ends["actual"].to_numpy().reshape(-1, horizon),
            first["last"].to_numpy(),
        )
    return records


def leaderboard(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per forecaster and horizon, `ALL_HORIZONS` (0) for all of them together.

    The forecaster that loses least over all horizons comes first.

    Returns:
        Columns recipe, horizon, forecasts (their number), cutoffs and pinball; for each of
        `opponents_among` skill_<name> with its bounds _low and _high at `CONFIDENCE`, NaN where
        there are fewer than `FEWEST_CUTOFFS` cutoffs; rmse_ratio (RMSE of the median over naive's;
        of `ALL_HORIZONS` the mean of the horizons'); coverage_50, _80, _95; and width_50, _80, _95
        (mean width as a fraction of the price).
    """
    records = records_of(forecasts)
    return pd.DataFrame(
        [
            _row(records, name, horizon)
            for name in best_first(records)
            for horizon in range(records[name].actual.shape[1] + 1)
        ]
    )


def by_ticker(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Return the leaderboard of each ticker for all horizons together, the best of each first."""
    records = records_of(forecasts)
    rows = []
    for ticker in sorted(set(next(iter(records.values())).ticker)):
        of_ticker = {name: record.of(ticker) for name, record in records.items()}
        rows += [
            {"ticker": ticker, **_row(of_ticker, name, ALL_HORIZONS)}
            for name in best_first(of_ticker)
        ]
    return pd.DataFrame(rows)


def best_first(records: Mapping[str, ForecasterRecord]) -> list[str]:
    """Return the forecasters' names, that with the least loss over all horizons first."""
    return sorted(records, key=lambda name: (records[name].losses.mean(), name))


def opponents_among(names: Collection[str]) -> tuple[str, ...]:
    """Return the opponents of a backtest: `OPPONENTS`, and `HAR` where it takes part."""
    return (*OPPONENTS, *([HAR] if HAR in names else []))


def _row(
    records: Mapping[str, ForecasterRecord], name: str, horizon: int
) -> dict[str, str | float]:
    record = records[name]
    series = record.by_cutoff[horizon].to_numpy()

    def at(values: Floats) -> float:
        return float(values.mean() if horizon == ALL_HORIZONS else values[horizon - 1])

    row: dict[str, str | float] = {
        "recipe": name,
        "horizon": horizon,
        "forecasts": record.actual.size if horizon == ALL_HORIZONS else len(record.actual),
        "cutoffs": len(series),
        "pinball": at(record.losses.mean(axis=0)),
    }
    has_interval = len(series) >= FEWEST_CUTOFFS
    ahead = record.cutoffs_ahead(horizon)
    for opponent in opponents_among(records):
        loss = difference(series, records[opponent].by_cutoff[horizon].to_numpy(), ahead)
        row[f"skill_{opponent}"] = 0.0 - loss.value
        row[f"skill_{opponent}_low"] = 0.0 - loss.high if has_interval else np.nan
        row[f"skill_{opponent}_high"] = 0.0 - loss.low if has_interval else np.nan
    naive = records[NAIVE].rmse
    unknown = np.full(len(naive), np.nan)
    row["rmse_ratio"] = at(np.divide(record.rmse, naive, out=unknown, where=naive > 0))
    row |= {f"coverage_{level}": at(record.coverage(level)) for level in INTERVALS}
    return row | {f"width_{level}": at(record.width(level)) for level in INTERVALS}


def reliability(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Return the share of actuals at or below each quantile, over all horizons.

    Returns:
        Columns recipe, quantile (the promised share) and observed.
    """
    rows: list[dict[str, str | float]] = []
    for name, record in records_of(forecasts).items():
        observed = (record.actual[..., None] <= record.quantiles).mean(axis=(0, 1))
        rows += [
            {"recipe": name, "quantile": promised, "observed": float(share)}
            for promised, share in zip(PROBABILITIES, observed, strict=True)
        ]
    return pd.DataFrame(rows)


def pit(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Return the share of actuals in each cell between two quantiles, over all horizons.

    Returns:
        Columns recipe, low and high (the cell), share and expected (the share it should be).
    """
    edges = (0.0, *PROBABILITIES, 1.0)
    return pd.DataFrame(
        [
            {"recipe": name, "low": low, "high": high, "share": float(share), "expected": expected}
            for name, record in records_of(forecasts).items()
            for low, high, share, expected in zip(
                edges[:-1],
                edges[1:],
                cells(record.actual, record.quantiles),
                EXPECTED_CELLS,
                strict=True,
            )
        ]
    )


def through_time(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Return each forecaster's losses at the cutoffs, next to ewma's.

    Returns:
        Columns recipe, cutoff, tickers, loss, ewma_loss and ratio: that of their means over the
        last `MOVING_CUTOFFS` cutoffs, NaN before half of them.
    """
    records = records_of(forecasts)
    ewma = records[EWMA].by_cutoff[ALL_HORIZONS]
    tables = []
    for name, record in records.items():
        loss = record.by_cutoff[ALL_HORIZONS]
        fewest = min(MOVING_CUTOFFS // 2, len(ewma))
        moving, opponent = (
            series.rolling(MOVING_CUTOFFS, min_periods=fewest).mean() for series in (loss, ewma)
        )
        tables.append(
            pd.DataFrame(
                {
                    "recipe": name,
                    "cutoff": loss.index,
                    "tickers": pd.Series(record.ticker).groupby(record.cutoff).size().to_numpy(),
                    "loss": loss.to_numpy(),
                    "ewma_loss": ewma.to_numpy(),
                    "ratio": (moving / opponent.where(opponent > 0)).to_numpy(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
