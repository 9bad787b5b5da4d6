"""Who forecast best in a backtest, and by how much more than luck: the long table BACKTESTS in, tables and sentences out. Pure.

Losses are mean pinball losses as a fraction of the price. Stocks of one session rise and fall together, so their losses are averaged first,
and it is cutoffs that the intervals draw (see `evidence`). Skill is 1 - loss over the other's: positive is better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.evidence import BLOCK, CONFIDENCE, difference
from pipeline.models.baselines import EWMA, NAIVE
from pipeline.quantiles import CELLS, COUNT, INTERVALS, MEDIAN, PROBABILITIES, cells, inside, losses
from pipeline.tables import BACKTESTS

#: The opponents that skill is told against.
OPPONENTS = (NAIVE, EWMA)
#: Fewer cutoffs have no interval: a bootstrap of blocks cannot vary what is hardly longer than a block.
FEWEST = 2 * BLOCK
#: The row of all horizons together.
ALL = 0
#: Cutoffs that a moving loss is the mean of; at the beginning, half as many will do.
MOVING = 20


@dataclass(frozen=True, eq=False)
class Told:
    """What one forecaster said at n pairs of ticker and cutoff, in the order of both; the pairs of all forecasters are the same.

    Attributes:
        ticker, cutoff: (n,); cutoffs are datetime64.
        quantiles: (n, H, Q); actual: (n, H); last: (n,); dollars.
    """

    ticker: np.ndarray
    cutoff: np.ndarray
    quantiles: np.ndarray
    actual: np.ndarray
    last: np.ndarray

    def of(self, ticker: str) -> Told:
        rows = self.ticker == ticker
        return replace(self, **{name: getattr(self, name)[rows] for name in ("ticker", "cutoff", "quantiles", "actual", "last")})

    @cached_property
    def losses(self) -> np.ndarray:
        """(n, H) fractions of the price."""
        return losses(self.actual, self.quantiles, self.last)

    @cached_property
    def by_cutoff(self) -> pd.DataFrame:
        """Losses averaged over the tickers of each cutoff, in order: columns `ALL` and 1 to H."""
        table = pd.DataFrame(self.losses, columns=range(1, self.losses.shape[1] + 1))
        table.insert(0, ALL, self.losses.mean(axis=1))
        return table.groupby(self.cutoff, sort=True).mean()

    @property
    def rmse(self) -> np.ndarray:
        """Of the median, (H,), as a fraction of the price, so that a split or a dear year weighs nothing."""
        return np.sqrt((((self.quantiles[:, :, MEDIAN] - self.actual) / self.last[:, None]) ** 2).mean(axis=0))

    def coverage(self, level: int) -> np.ndarray:
        """(H,) share of what came inside the central interval of `level` percent."""
        return inside(self.actual, self.quantiles, level).mean(axis=0)

    def width(self, level: int) -> np.ndarray:
        """(H,) mean width of the interval as a fraction of the price."""
        low, high = INTERVALS[level]
        return ((self.quantiles[:, :, high] - self.quantiles[:, :, low]) / self.last[:, None]).mean(axis=0)


def common(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The rows of those pairs of ticker and cutoff that every forecaster has."""
    forecasters = forecasts["recipe"].nunique()
    pairs = forecasts.drop_duplicates(["recipe", "ticker", "cutoff"]).groupby(["ticker", "cutoff"]).size()
    shared = pairs[pairs == forecasters].reset_index()[["ticker", "cutoff"]]
    return BACKTESTS.conform(forecasts.merge(shared, on=["ticker", "cutoff"]))


def told(forecasts: pd.DataFrame) -> dict[str, Told]:
    """By forecaster, what BACKTESTS rows say; they must be those of `common`."""
    horizon = int(forecasts["horizon"].max())
    found = {}
    for name, rows in BACKTESTS.conform(forecasts).groupby("recipe", sort=False):
        per_pair = horizon * COUNT
        if len(rows) % per_pair or not np.allclose(rows["quantile"].to_numpy().reshape(-1, COUNT), PROBABILITIES):
            raise ValueError(f"{name}: every pair of ticker and cutoff must have {horizon} horizons of {COUNT} quantiles.")
        first, ends = rows.iloc[::per_pair], rows.iloc[::COUNT]
        found[str(name)] = Told(
            first["ticker"].to_numpy(dtype=object),
            first["cutoff"].to_numpy(),
            rows["forecast"].to_numpy().reshape(-1, horizon, COUNT),
            ends["actual"].to_numpy().reshape(-1, horizon),
            first["last"].to_numpy(),
        )
    return found


def leaderboard(forecasts: pd.DataFrame) -> pd.DataFrame:
    """One row per forecaster and horizon, `ALL` (0) for all together; the least loss over all horizons first.

    Columns: forecasts (how many), cutoffs, pinball; for each of `OPPONENTS` skill_<name> with its bounds _low and _high at `CONFIDENCE`, NaN where
    there are fewer than `FEWEST` cutoffs; rmse_ratio (RMSE of the median over naive's; of `ALL` the mean of the horizons'), coverage_50, _80,
    _95 and width_50, _80, _95 (mean width as a fraction of the price).
    """
    every = told(forecasts)
    best_first = sorted(every, key=lambda name: (every[name].losses.mean(), name))
    return pd.DataFrame([_row(every, name, horizon) for name in best_first for horizon in range(every[name].actual.shape[1] + 1)])


def by_ticker(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The same for all horizons together, one row per ticker and forecaster, the best of each ticker first."""
    every = told(forecasts)
    rows = []
    for ticker in sorted(set(next(iter(every.values())).ticker)):
        own = {name: said.of(ticker) for name, said in every.items()}
        best_first = sorted(own, key=lambda name: (own[name].losses.mean(), name))
        rows += [{"ticker": ticker, **_row(own, name, ALL)} for name in best_first]
    return pd.DataFrame(rows)


def _row(every: dict[str, Told], name: str, horizon: int) -> dict[str, object]:
    said = every[name]
    series = said.by_cutoff[horizon].to_numpy()

    def at(values: np.ndarray) -> float:
        return float(values.mean() if horizon == ALL else values[horizon - 1])

    row = {
        "recipe": name,
        "horizon": horizon,
        "forecasts": said.actual.size if horizon == ALL else len(said.actual),
        "cutoffs": len(series),
        "pinball": at(said.losses.mean(axis=0)),
    }
    for opponent in OPPONENTS:
        found = difference(series, every[opponent].by_cutoff[horizon].to_numpy())
        sure = len(series) >= FEWEST
        row[f"skill_{opponent}"] = 0.0 - found.value
        row[f"skill_{opponent}_low"] = 0.0 - found.high if sure else np.nan
        row[f"skill_{opponent}_high"] = 0.0 - found.low if sure else np.nan
    naive = every[NAIVE].rmse
    row["rmse_ratio"] = at(np.divide(said.rmse, naive, out=np.full(len(naive), np.nan), where=naive > 0))
    row |= {f"coverage_{level}": at(said.coverage(level)) for level in INTERVALS}
    return row | {f"width_{level}": at(said.width(level)) for level in INTERVALS}


def reliability(forecasts: pd.DataFrame) -> pd.DataFrame:
    """recipe, quantile (what was promised), observed (the share of what came at or below it, over all horizons)."""
    rows = []
    for name, said in told(forecasts).items():
        observed = (said.actual[..., None] <= said.quantiles).mean(axis=(0, 1))
        rows += [{"recipe": name, "quantile": q, "observed": float(o)} for q, o in zip(PROBABILITIES, observed, strict=True)]
    return pd.DataFrame(rows)


def pit(forecasts: pd.DataFrame) -> pd.DataFrame:
    """recipe, low and high (the cell between two quantiles), share (of what came, in it), expected (what that should be)."""
    edges = (0.0, *PROBABILITIES, 1.0)
    return pd.DataFrame(
        [
            {"recipe": name, "low": low, "high": high, "share": float(share), "expected": expected}
            for name, said in told(forecasts).items()
            for low, high, share, expected in zip(edges[:-1], edges[1:], cells(said.actual, said.quantiles), CELLS, strict=True)
        ]
    )


def through_time(forecasts: pd.DataFrame) -> pd.DataFrame:
    """recipe, cutoff, tickers, loss, ewma_loss, and `ratio`: of their means over the last `MOVING` cutoffs; NaN before half as many."""
    every = told(forecasts)
    ewma = every[EWMA].by_cutoff[ALL]
    tables = []
    for name, said in every.items():
        loss = said.by_cutoff[ALL]
        moving, opponent = (series.rolling(MOVING, min_periods=min(MOVING // 2, len(ewma))).mean() for series in (loss, ewma))
        tables.append(
            pd.DataFrame(
                {
                    "recipe": name,
                    "cutoff": loss.index,
                    "tickers": pd.Series(said.ticker).groupby(said.cutoff).size().to_numpy(),
                    "loss": loss.to_numpy(),
                    "ewma_loss": ewma.to_numpy(),
                    "ratio": (moving / opponent.where(opponent > 0)).to_numpy(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def for_people(board: pd.DataFrame) -> pd.DataFrame:
    """`leaderboard`'s rows of all horizons together, in percent."""
    rows = board[board["horizon"] == ALL]
    return pd.DataFrame(
        {
            "recipe": rows["recipe"],
            "pinball": [f"{100 * value:.4f} %" for value in rows["pinball"]],
            **{f"skill against {name}": [_skill(row, name) for row in rows.to_dict("records")] for name in OPPONENTS},
            "RMSE / naive": [f"{value:.4f}" for value in rows["rmse_ratio"]],
            **{f"in {level} %": [f"{100 * value:.1f}" for value in rows[f"coverage_{level}"]] for level in INTERVALS},
            "width 80 %": [f"{100 * value:.2f} %" for value in rows["width_80"]],
            "forecasts": rows["forecasts"],
        }
    )


def horizons_for_people(board: pd.DataFrame) -> pd.DataFrame:
    """Skill against ewma in percent, a line per forecaster and a column per horizon."""
    rows = board[(board["horizon"] != ALL) & (board["recipe"] != EWMA)]
    wide = rows.pivot(index="recipe", columns="horizon", values=f"skill_{EWMA}").loc[list(rows["recipe"].unique())]
    table = {str(horizon): [f"{100 * value:+.2f}" for value in wide[horizon]] for horizon in wide.columns}
    return pd.DataFrame({"recipe": wide.index, **table})


def _skill(row: dict, opponent: str) -> str:
    if row["recipe"] == opponent:
        return "itself"
    value, low, high = (100 * row[f"skill_{opponent}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.2f} %" + ("" if np.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")


def verdicts(board: pd.DataFrame) -> list[str]:
    """A sentence per forecaster: does it beat, equal or lose to each opponent, as far as the interval tells?"""
    sentences = []
    for row in board[board["horizon"] == ALL].to_dict("records"):
        parts = [_verdict(row, opponent) for opponent in OPPONENTS if opponent != row["recipe"]]
        sentences.append(f"{row['recipe']} {' and '.join(parts)}.")
    return sentences


def _verdict(row: dict, opponent: str) -> str:
    low, high = row[f"skill_{opponent}_low"], row[f"skill_{opponent}_high"]
    if np.isnan(low):
        few = row["cutoffs"] < FEWEST
        return (
            f"cannot be told from {opponent} on {row['cutoffs']} cutoffs ({FEWEST} are the least)"
            if few
            else f"cannot be measured against {opponent}"
        )
    if low > 0:
        return f"beats {opponent}"
    return f"loses to {opponent}" if high < 0 else f"is no different from {opponent} on this evidence ({CONFIDENCE:.0%} interval)"
