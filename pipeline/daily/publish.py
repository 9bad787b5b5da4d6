"""Step `publish`: calibrate what was decided, and write the forecasts with their intervals.

All that it needs has been decided and replayed: it looks at no windows and no prices. Forecasts,
decisions, calibrations and the run's request are written in one transaction; then the alias
`champion` moves in MLflow.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.admission import judged_as_of, passed
from pipeline.daily.plan import decisive_settings
from pipeline.daily.promote import choice_of
from pipeline.daily.table_rows import row_dicts
from pipeline.decisions import Publication, decode_replay, publication
from pipeline.errors import NothingStored
from pipeline.models import BASELINES
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, FORECASTS, PROMOTIONS, RUNS
from pipeline.universes import load_universes
from pipeline.version import code_version, library_versions

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "publish"
#: What a run must have in common with its declared universe to move the alias `champion`.
IDENTIFYING = ("recipe", "target", "horizon")


def publish(parts: Parts, run: Run) -> None:
    """Write the champions' forecasts, once they meet their expectations.

    What was published before for an admitted ticker that has none this time is withdrawn.

    Raises:
        NothingStored: nothing has been promoted.
        QualityGateFailed: a forecast breaks its expectations.
    """
    tickers = passed(parts, run)
    promotions = lineup.decisions(parts, run, tickers)
    if promotions.empty:
        raise NothingStored(
            f"{run.universe.name} {run.session}: nothing has been promoted. "
            "Run `promote` for this session first."
        )
    if parts.recipes.for_price(run.universe.recipe).smoothing:
        parts.store.replace(PROMOTIONS, promotions, **run.key, ticker=tickers)
        smoothed = "this recipe forecasts a smoothed price, which nobody pays"
        parts.progress(STEP, "", f"nothing is published: {smoothed}")
        return
    made = _publication(parts, run, promotions)
    published = parts.rows(FORECASTS, run, tickers)
    if not made.forecasts.equals(published):  # what is published has passed already
        parts.gate.check_forecasts(made.forecasts, list(run.forecast_sessions)).require()
    known_at = judged_as_of(parts, run)
    runs = _run_rows(parts, run, list(promotions["ticker"]), known_at)
    beside = [(PROMOTIONS, promotions), (CALIBRATIONS, made.calibrations), (RUNS, runs)]
    changed = parts.store.publications.publish(
        made.forecasts, beside, known_at, parts.asked_by, **run.key, ticker=tickers
    )
    message = f"{len(made.forecasts)} forecasts, {changed} of them new or changed"
    rehearsed = ": a rehearsal's, kept apart" if run.universe.is_rehearsal else ""
    parts.progress(STEP, "", message + rehearsed)
    _move_aliases(parts, run, promotions)


def _move_aliases(parts: Parts, run: Run, promotions: pd.DataFrame) -> None:
    """Point the alias `champion` at what has been published, unless a later session has been.

    Only a run as its universe is declared may do so, and no rehearsal.
    """
    universe = run.universe
    declared = load_universes(parts.settings.universes).get(universe.name, universe)
    differs = any(getattr(universe, name) != getattr(declared, name) for name in IDENTIFYING)
    if differs or universe.is_rehearsal:
        return

    def is_newest() -> bool:
        newest = parts.store.greatest(PROMOTIONS, "cutoff", **run.series)
        return newest is None or bool(newest <= run.session)

    champions = {
        row["ticker"]: None if row["champion"] in BASELINES else row["model_id"]
        for row in row_dicts(promotions)
    }
    parts.tracker(universe.name).set_champions(champions, is_newest)


def _publication(parts: Parts, run: Run, promotions: pd.DataFrame) -> Publication:
    lineups = lineup.load(parts, run, list(promotions["ticker"]))
    choices = {t: choice_of(parts, run, t, own) for t, own in lineups.items()}
    replays = {
        ticker: decode_replay(parts.artifacts.read(own.replay_file))
        for ticker, own in lineups.items()
    }
    return publication(run, row_dicts(promotions), choices, replays)


def _run_rows(
    parts: Parts, run: Run, tickers: Sequence[str], known_at: dt.datetime | None
) -> pd.DataFrame:
    """Return RUNS rows of these tickers.

    They are the same whenever the same run is repeated on the same prices with the same program.
    """
    row = {
        **run.key,
        "source_id": run.universe.source_id,
        "known_at": known_at,
        "request": json.dumps(run.to_json()["universe"], sort_keys=True),
        "settings": json.dumps(decisive_settings(parts.settings), sort_keys=True),
        "code_version": code_version(),
        "libraries": json.dumps(library_versions(), sort_keys=True),
    }
    return RUNS.conform(pd.DataFrame([{**row, "ticker": ticker} for ticker in tickers]))
