"""Drift of a published series: coverage, pinball skill and inputs, each with its band. Pure.

Scores tell whether the forecasts were as good as they claim to be, over the newest sessions. The
population stability index tells whether the network sees inputs like those that it learnt from,
before any outcome is known. A warning names what has left its band, and what to do about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

#: Newest scored sessions that are looked at.
DRIFT_SESSIONS = 60
#: Scored sessions below which coverage and skill are not judged.
FEWEST_SCORED_SESSIONS = 20
#: Share of the sessions that count as independent: forecasts overlap by all horizons but one, and
#: calm and storm each last. With it, 1% of 3,036 stretches of 60 sessions of 34 stocks left the
#: band on either side, of forecasts that were calibrated as the published ones are.
INDEPENDENT_SHARE = 0.5
#: Chance that a band leaves out on either side, if that many sessions were independent.
BAND_TAIL = 0.025
#: Lowest pinball skill over `DRIFT_SESSIONS` that is still chance; over fewer sessions, chance
#: moves it more. On the same stretches, calibration alone moved it by as much as -0.026.
LOWEST_SKILL = -0.03
#: Cells of the population stability index.
STABILITY_CELLS = 10
#: Newest windows that the index is of. By chance alone, the index of a sample has (cells - 1) *
#: (1 / n + 1 / m) (B. Yurdakul, Statistical Properties of Population Stability Index, 2018): over
#: 60 windows, 0.25 was exceeded in one stretch out of four, over 252 in one out of a hundred.
STABILITY_WINDOWS = 252
#: Highest index that is no warning, by the bounds of S. Siddiqi, Credit Risk Scorecards, 2006:
#: below 0.1 stable, above 0.25 changed.
HIGHEST_PSI = 0.25
#: Windows on either side below which the index would mostly be chance.
FEWEST_STABILITY_WINDOWS = 120

#: What `_by_session` has of a ticker without scores.
_NO_SUMS = np.empty((0, 6))
#: The figures that warnings are about, as columns of DRIFT.
WARNING_KINDS = ("coverage_80", "coverage_95", "pinball_skill", "psi")
_NARROW = "look for a split or a wrong bar among their prices, else let calibration widen them"
_WIDE = "the market has calmed, and calibration narrows them"
_RETRAIN = "train more often (`retrain` of the universe, STOCKCAST_POOL)"


@dataclass(frozen=True)
class Judgement:
    """The figures of a DRIFT row; NaN where there is too little to judge by.

    Attributes:
        backfilled: whether it is by backfilled forecasts, as too few were published in time.
        warnings: by kind, what left its band and what to do.
    """

    backfilled: bool
    sessions: int
    coverage_80: float
    coverage_95: float
    pinball_skill: float
    psi: float
    warnings: dict[str, str]

    def row(self) -> dict[str, object]:
        """Return the DRIFT columns besides the key."""
        return {
            "backfilled": self.backfilled,
            "sessions": self.sessions,
            **{kind: getattr(self, kind) for kind in WARNING_KINDS},
            "warnings": "; ".join(f"{kind}: {text}" for kind, text in self.warnings.items()),
        }


def warnings_of(text: str) -> dict[str, str]:
    """Return the warnings by kind that a DRIFT row's `warnings` holds."""
    return dict(part.split(": ", 1) for part in text.split("; ") if part)


def judge_each(scores: pd.DataFrame, questions: pd.DataFrame) -> list[Judgement]:
    """Judge whether forecasts, all horizons together, were within their bands.

    Args:
        scores: SCORES rows of any tickers and sessions.
        questions: rows of ticker, cutoff and psi, the index of the network's inputs (see
            `population_stability`), NaN where it has none.

    Returns:
        One judgement per question, by the ticker's scores of sessions up to the cutoff: those of
        forecasts published in time, or where they are too few, those of backfilled ones.
    """
    in_time, backfilled = (
        _by_ticker(scores[scores["backfilled"] == late]) for late in (False, True)
    )
    judgements = []
    for ticker, cutoff, psi in zip(
        questions["ticker"], questions["cutoff"], questions["psi"], strict=True
    ):
        published, made_later = (
            _newest_of(tables.get(ticker), cutoff) for tables in (in_time, backfilled)
        )
        by_later = len(published) < min(FEWEST_SCORED_SESSIONS, len(made_later))
        judgements.append(_judge(made_later if by_later else published, psi, by_later))
    return judgements


def _by_ticker(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return `_by_session` by ticker, each by session."""
    if scores.empty:  # on most evenings nothing is backfilled, and to group nothing takes as long
        return {}
    sums = _by_session(scores)
    return {str(ticker): table.droplevel("ticker") for ticker, table in sums.groupby("ticker")}


def _newest_of(table: pd.DataFrame | None, cutoff: pd.Timestamp) -> np.ndarray:
    """Return the sums of the newest sessions up to a cutoff; None: there are none."""
    if table is None:
        return _NO_SUMS
    end = int(table.index.searchsorted(cutoff, side="right"))
    return table.to_numpy()[max(0, end - DRIFT_SESSIONS) : end]


def _by_session(scores: pd.DataFrame) -> pd.DataFrame:
    """Return sums over the horizons, by ticker and session.

    Returns:
        The number of rows and of those inside either interval; the number of rows with both losses,
        and their losses.
    """
    both = scores[["pinball", "ewma_pinball"]].notna().all(axis=1)
    sums: dict[str, pd.Series | float] = {
        "rows": 1.0,
        "inside_80": scores["inside_80"].astype("float64"),
        "inside_95": scores["inside_95"].astype("float64"),
        "compared": both.astype("float64"),
        "pinball": scores["pinball"].where(both, 0.0),
        "ewma_pinball": scores["ewma_pinball"].where(both, 0.0),
    }
    return scores[["ticker", "session"]].assign(**sums).groupby(["ticker", "session"]).sum()


def _judge(sums: np.ndarray, psi: float, backfilled: bool) -> Judgement:
    """Judge by the rows of `_by_session` of one ticker's newest sessions."""
    sessions = len(sums)
    rows, inside_80, inside_95, *_ = sums.sum(axis=0)
    enough = sessions >= FEWEST_SCORED_SESSIONS
    coverage_80 = float(inside_80 / rows) if enough else math.nan
    coverage_95 = float(inside_95 / rows) if enough else math.nan
    skill = _skill(sums)
    warnings = {
        "coverage_80": _coverage_warning(80, coverage_80, sessions),
        "coverage_95": _coverage_warning(95, coverage_95, sessions),
        "pinball_skill": _skill_warning(skill, _sessions_compared(sums)),
        "psi": _psi_warning(psi),
    }
    return Judgement(
        backfilled=backfilled,
        sessions=sessions,
        coverage_80=coverage_80,
        coverage_95=coverage_95,
        pinball_skill=skill,
        psi=psi,
        warnings={kind: text for kind, text in warnings.items() if text},
    )


def _skill(sums: np.ndarray) -> float:
    """Return 1 - mean pinball loss / the EWMA random walk's, over the rows that have both.

    NaN below `FEWEST_SCORED_SESSIONS` sessions.
    """
    *_, pinball, ewma = sums.sum(axis=0)
    enough = _sessions_compared(sums) >= FEWEST_SCORED_SESSIONS
    return float(1 - pinball / ewma) if enough and ewma > 0 else math.nan


def _sessions_compared(sums: np.ndarray) -> int:
    return int((sums[:, 3] > 0).sum())


@cache
def coverage_band(level: int, sessions: int) -> tuple[float, float]:
    """Return the lowest and the highest share inside an interval that is still chance.

    They are the binomial's, of the independent sessions.

    Args:
        level: percent of the interval.
    """
    count, share = max(round(sessions * INDEPENDENT_SHARE), 1), level / 100
    chances = [
        math.comb(count, hits) * share**hits * (1 - share) ** (count - hits)
        for hits in range(count + 1)
    ]
    at_most, at_least = np.cumsum(chances), np.cumsum(chances[::-1])[::-1]
    lowest = np.flatnonzero(at_most > BAND_TAIL)[0]
    highest = np.flatnonzero(at_least > BAND_TAIL)[-1]
    return float(lowest / count), float(highest / count)


def skill_bound(sessions: int) -> float:
    """Return the lowest pinball skill over a number of sessions that is still chance."""
    return LOWEST_SKILL * math.sqrt(DRIFT_SESSIONS / min(sessions, DRIFT_SESSIONS))


@dataclass(frozen=True)
class Reference:
    """The features that a network has learnt from, in cells that hold a tenth of the windows each.

    A feature with a single value has one cell, and adds 0 to the index.

    Attributes:
        windows: how many there were.
        edges: for each feature, the bounds between its cells.
        shares: for each feature, the shares of its cells.
    """

    windows: int
    edges: list[list[float]]
    shares: list[list[float]]

    @classmethod
    def of(cls, learnt: np.ndarray) -> Reference:
        """Return the reference of features (n, F); values that are not finite are left out."""
        probabilities = np.arange(1, STABILITY_CELLS) / STABILITY_CELLS
        columns = [_finite(values) for values in learnt.T]
        edges = [
            np.unique(np.quantile(values, probabilities)) if len(values) else values
            for values in columns
        ]
        shares = [
            _shares(values, bounds).tolist() for values, bounds in zip(columns, edges, strict=True)
        ]
        return cls(len(learnt), [bounds.tolist() for bounds in edges], shares)


def population_stability(reference: Reference, newest: np.ndarray) -> float:
    """Return the population stability index of features, the mean over all of them.

    For each feature, it is the sum of (share - reference share) * ln(share / reference share) over
    the cells. Half a window is added to each cell, so that an empty one is no infinity.

    Args:
        newest: (m, F), in the order of the reference's features.

    Returns:
        NaN below `FEWEST_STABILITY_WINDOWS` windows on either side.
    """
    if min(reference.windows, len(newest)) < FEWEST_STABILITY_WINDOWS:
        return math.nan
    features = zip(reference.edges, reference.shares, newest.T, strict=True)
    return float(np.mean([_index(*feature) for feature in features]))


def _index(edges: list[float], shares: list[float], newest: np.ndarray) -> float:
    newest = _finite(newest)
    if not len(newest):
        return 0.0
    before, now = np.array(shares), _shares(newest, np.array(edges))
    return float(((now - before) * np.log(now / before)).sum())


def _finite(values: np.ndarray) -> np.ndarray:
    finite: np.ndarray = values[np.isfinite(values)].astype("float64")
    return finite


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) + 0.5
    shares: np.ndarray = counts / counts.sum()
    return shares


def _coverage_warning(level: int, share: float, sessions: int) -> str:
    low, high = coverage_band(level, sessions)
    if math.isnan(share) or low <= share <= high:
        return ""
    width, advice = ("narrow", _NARROW) if share < low else ("wide", _WIDE)
    return (
        f"{share:.0%} of the actual prices of the last {sessions} sessions lay inside the {level}% "
        f"interval, {low:.0%} to {high:.0%} would be chance. The intervals were too {width}: "
        f"{advice}"
    )


def _skill_warning(skill: float, sessions: int) -> str:
    if math.isnan(skill) or skill >= skill_bound(sessions):
        return ""
    return (
        f"{skill:+.1%} against the EWMA random walk over the last {sessions} sessions, down to "
        f"{skill_bound(sessions):+.1%} would be chance. See with `stockcast backtest` since when, "
        f"and {_RETRAIN}"
    )


def _psi_warning(psi: float) -> str:
    if math.isnan(psi) or psi <= HIGHEST_PSI:
        return ""
    return (
        "the inputs of the last sessions are unlike those that the network learnt from: their "
        f"population stability index is {psi:.2f}, at most {HIGHEST_PSI:g} is usual. See whether "
        f"the source has changed (quality findings), else {_RETRAIN}"
    )
