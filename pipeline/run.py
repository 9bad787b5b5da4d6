"""What one run is asked to do: small enough to travel between tasks as JSON, complete enough to do any step alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass

from pipeline.universes import Universe


@dataclass(frozen=True)
class Run:
    """One session of one universe. Every step takes a run and the tickers it should handle.

    Attributes:
        universe: what to forecast and how, overrides applied.
        session: the cutoff: the last session that anything in this run may see.
        training_cutoff: the cutoff of the network that serves this session.
        previous_cutoff: the cutoff of the network before it, its rival in promotion.
        pool_cutoff, previous_pool_cutoff: the cutoffs of the networks that all stocks train together, from which the stocks' own of
            `training_cutoff` and `previous_cutoff` go on.
        forecast_sessions: the sessions to forecast, `universe.horizon` of them.
        known_at: prices are read as they were known at this moment (UTC).
        replay: `known_at` was asked for: nothing is fetched, so that a past run can be repeated bit for bit.
    """

    universe: Universe
    session: dt.date
    training_cutoff: dt.date
    previous_cutoff: dt.date
    pool_cutoff: dt.date
    previous_pool_cutoff: dt.date
    forecast_sessions: tuple[dt.date, ...]
    known_at: dt.datetime
    replay: bool = False

    @property
    def key(self) -> dict[str, object]:
        """The columns that all of this run's rows share (see `tables.RUN_KEY`)."""
        return {**self.series, "cutoff": self.session}

    @property
    def series(self) -> dict[str, object]:
        """The part of `key` that all sessions of this universe, recipe and target share."""
        return {"universe": self.universe.name, "recipe": self.universe.recipe, "target": self.universe.target}

    def to_json(self) -> dict[str, object]:
        universe = {
            **dataclasses.asdict(self.universe),
            "tickers": list(self.universe.tickers),
            "start": self.universe.start.isoformat(),
        }
        return {
            "universe": universe,
            "session": self.session.isoformat(),
            "training_cutoff": self.training_cutoff.isoformat(),
            "previous_cutoff": self.previous_cutoff.isoformat(),
            "pool_cutoff": self.pool_cutoff.isoformat(),
            "previous_pool_cutoff": self.previous_pool_cutoff.isoformat(),
            "forecast_sessions": [session.isoformat() for session in self.forecast_sessions],
            "known_at": self.known_at.isoformat(),
            "replay": self.replay,
        }

    @classmethod
    def from_json(cls, values: dict) -> Run:
        return cls(
            universe=Universe.from_json(values["universe"]),
            session=dt.date.fromisoformat(values["session"]),
            training_cutoff=dt.date.fromisoformat(values["training_cutoff"]),
            previous_cutoff=dt.date.fromisoformat(values["previous_cutoff"]),
            pool_cutoff=dt.date.fromisoformat(values["pool_cutoff"]),
            previous_pool_cutoff=dt.date.fromisoformat(values["previous_pool_cutoff"]),
            forecast_sessions=tuple(dt.date.fromisoformat(day) for day in values["forecast_sessions"]),
            known_at=dt.datetime.fromisoformat(values["known_at"]),
            replay=values["replay"],
        )
