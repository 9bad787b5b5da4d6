"""The preparation of a run, before its first step: are all parts there, and is MLflow in order?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.daily.tracked_session import open_sessions
from pipeline.run import Run
from pipeline.universes import load_universes

if TYPE_CHECKING:
    from pipeline.parts import Parts


def prepare_run(parts: Parts, run: Run) -> None:
    """Require store, artifacts and tracking, mark what killed processes left, open MLflow runs.

    The runs are the parents of what is measured in parallel.

    Raises:
        TryAgain: one of them does not answer.
        SettingsError: one of them cannot be used.
    """
    _warn_of_other_folders(parts, run)
    _warn_of_fewer_tickers(parts, run)
    parts.artifacts.require()
    for name in parts.tracker(run.universe.name).end_abandoned():
        parts.progress("note", "", f"MLflow run {name} was left by a killed process: now KILLED")
    open_sessions(parts, run)


def _warn_of_other_folders(parts: Parts, run: Run) -> None:
    own = run.universe.source_id
    others = [n for n in parts.store.prices.sources() if n.startswith("csv:") and n != own]
    if run.universe.name == "csv" and others:
        parts.progress(
            "note",
            "",
            f"this home also has prices from {others[0].removeprefix('csv:')}: forecasts made "
            "from them for the same tickers and sessions are replaced. Declare a universe for "
            "each folder, or give each a home (--home), to keep both.",
        )


def _warn_of_fewer_tickers(parts: Parts, run: Run) -> None:
    declared = load_universes(parts.settings.universes).get(run.universe.name)
    if declared is not None and set(run.universe.tickers) < set(declared.tickers):
        parts.progress(
            "note",
            "",
            f"only {', '.join(run.universe.tickers)} of the {len(declared.tickers)} tickers of "
            f"{declared.name}: networks learn from no others, and the day's page and forecasts "
            "of these are replaced by theirs.",
        )
