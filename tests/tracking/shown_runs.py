"""All that MLflow's client shows of an experiment, with names in place of ids."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

from tests.tracking.made_runs import client_of

#: What differs between any two recordings of the same: ids, and moments in milliseconds.
ID = re.compile(r"(m-)?\b[0-9a-f]{32}\b")
MOMENT = re.compile(r"\b1[0-9]{12}\b")


def shown_in(folder: Path, uri: str = "") -> dict[str, Any]:
    """Return runs, logged models and registered models of the experiment "sample" in a folder.

    Args:
        uri: the database, where it is not in that folder.
    """
    client = client_of(uri or folder)
    experiment = client.get_experiment_by_name("sample").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    models = client.search_logged_models([experiment])
    names = {run.info.run_id: run.info.run_name for run in runs}
    names |= {model.model_id: f"{model.name}: {model.tags['model_id']}" for model in models}
    return {
        "runs": sorted((_run(client, run, names, folder) for run in runs), key=str),
        "models": sorted((_logged(model, names) for model in models), key=str),
        "registered": [_registered(each, names) for each in client.search_registered_models()],
        "versions": sorted(
            (_version(client, each, names) for each in client.search_model_versions()), key=str
        ),
    }


def rows_in(folder: Path) -> dict[str, list[str]]:
    """Return the rows of all tables of MLflow's database, without ids and moments."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: sorted(
                _anonymous(repr(row), folder)
                for row in connection.execute(f'SELECT * FROM "{name}"')
            )
            for (name,) in tables.fetchall()
        }


def files_in(folder: Path) -> list[tuple[str, str]]:
    """Return the files below a folder's artifacts with their content, without ids."""
    root = folder / "artifacts"
    return sorted(
        (
            _anonymous(str(path.relative_to(root)), folder),
            _anonymous(path.read_text("latin-1"), folder),
        )
        for path in root.rglob("*")
        if path.is_file()
    )


def _anonymous(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"utc_time_created: .*", "utc_time_created", text)
    return MOMENT.sub("MOMENT", ID.sub("ID", text))


def _run(client: Any, run: Any, names: dict[str, str], folder: Path) -> dict[str, Any]:
    run_id, info, data = run.info.run_id, run.info, run.data
    above = data.tags.get("mlflow.parentRunId", "")
    assert info.start_time <= (info.end_time or info.start_time)
    assert info.artifact_uri.endswith(f"{folder}/artifacts/sample/{run_id}/artifacts")
    files = {file.path: file.file_size for file in client.list_artifacts(run_id)}
    history = {
        key: [
            (point.step, point.value, point.timestamp == info.start_time)
            for point in client.get_metric_history(run_id, key)
        ]
        for key in data.metrics
    }
    return {
        "name": info.run_name,
        "status": info.status,
        "user": info.user_id,
        "ended": info.end_time is not None,
        "stage": info.lifecycle_stage,
        "params": data.params,
        "metrics": data.metrics,
        "history": history,
        "tags": {**data.tags, "mlflow.parentRunId": names.get(above, above)},
        "files": files,
        "datasets": [given.to_dictionary() for given in run.inputs.dataset_inputs],
        "outputs": [(names[each.model_id], each.step) for each in run.outputs.model_outputs],
    }


def _logged(model: Any, names: dict[str, str]) -> dict[str, Any]:
    shown = sorted((each.key, each.step, each.value) for each in model.metrics or [])
    return {
        "name": names[model.model_id],
        "type": model.model_type,
        "status": str(model.status),
        "tags": model.tags,
        "made in": names.get(model.source_run_id, "deleted"),
        "metrics": shown,
    }


def _registered(model: Any, names: dict[str, str]) -> dict[str, Any]:
    return {
        "name": model.name,
        "description": model.description,
        "tags": model.tags,
        "aliases": {alias: str(version) for alias, version in model.aliases.items()},
        "latest": [str(version.version) for version in model.latest_versions],
    }


def _version(client: Any, version: Any, names: dict[str, str]) -> dict[str, Any]:
    logged = version.source.removeprefix("models:/")
    place = client.get_model_version_download_uri(version.name, version.version)
    assert place.endswith(f"{logged}/artifacts")
    return {
        "name": (version.name, int(version.version)),
        "model": names[logged],
        "made in": names.get(version.run_id, "deleted"),
        "tags": version.tags,
        "aliases": version.aliases,
        "state": (version.status, version.current_stage, version.description),
    }
