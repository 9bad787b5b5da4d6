"""Gone tickers: without bars for so long that they are left out of a session, not held back.

A stock that is delisted, or renamed, and still among its universe's tickers has no new bar. For
two weeks the gate holds it back, as for a source that is behind; then it is left out until it has
bars again. Only bars up to the session decide.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.run import Run

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Sessions without a bar, on which most other tickers have one, after which a ticker is gone.
GONE_SESSIONS = 10


def gone_tickers(
    parts: Parts, run: Run, tickers: Sequence[str], recent: pd.DataFrame, moment: dt.datetime | None
) -> dict[str, str]:
    """Return by ticker that is gone since when, and what to do.

    Args:
        recent: PRICES of all tickers over more than `GONE_SESSIONS` sessions, up to the run's.
        moment: prices are read as they were known then; None: as they are by now.
    """
    candidates = without_new_bars(recent, tickers)
    source_id = run.universe.source_id
    newest = parts.store.prices.last_sessions(source_id, candidates, run.session, moment)
    return {
        ticker: f"no bar since {session}, while the others have theirs: left out, and not "
        "quarantined. If it was delisted, take it out of its universe, or give it a last day "
        "(`members`); if it was renamed, name its new ticker, and this one under `aliases`. New "
        "bars bring it back"
        for ticker, session in newest.items()
    }


def without_new_bars(recent: pd.DataFrame, tickers: Sequence[str]) -> list[str]:
    """Return the tickers with `GONE_SESSIONS` since their newest bar that most others have bars on.

    Args:
        recent: see `gone_tickers`.
    """
    bars = recent.groupby("session")["ticker"].nunique()
    traded = bars.index[2 * bars >= recent["ticker"].nunique()]
    newest = recent.groupby("ticker")["session"].max()
    never = pd.Timestamp.min
    return [t for t in tickers if (traded > newest.get(t, never)).sum() >= GONE_SESSIONS]


def is_long_gone(parts: Parts, run: Run, newest: dt.date | None) -> bool:
    """Return whether a ticker's newest stored bar is so old that its source may have dropped it."""
    if newest is None:
        return False
    calendar = parts.calendar(run.universe)
    return len(calendar.sessions(newest + dt.timedelta(days=1), run.session)) >= GONE_SESSIONS
