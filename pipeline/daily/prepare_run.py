"""The preparation of a run, before its first step: are all parts there, and is MLflow in order?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.daily.plan import departures
from pipeline.daily.tracked_session import open_sessions
from pipeline.extras import require
from pipeline.leftovers import sweep_folders
from pipeline.models import GPU
from pipeline.prices import CsvSource
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.universes import declared_name

if TYPE_CHECKING:
    from pipeline.parts import Parts


def prepare_run(parts: Parts, run: Run) -> None:
    """Require store, artifacts and tracking, end what killed processes left, open MLflow runs.

    The runs are the parents of what is measured in parallel.

    Raises:
        TryAgain: one of them does not answer.
        SettingsError: one of them cannot be used, or the GPU that this session trains on, or this
            is the image without what tasks need.
    """
    require("great_expectations", "The step `check`")
    _require_device(parts, run)
    _warn_of_other_folders(parts, run)
    _tell_of_left_out(parts, run)
    _tell_of_departures(parts, run)
    parts.artifacts.require()
    sweep_folders()
    if count := parts.artifacts.sweep():
        message = f"{counted(count, 'unfinished file')} of killed processes removed"
        parts.progress("note", "", message)
    for name in parts.tracker(run.universe.name).end_abandoned():
        parts.progress("note", "", f"MLflow run {name} was left by a killed process: now KILLED")
    open_sessions(parts, run)


def _require_device(parts: Parts, run: Run) -> None:
    """Require the GPU where a session trains on one."""
    # Other sessions import no TensorFlow; where their networks are missing, the training looks.
    if parts.settings.device == GPU and run.session == run.training_cutoff:
        parts.progress("note", "", f"networks are trained on {parts.workers.require_gpu()}")


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


def _tell_of_left_out(parts: Parts, run: Run) -> None:
    """Say which rows of price files are of no ticker, and which files of a folder."""
    source = parts.source(run.universe)
    if not isinstance(source, CsvSource) or run.replay:
        return
    files, rows = source.remarks(run.universe.tickers)
    is_whole_folder = run.universe.name == source.name and not parts.settings.tickers
    for sentence in (*(files if is_whole_folder else ()), *rows):
        parts.progress("note", "", sentence)


def _tell_of_departures(parts: Parts, run: Run) -> None:
    """Say what differs from the declaration, and whether it is published."""
    universe = run.universe
    names = departures(parts, universe, run.session) + (["known-at"] if run.replay else [])
    if not names:
        return
    values = {"known-at": run.known_at.isoformat(), "tickers": ", ".join(universe.tickers)}
    named = "; ".join(f"{name} {values.get(name) or getattr(universe, name)}" for name in names)
    declared = declared_name(universe.name)
    what = (
        f"a rehearsal, kept under the name {universe.name}: nothing is published (--publish "
        "publishes it)"
        if universe.is_rehearsal
        else f"published, though {declared} is declared otherwise"
    )
    alone = "; networks learn from these tickers alone" if "tickers" in names else ""
    parts.progress("note", "", f"{named}: {what}{alone}")
