"""Step `export`: write what was published, scored and quarantined as Parquet files, by session.

It is done where the settings name a folder (`--export-to`). The files have the rows of the views
that others may build on (`pipeline.views`), in the folders that readers of Parquet know as
partitions; one that is the same already is left alone.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.daily.score import RESCORED_DAYS
from pipeline.reporting import counted
from pipeline.storage import Span, arrow_types
from pipeline.tables import CHECKS, PUBLICATIONS, SCORES, Table
from pipeline.views import PUBLISHED_FORECASTS, QUARANTINES, SCORED_FORECASTS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pipeline.parts import Parts
    from pipeline.run import Run

STEP = "export"
#: The views that are written, each into a folder of its name.
EXPORTED = (PUBLISHED_FORECASTS, SCORED_FORECASTS, QUARANTINES)
#: The column that files are kept apart by; it is in a folder's name, not in the files.
PARTITION = "session"


def export(parts: Parts, run: Run) -> str:
    """Write a session's files, and those of earlier ones that it may have scored.

    Returns:
        Where they are; "" where the settings name no folder, or in a rehearsal.
    """
    if not parts.settings.export_to or run.universe.is_rehearsal:
        return ""
    # Older scores change only where prices of long ago are corrected: `stockcast export` has them.
    count = RESCORED_DAYS + run.universe.horizon
    until: dict[str, object] = {**run.series, "cutoff": Span(last=run.session)}
    scored = parts.store.ends(SCORES, "cutoff", count, newest=True, **until)
    for session in scored:
        write_partition(parts, SCORED_FORECASTS, run.series, session)
    export_sessions(parts, run.series, [run.session])
    address = parts.exports.url("")
    sessions = counted(len({*scored, run.session}), "session")
    parts.progress(STEP, "", f"{sessions} up to date: {address}")
    return address


def export_sessions(
    parts: Parts, series: Mapping[str, object], sessions: Sequence[dt.date]
) -> None:
    """Write all files of these sessions.

    Args:
        series: universe, recipe, target.
    """
    for session in sessions:
        for view in EXPORTED:
            write_partition(parts, view, series, session)


def sessions_to_export(
    parts: Parts, series: Mapping[str, object], first: dt.date | None, last: dt.date | None
) -> list[dt.date]:
    """Return the sessions of a series that leave rows, in order; None: no bound."""
    filters: dict[str, Any] = {**series, "cutoff": Span(first, last)}
    found = {
        session
        for table in (CHECKS, PUBLICATIONS)
        for (session,) in parts.store.distinct(table, ["cutoff"], **filters)
    }
    return sorted(found)


def write_partition(
    parts: Parts, view: Table, series: Mapping[str, object], session: dt.date
) -> None:
    """Write the rows that a view has of a session.

    Without rows there is no file, or one without rows where some were written before.
    """
    rows = parts.store.load(view, **series, session=session)
    name = partition_file(view, series, session)
    if len(rows) or parts.exports.exists(name):
        parts.exports.write(name, _parquet(view, rows))


def partition_file(view: Table, series: Mapping[str, object], session: dt.date) -> str:
    """Return the name of a series' file: each writes its own, whichever runs at the same time."""
    names = "-".join(str(series[name]) for name in ("universe", "recipe", "target"))
    return f"{view.name}/{PARTITION}={session}/{names}.parquet"


def _parquet(view: Table, rows: pd.DataFrame) -> bytes:
    """Return rows of a view as Parquet; equal rows give equal bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(view)
    # What is missing is null in the file, and no NaN.
    columns = [pa.array(rows[field.name].array, field.type, from_pandas=True) for field in schema]
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(columns, schema=schema), file)
    return file.getvalue()


def _schema(view: Table) -> pa.Schema:
    """Return the types of a view's file: dates are dates, moments are in UTC."""
    import pyarrow as pa

    types = arrow_types("UTC")
    fields = [(name, types[dtype]) for name, dtype in view.columns.items() if name != PARTITION]
    return pa.schema(fields)
