"""Joint forecasts: what is published of a session, and how its stocks have moved together before.

Everything comes from the store: the forecasts that stand, and prices as known to the run that made
them, up to its session. So the same paths are drawn whenever they are drawn again.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Array, Floats
from pipeline.daily.check import READ_TOGETHER
from pipeline.daily.shards import chunks
from pipeline.errors import NothingStored
from pipeline.joint import (
    FEWEST_PAST_SESSIONS,
    MOST_PAST_SESSIONS,
    Dependence,
    dependence_of,
    past_changes,
    quantiles_at,
    schaake_shuffle,
    strata,
)
from pipeline.measures import scores
from pipeline.prices import histories_as_of
from pipeline.quantiles import PROBABILITIES
from pipeline.storage import digest_of
from pipeline.tables import FORECASTS, column
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Joint paths that are drawn where nothing else is asked for.
USUAL_PATHS = 1000
#: Sessions before the first change that counts, for its volatility and for masking.
SESSIONS_TO_SETTLE = 170
#: Calendar days for each session, rounded up.
DAYS_A_SESSION = 1.5


@dataclass(frozen=True, eq=False)
class PublishedMargins:
    """The forecasts of a session that stand, as arrays.

    Attributes:
        key: universe, recipe, target, cutoff.
        sessions: datetime64[s] (H,), the days forecast; those that all tickers have.
        last: (S,) last prices.
        probabilities: of the quantiles, those that all tickers have.
        quantiles: (S, H, Q).
    """

    key: Mapping[str, object]
    tickers: tuple[str, ...]
    sessions: Array
    last: Floats
    probabilities: tuple[float, ...]
    quantiles: Floats

    @property
    def horizon(self) -> int:
        """Sessions ahead."""
        return len(self.sessions)


@dataclass(frozen=True)
class RunBehind:
    """The run behind a session's forecasts; of several, the one with the newest prices.

    Attributes:
        known_at: as of when prices are read; None: all that is known.
    """

    universe: Universe
    source_id: str
    known_at: dt.datetime | None
    seed: int


@dataclass(frozen=True, eq=False)
class JointPaths:
    """Paths of all tickers together.

    Attributes:
        values: (M, S, H) prices.
        dependence: where their order is from.
    """

    margins: PublishedMargins
    values: Floats
    dependence: Dependence

    def remarks(self) -> list[str]:
        """Return in words where the dependence is not the past's, or not a ticker's own."""
        dependence, stocks = self.dependence, len(self.margins.tickers)
        sessions = len(dependence.changes)
        if not dependence.is_learnt:
            most = int(dependence.own.max(initial=0))
            alone = "" if stocks == 1 else ", and stocks know nothing of each other"
            return [
                f"too little history to learn how prices move together: {most} past sessions, "
                f"{FEWEST_PAST_SESSIONS} needed. Paths are random walks over the sessions "
                f"ahead{alone}"
            ]
        return [
            f"{ticker} has {own} of the {sessions} past sessions; on the others it moves as "
            "another stock did, drawn at random"
            for ticker, own in zip(self.margins.tickers, dependence.own.tolist(), strict=True)
            if own < sessions / 2
        ]


def joint_paths(
    parts: Parts, key: Mapping[str, object], paths: int, tickers: Sequence[str] | None = None
) -> JointPaths:
    """Draw joint paths of what stands of a session.

    Args:
        key: universe, recipe, target, cutoff.
        tickers: None: all that it is published for.

    Raises:
        NothingStored: nothing is published for it, or not what it was made from.
    """
    margins = published_margins(parts, key, tickers)
    behind = run_behind(parts, key)
    prices = prices_before(parts, margins, behind)
    changes = past_changes(prices.to_numpy("float64"), margins.horizon)
    dependence = dependence_of(changes, len(prices) - 1, generator(behind, key, 0))
    draws = quantiles_at(strata(paths), margins.probabilities, margins.quantiles)
    joined = schaake_shuffle(draws.reshape(-1, paths), dependence.flat, generator(behind, key, 1))
    return JointPaths(margins, joined.reshape(paths, *draws.shape[:2]), dependence)


def generator(behind: RunBehind, key: Mapping[str, object], purpose: int) -> np.random.Generator:
    """Return the random numbers of a session for one purpose, the same at every time."""
    return np.random.default_rng(seed_of(behind, key, purpose))


def seed_of(behind: RunBehind, key: Mapping[str, object], purpose: int) -> list[int]:
    """Return the seed of `generator`."""
    names = {name: str(value) for name, value in key.items()}
    return [int(digest_of({**names, "seed": behind.seed}), 16), purpose]


def published_margins(
    parts: Parts, key: Mapping[str, object], tickers: Sequence[str] | None = None
) -> PublishedMargins:
    """Return what stands of a session.

    Raises:
        NothingStored: nothing does.
    """
    wanted = {} if tickers is None else {"ticker": list(tickers)}
    rows = parts.store.load(FORECASTS, **key, **wanted)
    if rows.empty:
        raise NothingStored(
            f"{key['universe']} {key['cutoff']}: nothing is published for this session, so there "
            "is nothing to draw paths of. Run it first (`stockcast run --session "
            f"{key['cutoff']}`)."
        )
    horizon = int(rows.groupby("ticker")["horizon"].max().min())
    rows = rows[rows["horizon"] <= horizon]
    names = tuple(str(ticker) for ticker in rows["ticker"].unique())
    values = rows[list(scores.FORECAST_COLUMNS)].to_numpy("float64")
    known = np.isfinite(values).all(axis=0)
    first = rows[rows["ticker"] == names[0]]
    return PublishedMargins(
        key=dict(key),
        tickers=names,
        sessions=first["session"].to_numpy(),
        last=rows.loc[rows["horizon"] == 1, "last_value"].to_numpy("float64"),
        probabilities=tuple(np.array(PROBABILITIES)[known].tolist()),
        quantiles=values[:, known].reshape(len(names), horizon, -1),
    )


def run_behind(parts: Parts, key: Mapping[str, object]) -> RunBehind:
    """Return the run behind what stands of a session.

    Raises:
        NothingStored: the version that published it did not keep it.
    """
    rows = parts.store.publications.run_of(**key)
    if rows.empty:
        raise NothingStored(
            f"{key['universe']} {key['cutoff']}: the version that published it did not keep its "
            "settings and tickers. Repeat `stockcast run` for this session first."
        )
    newest = rows.sort_values(["known_at", "run_id"], na_position="first").iloc[-1]
    return RunBehind(
        universe=Universe.from_json(json.loads(newest["request"])),
        source_id=str(newest["source_id"]),
        known_at=None if pd.isna(newest["known_at"]) else newest["known_at"].to_pydatetime(),
        seed=int(json.loads(newest["settings"]).get("seed", parts.settings.seed)),
    )


def prices_before(
    parts: Parts, margins: PublishedMargins, behind: RunBehind, earliest: dt.date | None = None
) -> pd.DataFrame:
    """Return the target up to the cutoff by session and ticker, adjusted as of the cutoff.

    A ticker without a bar, and one that cannot be adjusted, has NaN.

    Args:
        earliest: the first session that a dependence is learnt for; None: the cutoff.
    """
    cutoff = pd.Timestamp(str(margins.key["cutoff"])).date()
    count = MOST_PAST_SESSIONS + margins.horizon + SESSIONS_TO_SETTLE
    first = (earliest or cutoff) - dt.timedelta(days=round(DAYS_A_SESSION * count))
    tables = []
    for batch in chunks(list(margins.tickers), READ_TOGETHER):
        histories = histories_as_of(
            parts.store.prices,
            behind.source_id,
            batch,
            cutoff,
            behind.known_at,
            first,
            behind.universe.repair,
        )
        history = histories.all_of(cutoff)
        values = column(history, str(margins.key["target"]))
        table = history[["ticker", "session"]].assign(value=values)
        wide = table.pivot(index="session", columns="ticker", values="value")
        tables.append(wide.reindex(columns=batch))
    return pd.concat(tables, axis=1).sort_index()
