"""The export: the rows of the views as Parquet, by session, as others read them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow.dataset as pa_dataset
import pytest
from pyarrow import parquet

from pipeline.daily import STEPS
from pipeline.daily.export import EXPORTED, export_sessions, partition_file, sessions_to_export
from pipeline.errors import SettingsError
from pipeline.run import Run
from pipeline.storage import Store
from pipeline.tables import FORECASTS, SCORES
from pipeline.views import PUBLISHED_FORECASTS, QUARANTINES, SCORED_FORECASTS
from tests.daily.quick_days import QuickParts
from tests.made_publications import CUTOFFS, KEY, KNOWN_AT, LAST, UNIVERSE, fill
from tests.store_pages import BUILD, block_of

pytestmark = pytest.mark.integration

MOMENTS = ["published_at", "known_at"]


@pytest.fixture
def exporting(tmp_path: Path):
    """Parts with published sessions, and a folder to export to."""
    with QuickParts(tmp_path / "home", export_to=str(tmp_path / "out")) as parts:
        fill(parts.store)
        yield parts


def run_at(session: dt.date) -> Run:
    return Run(UNIVERSE, session, session, session, session, session, (), KNOWN_AT)


def files_below(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*.parquet"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def expected(store: Store, view, **filters: object) -> pd.DataFrame:
    """Return the rows of a view as a file has them: moments in UTC."""
    rows = store.load(view, **filters)
    return rows.assign(**{n: rows[n].dt.tz_localize("UTC") for n in MOMENTS if n in rows})


@pytest.mark.parametrize("view", EXPORTED, ids=lambda view: view.name)
def test_pandas_and_pyarrow_read_all_sessions_as_one_table(exporting, tmp_path, view):
    export_sessions(exporting, KEY, CUTOFFS)
    rows = expected(exporting.store, view)
    assert len(rows) > 9
    own = [name for name in rows if name != "session"]
    folder = tmp_path / "out" / view.name
    frame = pd.read_parquet(folder, dtype_backend="numpy_nullable")
    for table in (frame, pa_dataset.dataset(folder, partitioning="hive").to_table().to_pandas()):
        read = table.assign(session=pd.to_datetime(table["session"].astype(str)))
        read = read.sort_values(list(view.key), ignore_index=True)
        dates = [name for name in own if name.endswith("session")]
        for name in own:
            values = pd.to_datetime(read[name]) if name in dates else read[name]
            assert values.astype(rows[name].dtype).equals(rows[name]), name
        assert read["session"].tolist() == rows["session"].tolist()


def test_one_session_is_read_by_its_folder_alone(exporting, tmp_path):
    export_sessions(exporting, KEY, CUTOFFS)
    data = pa_dataset.dataset(tmp_path / "out" / "published_forecasts", partitioning="hive")
    rows = data.to_table(filter=pa_dataset.field("session") == str(LAST))
    assert rows.num_rows == len(exporting.store.load(FORECASTS, cutoff=LAST)) == 15
    names = [str(fragment.path) for fragment in data.get_fragments()]
    assert len(names) == len(CUTOFFS)
    assert any(name.endswith(f"session={LAST}/made-default-close.parquet") for name in names)


def test_types_in_the_files_are_dates_moments_in_utc_and_nulls(exporting, tmp_path):
    rows = exporting.store.load(FORECASTS, cutoff=LAST).assign(lower_98=float("nan"))
    exporting.store.save(FORECASTS, rows)
    export_sessions(exporting, KEY, [LAST])
    name = partition_file(PUBLISHED_FORECASTS, KEY, LAST)
    table = parquet.read_table(tmp_path / "out" / name, partitioning=None)
    assert table.column_names == [n for n in PUBLISHED_FORECASTS.columns if n != "session"]
    types = {name: str(table.schema.field(name).type) for name in ("forecast_session", "horizon")}
    assert types == {"forecast_session": "date32[day]", "horizon": "int64"}
    assert str(table.schema.field("published_at").type) == "timestamp[us, tz=UTC]"
    assert table["lower_98"].null_count == table.num_rows == 15


def test_an_export_that_is_repeated_changes_no_byte_and_leaves_files_alone(exporting, tmp_path):
    export_sessions(exporting, KEY, CUTOFFS)
    first = files_below(tmp_path / "out")
    moments = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    export_sessions(exporting, KEY, CUTOFFS)
    assert files_below(tmp_path / "out") == first
    assert {path: path.stat().st_mtime_ns for path in moments} == moments
    # All sessions have quarantines; the last has no outcome yet, and so no file of scores.
    assert len(first) == 3 * len(CUTOFFS) - 1
    (tmp_path / "again").mkdir()
    exporting.exports = type(exporting.exports)(str(tmp_path / "again"))
    export_sessions(exporting, KEY, CUTOFFS)
    assert files_below(tmp_path / "again") == first


def test_a_forecast_that_was_withdrawn_is_gone_from_the_files(exporting, tmp_path):
    export_sessions(exporting, KEY, [LAST])
    before = files_below(tmp_path / "out")
    tickers = exporting.store.load(FORECASTS, cutoff=LAST)["ticker"].unique()
    reasons = dict.fromkeys(tickers, "test")
    exporting.store.publications.withdraw(reasons, [], "test", **KEY, cutoff=LAST)
    export_sessions(exporting, KEY, [LAST])
    after = files_below(tmp_path / "out")
    name = partition_file(PUBLISHED_FORECASTS, KEY, LAST)
    assert [each for each in before if before[each] != after[each]] == [name]
    assert parquet.read_table(tmp_path / "out" / name, partitioning=None).num_rows == 0


def test_series_have_files_of_their_own_below_the_same_session(exporting, tmp_path):
    other = {**KEY, "recipe": "literature.weng"}
    exporting.store.save(
        FORECASTS, exporting.store.load(FORECASTS, cutoff=LAST).assign(recipe=other["recipe"])
    )
    for series in (KEY, other):
        export_sessions(exporting, series, [LAST])
    rows = pd.read_parquet(tmp_path / "out" / "published_forecasts")
    assert sorted(rows["recipe"].unique()) == ["default", "literature.weng"]


def test_the_day_writes_its_session_and_the_scores_of_earlier_ones(exporting, tmp_path):
    at = CUTOFFS[5]
    assert STEPS["export"](exporting, run_at(at)) == str(tmp_path / "out")
    names = sorted(files_below(tmp_path / "out"))
    scored = [partition_file(SCORED_FORECASTS, KEY, session) for session in CUTOFFS[:6]]
    own = [partition_file(view, KEY, at) for view in (PUBLISHED_FORECASTS, QUARANTINES)]
    assert names == sorted([*scored, *own])
    [message] = [line[-1] for line in exporting.messages if line[0] == "export"]
    assert message == f"6 sessions up to date: {tmp_path / 'out'}"
    # A new outcome reaches the file of the session that made the forecast.
    key = {**KEY, "cutoff": CUTOFFS[4], "ticker": "AAA", "horizon": 1}
    exporting.store.save(SCORES, exporting.store.load(SCORES, **key).assign(actual=77.0))
    STEPS["export"](exporting, run_at(at))
    rows = pd.read_parquet(tmp_path / "out" / partition_file(SCORED_FORECASTS, KEY, CUTOFFS[4]))
    assert (rows["actual"] == 77.0).sum() == 1


def test_without_a_folder_and_in_a_rehearsal_a_day_writes_nothing(exporting, tmp_path):
    assert STEPS["export"](exporting, replace(run_at(LAST), universe=UNIVERSE.as_rehearsal())) == ""
    exporting.settings = exporting.settings.replaced(export_to="")
    assert STEPS["export"](exporting, run_at(LAST)) == ""
    assert not (tmp_path / "out").exists()
    with pytest.raises(SettingsError, match=r"export_to is empty; .* \(--export-to or STOCKCAST_"):
        assert exporting.exports


def test_an_object_store_gets_the_same_bytes(exporting, tmp_path):
    export_sessions(exporting, KEY, [LAST])
    exporting.exports = type(exporting.exports)("memory://bucket/results")
    export_sessions(exporting, KEY, [LAST])
    memory = fsspec.filesystem("memory")
    found = {name: memory.cat_file(name) for name in memory.find("/bucket/results")}
    local = files_below(tmp_path / "out")
    assert found == {f"/bucket/results/{name}": data for name, data in local.items()}
    memory.rm("/bucket", recursive=True)


def test_a_folder_that_cannot_be_used_is_named_with_its_setting(exporting):
    exporting.settings = exporting.settings.replaced(export_to="gopher://there")
    with pytest.raises(SettingsError, match=r"The export folder gopher://there .*EXPORT_TO"):
        assert exporting.exports


def test_sessions_to_export_are_those_that_left_rows_in_the_range(exporting):
    assert sessions_to_export(exporting, KEY, None, None) == CUTOFFS
    assert sessions_to_export(exporting, KEY, CUTOFFS[3], CUTOFFS[5]) == CUTOFFS[3:6]
    assert sessions_to_export(exporting, {**KEY, "recipe": "none"}, None, None) == []


def test_the_pages_example_reads_one_session(exporting, tmp_path, capsys):
    export_sessions(exporting, KEY, CUTOFFS)
    example = block_of(BUILD, "python", "read_parquet")
    example = example.replace("/srv/stockcast", str(tmp_path / "out"))
    exec(example.replace("2013-03-01", str(CUTOFFS[2])), {})
    printed = capsys.readouterr().out
    last = exporting.store.load(FORECASTS, cutoff=CUTOFFS[2], horizon=5, ticker="AAA")
    assert f"{last['y_hat'].iloc[0]:.6f}" in printed
