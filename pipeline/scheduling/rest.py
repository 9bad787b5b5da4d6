"""Airflow's REST API, as far as this project calls it; the services of `make up` on loopback."""

from __future__ import annotations

import datetime as dt
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from pipeline.errors import RunError
from pipeline.scheduling.environment import ADMIN, admin_password, airflow_url
from pipeline.settings import Settings


class Airflow:
    def __init__(self, settings: Settings) -> None:
        self.address = airflow_url(settings)
        login = {"username": ADMIN, "password": admin_password(settings.home)}
        self._token = self._call("POST", "/auth/token", login)["access_token"]

    def is_paused(self, dag_id: str) -> bool:
        return self._call("GET", f"/api/v2/dags/{dag_id}")["is_paused"]

    def run_again_or_first(self, dag_id: str, logical_date: dt.datetime, conf: dict[str, Any]) -> str:
        """Triggers a run, or clears all tasks of the one that has this logical date; returns its id."""
        runs = f"/api/v2/dags/{dag_id}/dagRuns"
        moment = urllib.parse.quote(logical_date.isoformat())
        found = self._call("GET", f"{runs}?logical_date_gte={moment}&logical_date_lte={moment}")["dag_runs"]
        if not found:
            moment = logical_date.isoformat()  # also when it may run, or the grid would sort it by today
            return self._call("POST", runs, {"logical_date": moment, "run_after": moment, "conf": conf})["dag_run_id"]
        run_id = found[0]["dag_run_id"]
        if found[0]["state"] in ("success", "failed"):
            self._call("POST", f"{runs}/{urllib.parse.quote(run_id)}/clear", {"dry_run": False, "run_on_latest_version": True})
        return run_id

    def state_of(self, dag_id: str, run_id: str) -> str:
        return self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}")["state"]

    def tasks_of(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run."""
        tasks: list[dict[str, Any]] = []
        while True:
            query = f"limit=100&offset={len(tasks)}"
            page = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances?{query}")
            tasks += page["task_instances"]
            if len(tasks) >= page["total_entries"] or not page["task_instances"]:
                return tasks

    def knows(self, dag_id: str) -> bool:
        """Whether Airflow has read the DAG's file yet."""
        return bool(self._call("GET", f"/api/v2/dags?dag_id_pattern={dag_id}")["dags"])

    def backfill(self, dag_id: str, first: dt.date, last: dt.date, max_active_runs: int, reprocess: str) -> dict[str, Any]:
        return self._call(
            "POST",
            "/api/v2/backfills",
            {
                "dag_id": dag_id,
                "from_date": f"{first.isoformat()}T00:00:00Z",
                "to_date": f"{last.isoformat()}T00:00:00Z",
                "max_active_runs": max_active_runs,
                "reprocess_behavior": reprocess,
                "run_on_latest_version": True,
            },
        )

    def backfill_runs(self, dag_id: str, first: dt.datetime, last: dt.datetime) -> list[dict[str, Any]]:
        """All runs whose logical date lies between two moments, both included."""
        query = {
            "logical_date_gte": first.isoformat(),
            "logical_date_lte": last.isoformat(),
            "order_by": "logical_date",
            "limit": "100",
        }
        runs: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?{urllib.parse.urlencode({**query, 'offset': str(len(runs))})}")
            runs += page["dag_runs"]
            if len(runs) >= page["total_entries"] or not page["dag_runs"]:
                return runs

    def get(self, path: str) -> bytes:
        """Whatever lies at a path, as somebody who is logged in is given it."""
        return self._ask("GET", path)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return json.loads(self._ask(method, path, body) or b"{}")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        headers = {"Content-Type": "application/json"}
        if path != "/auth/token":
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            raise RunError(f"Airflow refuses {method} {path}: {_detail(error)}") from None
        except (urllib.error.URLError, TimeoutError) as error:
            raise RunError(f"Airflow does not answer at {self.address} ({error}). `make up` starts it.") from None


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = text or error.reason
    return " ".join(str(detail).split())
