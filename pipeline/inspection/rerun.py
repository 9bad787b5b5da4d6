"""Making a published forecast again, from the prices known then, and comparing it bit by bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import INGEST_FAILED, Sandbox, make_forecasts
from pipeline.errors import NothingStored, SettingsError
from pipeline.inspection.comparing import SHOWN_DIGITS, unequal_cells
from pipeline.inspection.explanation import Explanation, Row, run_then, settings_then
from pipeline.inspection.explanation_text import config_hash_today
from pipeline.leftovers import TemporaryFolder
from pipeline.models import GPU
from pipeline.storage import content_digest
from pipeline.tables import (
    ACTION_REVISIONS,
    CALIBRATIONS,
    CHECKS,
    DATASETS,
    EVENT_REVISIONS,
    FORECASTS,
    PRICE_REVISIONS,
    PROMOTIONS,
    Table,
)
from pipeline.version import code_version, library_versions

if TYPE_CHECKING:
    from pipeline.parts import Parts
    from pipeline.run import Run

STEP = "explain"
#: The tables of a published forecast that are made again.
REPEATED_TABLES = (PROMOTIONS, CALIBRATIONS, FORECASTS)
#: Their columns that earlier versions did not have: nothing to compare with where none was kept.
ADDED_COLUMNS = ("har_test_pinball", "pinball_skill_over_har", "lower_98", "upper_98")


@dataclass(frozen=True)
class RerunCheck:
    """An output that was made again.

    Attributes:
        what: its name.
        differs: how it differs, with the value then and now; "": it is the same.
    """

    what: str
    differs: str


@dataclass(frozen=True)
class RerunComparison:
    """A forecast that was made again, next to the published one.

    Attributes:
        reasons: where a check differs, the likely reasons, the likeliest first.
    """

    checks: tuple[RerunCheck, ...]
    reasons: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """True where nothing differs."""
        return not any(check.differs for check in self.checks)


def rerun(parts: Parts, explanation: Explanation) -> RerunComparison:
    """Make a forecast again in a sandbox, with all tickers of its run, and compare.

    Raises:
        NothingStored: the version that published it did not keep what was asked for.
        SettingsError: its networks were trained on a GPU, and there is none.
    """
    request, key = explanation.request, explanation.key
    if request is None:
        raise NothingStored(
            f"{key['ticker']} {key['cutoff']}: the version that published it did not keep its "
            "settings and tickers, so it cannot be made again. Repeat `stockcast run` for this "
            "session first."
        )
    run, settings = run_then(parts, request), settings_then(parts, request)
    if settings.device == GPU:
        _require_gpu_for(parts, f"{key['ticker']} {key['cutoff']}")
    with (
        TemporaryFolder("explain") as folder,
        Sandbox(folder, settings, parts.recipes) as sandbox,
    ):
        tickers, moment = ", ".join(run.universe.tickers), run.known_at.isoformat()
        parts.progress(STEP, "", f"making {tickers} again, as known at {moment}")
        _copy_revisions(parts, sandbox, run)
        _copy_failures(parts, sandbox, run)
        make_forecasts(sandbox, run)
        checks = tuple(_checks(parts, sandbox, explanation))
    differs = any(check.differs for check in checks)
    reasons = tuple(_reasons(parts, explanation, request)) if differs else ()
    return RerunComparison(checks, reasons)


def _require_gpu_for(parts: Parts, forecast: str) -> None:
    try:
        parts.workers.require_gpu()
    except SettingsError as error:
        raise SettingsError(
            f"{forecast}: its networks were trained on a GPU, of which the last digits are others "
            "than a CPU's, and TensorFlow sees no GPU here. Make it again on a machine with one."
        ) from error


def _copy_revisions(parts: Parts, sandbox: Parts, run: Run) -> None:
    """Copy all that was known of the run's tickers at its moment: prices up to its session."""
    known_at = pd.Timestamp(run.known_at).tz_localize(None)
    source_id = run.universe.source_id
    for ticker in run.universe.tickers:
        for table in (PRICE_REVISIONS, ACTION_REVISIONS):
            rows = parts.store.load(table, source_id=source_id, ticker=ticker)
            was_known = rows["known_at"] <= known_at
            until_session = rows["session"] <= pd.Timestamp(run.session)
            sandbox.store.save(table, rows[was_known & until_session])
    if events_id := run.universe.events_id:
        tickers = run.universe.tickers
        events = parts.store.events.revisions(events_id, tickers, run.known_at)
        sandbox.store.save(EVENT_REVISIONS, events)


def _copy_failures(parts: Parts, sandbox: Parts, run: Run) -> None:
    """Copy the checks of the tickers that could not be fetched.

    They were not judged, and had no part in the run but for what they had given to the pool.
    """
    checks = parts.rows(CHECKS, run)
    sandbox.store.save(CHECKS, checks[checks["reasons"].str.startswith(INGEST_FAILED)])


# Comparing


def _checks(parts: Parts, sandbox: Parts, explanation: Explanation) -> Iterator[RerunCheck]:
    datasets = sandbox.store.load(DATASETS, **explanation.key)
    made_again = dict(zip(datasets["role"], datasets["dataset"], strict=True))
    for row in explanation.datasets.to_dict("records"):
        name, name_now = row["dataset"], made_again.get(row["role"], "none")
        differs = "" if name == name_now else f"{name} then, {name_now} now"
        yield RerunCheck(f"dataset {row['role']}", differs)
    for network in explanation.networks:
        then, now = (_model_file(each, network.model_id) for each in (parts, sandbox))
        differs = _file_difference(then, now)
        yield RerunCheck(f"network file {network.role} {network.model_id}", differs)
    for table in REPEATED_TABLES:
        published, made = (each.store.load(table, **explanation.key) for each in (parts, sandbox))
        yield RerunCheck(table.name, _table_difference(table, published, made))


def _model_file(parts: Parts, model_id: str) -> bytes | None:
    return parts.networks.model(model_id) if parts.networks.has(model_id) else None


def _file_difference(then: bytes | None, now: bytes | None) -> str:
    """Return the hashes of two files that are not the same; None: there is no file."""
    if then is not None and then == now:
        return ""
    digests = [
        "none" if content is None else content_digest(content, SHOWN_DIGITS)
        for content in (then, now)
    ]
    return f"{digests[0]} then, {digests[1]} now"


def _table_difference(table: Table, then: pd.DataFrame, now: pd.DataFrame) -> str:
    """Return the first cell that is not the same, and how many are not."""
    if len(then) != len(now):
        return f"{len(then)} rows then, {len(now)} now"
    absent = [name for name in ADDED_COLUMNS if name in then and then[name].isna().all()]
    then, now = then.drop(columns=absent), now.drop(columns=absent)
    unequal = unequal_cells(then, now)
    if not unequal.any():
        return ""
    row, column = (int(indices[0]) for indices in unequal.nonzero())
    place = f" of horizon {then['horizon'].iloc[row]}" if "horizon" in table.columns else ""
    values = [str(each.iat[row, column]) for each in (then, now)]
    return (
        f"{then.columns[column]}{place}: {values[0]} then, {values[1]} now; "
        f"{int(unequal.sum())} cells in all"
    )


# Reasons


def _reasons(parts: Parts, explanation: Explanation, request: Row) -> Iterator[str]:
    """Yield why a forecast may differ when it is made again, the likeliest reason first."""
    version = code_version()
    if request["code_version"] != version:
        yield (
            "it was published by another version of the program: "
            f"{request['code_version']} then, {version} now"
        )
    for network in explanation.networks:
        row = network.row
        today = config_hash_today(parts, network) if row else ""
        if row and row["config_hash"] != today:
            yield (
                f"recipe {row['recipe']} has been changed since: configuration "
                f"{row['config_hash']} then, {today or 'none'} now"
            )
        if row and row["code_version"] not in (request["code_version"], version):
            yield (
                f"its network {network.model_id} was trained by a third version: "
                f"{row['code_version']}"
            )
    changed = _changed_libraries(request)
    if changed:
        yield f"other libraries: {changed}"
    yield (
        "a file or row was changed by hand, or the networks were trained on another kind of "
        "processor, where the last digits differ"
    )


def _changed_libraries(request: Row) -> str:
    then, now = json.loads(str(request["libraries"])), library_versions()
    return "; ".join(
        f"{name} {then.get(name)} then, {version} now"
        for name, version in now.items()
        if then.get(name) != version
    )
