"""A run: one session of one universe to forecast.

It is small enough to travel between tasks as JSON, and complete enough to do any step alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.universes import Universe

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Run:
    """One session of one universe; every step takes a run and the tickers that it should handle.

    Attributes:
        universe: the tickers and how they are forecast, overrides applied.
        session: the cutoff, the last session that anything in this run may see.
        training_cutoff: the cutoff of the network that serves this session.
        previous_cutoff: the cutoff of the network before it, its rival in promotion.
        pool_cutoff: the cutoff of the network that all stocks train together; each stock's own
            network of `training_cutoff` goes on from it.
        previous_pool_cutoff: likewise for `previous_cutoff`.
        forecast_sessions: the sessions to forecast, `universe.horizon` of them.
        known_at: the moment (UTC) of asking: no session that closes after it is fetched.
        replay: whether `known_at` was asked for. Nothing is fetched then, and prices are read as of
            that moment, so that a past run can be repeated bit for bit.
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
        universe = self.universe
        return {"universe": universe.name, "recipe": universe.recipe, "target": universe.target}

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        values = _json_adapter().dump_python(self, mode="json")
        # Stored requests have +00:00, where pydantic would write Z.
        moment = self.known_at.isoformat()
        return {**values, "universe": self.universe.to_json(), "known_at": moment}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Run:
        """Return the run that `to_json` wrote."""
        known_at = dt.datetime.fromisoformat(values["known_at"])
        return _json_adapter().validate_python({**values, "known_at": known_at})


@cache
def _json_adapter() -> TypeAdapter[Run]:
    from pydantic import TypeAdapter

    return TypeAdapter(Run)
