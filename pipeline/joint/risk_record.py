"""The record of a portfolio's risk over past sessions, beside that of other ways to join. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.joint.dependence import Dependence
from pipeline.joint.margins import quantiles_at, strata
from pipeline.joint.multivariate_scores import energy_score, variogram_score
from pipeline.joint.portfolio import gains_of, value_at_risk
from pipeline.joint.shuffle import gaussian_copula, independent, schaake_shuffle
from pipeline.measures import difference, exceedance_test

#: (margins, past changes, random numbers) -> paths; see `shuffle`.
Joining: TypeAlias = Callable[[Floats, Floats, np.random.Generator], Floats]

SCENARIOS = "scenarios"
#: How margins are joined: as scenarios are, and the two that they are measured beside.
JOININGS: dict[str, Joining] = {
    SCENARIOS: schaake_shuffle,
    "independent draws": lambda margins, _, random: independent(margins, random),
    "Gaussian copula": gaussian_copula,
}


@dataclass(frozen=True, eq=False)
class PastForecast:
    """A past session's margins, and the outcome.

    Attributes:
        quantiles: (S, H, Q), ascending.
        last: (S,) last prices.
        actual: (S, H); NaN where it is not known.
        dependence: as known at the session.
        seed: of its random numbers.
    """

    quantiles: Floats
    last: Floats
    actual: Floats
    dependence: Dependence
    seed: Sequence[int]


@dataclass(frozen=True, eq=False)
class RiskRecord:
    """Exceedances and scores by session, (n, H) each.

    Attributes:
        exceeded: by joining and level 1 where the loss was greater than the value at risk, 0 where
            not, NaN where it is not known.
        energy, variogram: by joining; see `multivariate_scores`. NaN where an outcome is missing,
            and the second of a single stock.
    """

    exceeded: dict[tuple[str, float], Floats]
    energy: dict[str, Floats]
    variogram: dict[str, Floats]

    def exceedances(self) -> pd.DataFrame:
        """Return a row per joining, level and session ahead, with the p-values of the tests.

        Columns: joined, level, horizon, sessions, promised and exceedances (counts), kupiec,
        independence, conditional.
        """
        rows = []
        for (joined, level), marks in self.exceeded.items():
            for place, column in enumerate(marks.T):
                test = exceedance_test(column, 1 - level, place + 1)
                rows.append(
                    {
                        "joined": joined,
                        "level": level,
                        "horizon": place + 1,
                        "sessions": test.sessions,
                        "promised": test.promised * test.sessions,
                        "exceedances": test.exceedances,
                        "kupiec": test.kupiec,
                        "independence": test.independence,
                        "conditional": test.conditional,
                    }
                )
        return pd.DataFrame(rows)

    def scores(self) -> pd.DataFrame:
        """Return a row per joining and session ahead: mean scores, and scenarios' over the others'.

        Columns: joined, horizon, sessions, energy, variogram, and as text `energy_gain` and
        `variogram_gain`: the relative difference of the scenarios' score from this one's with its
        interval, below 0 where the scenarios are better.
        """
        rows = []
        for joined in self.energy:
            for place in range(self.energy[joined].shape[1]):
                row: dict[str, object] = {"joined": joined, "horizon": place + 1}
                for name, by_joining in (("energy", self.energy), ("variogram", self.variogram)):
                    own, other = by_joining[SCENARIOS][:, place], by_joining[joined][:, place]
                    known = np.isfinite(own) & np.isfinite(other)
                    row |= {"sessions": int(known.sum())} if name == "energy" else {}
                    row[name] = float(other[known].mean()) if known.any() else float("nan")
                    is_itself = joined == SCENARIOS or not known.any()
                    gain = difference(own[known], other[known], place + 1)
                    row[f"{name}_gain"] = "" if is_itself else str(gain)
                rows.append(row)
        return pd.DataFrame(rows)


def record_of(
    forecasts: Iterable[PastForecast],
    probabilities: Sequence[float],
    weights: Floats,
    levels: Sequence[float],
    paths: int,
) -> RiskRecord:
    """Return the record of a portfolio with the same weights at every session.

    Args:
        forecasts: in the order of their sessions.
        probabilities: of their quantiles.
        weights: (S,), see `Portfolio.weights`.
        levels: such as 0.95.
        paths: drawn at each session.
    """
    exceeded: dict[tuple[str, float], list[Floats]] = {}
    energy: dict[str, list[Floats]] = {}
    variogram: dict[str, list[Floats]] = {}
    for forecast in forecasts:
        draws = quantiles_at(strata(paths), probabilities, forecast.quantiles)
        margins = draws.reshape(-1, paths)
        outcome = gains_of(forecast.actual, forecast.last, weights)
        changes = forecast.actual / forecast.last[:, None] - 1
        for name, join in JOININGS.items():
            random = np.random.default_rng(forecast.seed)
            joined = join(margins, forecast.dependence.flat, random)
            values = joined.reshape(paths, *forecast.actual.shape)
            gains = gains_of(values, forecast.last, weights)
            for level in levels:
                beyond = outcome < -value_at_risk(gains, level)
                marks = np.where(np.isfinite(outcome), beyond.astype("float64"), np.nan)
                exceeded.setdefault((name, level), []).append(marks)
            of_paths = values / forecast.last[:, None] - 1
            energy.setdefault(name, []).append(_by_horizon(energy_score, of_paths, changes, 1))
            scores = _by_horizon(variogram_score, of_paths, changes, 2)
            variogram.setdefault(name, []).append(scores)
    return RiskRecord(
        {key: np.array(rows) for key, rows in exceeded.items()},
        {key: np.array(rows) for key, rows in energy.items()},
        {key: np.array(rows) for key, rows in variogram.items()},
    )


def _by_horizon(
    score: Callable[[Floats, Floats], float], paths: Floats, actual: Floats, fewest: int
) -> Floats:
    """Return a score over the stocks at each session ahead, (H,); NaN where it cannot be."""
    scores = np.full(actual.shape[1], np.nan)
    for place, column in enumerate(actual.T):
        if len(column) >= fewest and np.isfinite(column).all():
            scores[place] = score(paths[:, :, place], column)
    return scores
