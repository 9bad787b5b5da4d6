"""Is a published series still what it was? Realised coverage, pinball skill and inputs over the newest sessions, each with its band. Pure.

Scores say whether the forecasts were as good as they claim to be; the population stability index says whether the network sees what it has
learnt from, before any outcome has come. A warning says what has left its band, and what to do about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

#: Newest scored sessions that are looked at.
SESSIONS = 60
#: Scored sessions below which nothing is said about coverage and skill.
FEWEST = 20
#: Share of the sessions that count as independent: forecasts overlap by all horizons but one, and calm and storm each last. With it the band
#: was left on either side by 1 % of 3,036 stretches of 60 sessions of 34 stocks, of forecasts that were calibrated as the published ones are.
INDEPENDENT = 0.5
#: Chance that a band leaves out on either side, were so many sessions independent.
TAIL = 0.025
#: Pinball skill over `SESSIONS` that is still chance; over fewer, chance does more. On the same stretches, calibration alone moved it by as much
#: as -.026.
LOWEST_SKILL = -0.03
#: Cells of the population stability index, how many of the newest windows it is of, and what it may be: the bounds of S. Siddiqi, Credit Risk
#: Scorecards, 2006 (below .1 stable, above .25 changed). That of a sample has (cells - 1) * (1 / n + 1 / m) by chance alone (B. Yurdakul,
#: Statistical Properties of Population Stability Index, 2018): over 60 windows, .25 was exceeded in one stretch out of four, over 252 in one
#: out of a hundred.
CELLS = 10
WINDOWS = 252
HIGHEST_PSI = 0.25
#: Windows on either side below which the index would mostly be chance.
FEWEST_WINDOWS = 120

#: What the warnings are about, as columns of DRIFT.
KINDS = ("coverage_80", "coverage_95", "pinball_skill", "psi")
_NARROW = "look for a split or a wrong bar among their prices, else let calibration widen them"
_WIDE = "the market has calmed, and calibration narrows them"
_RETRAIN = "train more often (`retrain` of the universe, STOCKCAST_POOL)"


@dataclass(frozen=True)
class Judgement:
    """The figures of a DRIFT row; NaN where there is too little to judge by. `warnings`: kind -> what to know and to do."""

    sessions: int
    coverage_80: float
    coverage_95: float
    pinball_skill: float
    psi: float
    warnings: dict[str, str]

    def row(self) -> dict[str, object]:
        """The DRIFT columns beside the key."""
        return {
            "sessions": self.sessions,
            **{kind: getattr(self, kind) for kind in KINDS},
            "warnings": "; ".join(f"{kind}: {told}" for kind, told in self.warnings.items()),
        }


def warnings_of(text: str) -> dict[str, str]:
    """kind -> warning, of a DRIFT row's `warnings`."""
    return dict(part.split(": ", 1) for part in text.split("; ") if part)


def judge(scores: pd.DataFrame, psi: float) -> Judgement:
    """Whether one ticker's forecasts, all horizons together, have been within their bands.

    Args:
        scores: SCORES rows of one ticker, up to the session that is judged at.
        psi: of the network's inputs, NaN where it has none (see `population_stability`).
    """
    return _judge(_by_session(scores.assign(ticker="")).to_numpy()[-SESSIONS:], psi)


def judge_each(scores: pd.DataFrame, asked: pd.DataFrame) -> list[Judgement]:
    """What `judge` says of each row of `asked` (ticker, cutoff, psi), by the scores of sessions that have come by its cutoff."""
    sums = _by_session(scores)
    tables = {ticker: table.droplevel("ticker") for ticker, table in sums.groupby("ticker")}
    none = _by_session(scores.iloc[:0]).droplevel("ticker")
    judged = []
    for row in asked.itertuples():
        table = tables.get(row.ticker, none)
        end = table.index.searchsorted(row.cutoff, side="right")
        judged.append(_judge(table.to_numpy()[max(0, end - SESSIONS) : end], row.psi))
    return judged


def _by_session(scores: pd.DataFrame) -> pd.DataFrame:
    """Per ticker and session, sums over the horizons: rows, those inside either interval; rows with both losses, and their losses."""
    both = scores[["pinball", "ewma_pinball"]].notna().all(axis=1)
    sums = {
        "rows": 1.0,
        "inside_80": scores["inside_80"].astype("float64"),
        "inside_95": scores["inside_95"].astype("float64"),
        "compared": both.astype("float64"),
        "pinball": scores["pinball"].where(both, 0.0),
        "ewma_pinball": scores["ewma_pinball"].where(both, 0.0),
    }
    return scores[["ticker", "session"]].assign(**sums).groupby(["ticker", "session"]).sum()


def _judge(sums: np.ndarray, psi: float) -> Judgement:
    """By the rows of `_by_session` of one ticker's newest sessions."""
    sessions = len(sums)
    rows, inside_80, inside_95, *_ = sums.sum(axis=0)
    enough = sessions >= FEWEST
    coverage = {level: float(inside / rows) if enough else math.nan for level, inside in ((80, inside_80), (95, inside_95))}
    skill = _skill(sums)
    found = {f"coverage_{level}": _coverage_warning(level, share, sessions) for level, share in coverage.items()}
    found["pinball_skill"] = _skill_warning(skill, _sessions_compared(sums))
    found["psi"] = _psi_warning(psi)
    return Judgement(
        sessions=sessions,
        coverage_80=coverage[80],
        coverage_95=coverage[95],
        pinball_skill=skill,
        psi=psi,
        warnings={kind: told for kind, told in found.items() if told},
    )


def _skill(sums: np.ndarray) -> float:
    """1 - mean pinball loss / the EWMA random walk's, over the rows that have both; NaN below `FEWEST` sessions."""
    *_, pinball, ewma = sums.sum(axis=0)
    return float(1 - pinball / ewma) if _sessions_compared(sums) >= FEWEST and ewma > 0 else math.nan


def _sessions_compared(sums: np.ndarray) -> int:
    return int((sums[:, 3] > 0).sum())


@cache
def coverage_band(level: int, sessions: int) -> tuple[float, float]:
    """Lowest and highest share inside the interval of `level` percent that is still chance: the binomial's, of the independent sessions."""
    count, share = max(round(sessions * INDEPENDENT), 1), level / 100
    chances = [math.comb(count, hits) * share**hits * (1 - share) ** (count - hits) for hits in range(count + 1)]
    below, above = np.cumsum(chances), np.cumsum(chances[::-1])[::-1]  # of at most, and of at least so many hits
    return float(np.flatnonzero(below > TAIL)[0] / count), float(np.flatnonzero(above > TAIL)[-1] / count)


def skill_bound(sessions: int) -> float:
    """The lowest pinball skill over so many sessions that is still chance."""
    return LOWEST_SKILL * math.sqrt(SESSIONS / min(sessions, SESSIONS))


@dataclass(frozen=True)
class Reference:
    """What a network has learnt from, as far as stability asks: for each feature, the bounds of cells that hold a tenth each, and their shares.

    A feature that says one thing only has one cell, and no say.
    """

    windows: int
    edges: list[list[float]]
    shares: list[list[float]]

    @classmethod
    def of(cls, learnt: np.ndarray) -> Reference:
        """Of (n, F) features; values that are not finite are left out."""
        columns = [_finite(values) for values in learnt.T]
        edges = [np.unique(np.quantile(values, np.arange(1, CELLS) / CELLS)) if len(values) else values for values in columns]
        shares = [_shares(values, bounds).tolist() for values, bounds in zip(columns, edges, strict=True)]
        return cls(len(learnt), [bounds.tolist() for bounds in edges], shares)


def population_stability(reference: Reference, newest: np.ndarray) -> float:
    """Population stability index of `newest` (m, F) against what was learnt from, mean over the features.

    For each feature, the sum of (share - reference share) * ln(share / reference share) over the cells. Half a window is added to each cell, so
    that an empty one is no infinity. NaN below `FEWEST_WINDOWS` windows on either side.
    """
    if min(reference.windows, len(newest)) < FEWEST_WINDOWS:
        return math.nan
    return float(np.mean([_index(*feature) for feature in zip(reference.edges, reference.shares, newest.T, strict=True)]))


def _index(edges: list[float], shares: list[float], newest: np.ndarray) -> float:
    newest = _finite(newest)
    if not len(newest):
        return 0.0
    before, now = np.array(shares), _shares(newest, np.array(edges))
    return float(((now - before) * np.log(now / before)).sum())


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)].astype("float64")


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) + 0.5
    return counts / counts.sum()


def _coverage_warning(level: int, share: float, sessions: int) -> str:
    low, high = coverage_band(level, sessions)
    if math.isnan(share) or low <= share <= high:
        return ""
    told = f"{share:.0%} of what came in the last {sessions} sessions lay inside the {level} % interval, {low:.0%} to {high:.0%} would be chance"
    return f"{told}. The intervals were too {'narrow' if share < low else 'wide'}: {_NARROW if share < low else _WIDE}"


def _skill_warning(skill: float, sessions: int) -> str:
    if math.isnan(skill) or skill >= skill_bound(sessions):
        return ""
    return (
        f"{skill:+.1%} against the EWMA random walk over the last {sessions} sessions, down to {skill_bound(sessions):+.1%} would be chance. "
        f"See with `stockcast backtest` since when, and {_RETRAIN}"
    )


def _psi_warning(psi: float) -> str:
    if math.isnan(psi) or psi <= HIGHEST_PSI:
        return ""
    return (
        f"the inputs of the last sessions are unlike those that the network learnt from, population stability index {psi:.2f}, at most "
        f"{HIGHEST_PSI:g} is usual. See whether the source has changed (quality findings), else {_RETRAIN}"
    )
