"""A client of Airflow's REST API, for the services of this deployment on loopback."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from pipeline.errors import RunError
from pipeline.scheduling.dag_requests import request_of
from pipeline.scheduling.environment import ADMIN_USER, admin_password, airflow_url
from pipeline.settings import Settings

if TYPE_CHECKING:
    import httpx

#: States of a DAG run that has ended.
ENDED = ("success", "failed")
#: Rows of a page of the API's lists.
PAGE_ROWS = 100
ANSWER_SECONDS = 60


class AirflowClient:
    """Airflow's REST API, as far as this project calls it, with the admin's login.

    Raises:
        RunError: from every method: Airflow does not answer, or refuses the request.
    """

    def __init__(self, settings: Settings) -> None:
        import httpx

        self.address = airflow_url(settings)
        # Never through a proxy, and no connection is kept open between two requests.
        self._http = httpx.Client(
            base_url=self.address,
            follow_redirects=True,
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )
        login = {"username": ADMIN_USER, "password": admin_password(settings.home)}
        self._headers: dict[str, str] = {}
        token = self._call("POST", "/auth/token", login)["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"

    def is_paused(self, dag_id: str) -> bool:
        """Return whether the scheduler leaves a DAG alone."""
        return bool(self._call("GET", f"/api/v2/dags/{dag_id}")["is_paused"])

    def run_again_or_first(
        self,
        dag_id: str,
        logical_date: dt.datetime,
        conf: Mapping[str, Any],
        declared: Mapping[str, Any],
    ) -> str:
        """Trigger a run, or clear all tasks of the one that was asked for the same; return its id.

        A DAG has one run for a logical date, and its form cannot be changed. Where that one was
        asked for something else, the run has no logical date, and an id that tells what it was
        asked for.

        Args:
            conf: the fields of the form that are filled in; the session among them.
            declared: what an empty field means, by field.
        """
        moment = logical_date.isoformat()
        # The moment is also when it may run, or the grid would sort it by today.
        run = {"logical_date": moment, "run_after": moment, "conf": dict(conf)}
        at_moment = self._found_runs(dag_id, logical_date_gte=moment, logical_date_lte=moment)
        if not at_moment:
            return str(self._call("POST", _runs(dag_id), run)["dag_run_id"])
        if request_of(at_moment[0]["conf"], declared) == request_of(conf, declared):
            return self._clear(dag_id, at_moment[0])
        run_id = f"asked__{moment}__{_digest(conf)}"
        for earlier in self._found_runs(dag_id, run_id_pattern=run_id):
            if earlier["dag_run_id"] == run_id:  # in a pattern, some characters stand for any
                return self._clear(dag_id, earlier)
        another = {**run, "logical_date": None, "dag_run_id": run_id}
        return str(self._call("POST", _runs(dag_id), another)["dag_run_id"])

    def _found_runs(self, dag_id: str, **query: str) -> list[dict[str, Any]]:
        """Return the runs that a query finds, which are few."""
        found: list[dict[str, Any]] = self._call("GET", f"{_runs(dag_id)}?{urlencode(query)}")[
            "dag_runs"
        ]
        return found

    def _clear(self, dag_id: str, run: Mapping[str, Any]) -> str:
        """Clear all tasks of a run, unless it is under way; return its id."""
        run_id = str(run["dag_run_id"])
        if run["state"] in ENDED:
            choices = {"dry_run": False, "run_on_latest_version": True}
            self._call("POST", f"{_run(dag_id, run_id)}/clear", choices)
        return run_id

    def state_of(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self._call("GET", _run(dag_id, run_id))["state"])

    def backfill(
        self,
        dag_id: str,
        first: dt.date,
        last: dt.date,
        max_active_runs: int,
        reprocess: str,
        conf: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Create a backfill of the sessions from `first` to `last`; return it as Airflow has it.

        Args:
            conf: the form of its runs, of those too that are run again.
        """
        request = {
            "dag_id": dag_id,
            "from_date": f"{first.isoformat()}T00:00:00Z",
            "to_date": f"{last.isoformat()}T00:00:00Z",
            "max_active_runs": max_active_runs,
            "dag_run_conf": dict(conf),
            "reprocess_behavior": reprocess,
            "run_on_latest_version": True,
        }
        return self._call("POST", "/api/v2/backfills", request)

    def runs_between(
        self, dag_id: str, first: dt.datetime, last: dt.datetime
    ) -> list[dict[str, Any]]:
        """Return all runs with a logical date between two moments, both included."""
        query = {
            "logical_date_gte": first.isoformat(),
            "logical_date_lte": last.isoformat(),
            "order_by": "logical_date",
        }
        return self._all_rows(_runs(dag_id), "dag_runs", query)

    def get(self, path: str) -> bytes:
        """Return what Airflow answers at a path to somebody who is logged in."""
        return self._ask("GET", path).content

    def _all_rows(self, path: str, name: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return all rows of a list that the API gives in pages."""
        rows: list[dict[str, Any]] = []
        while True:
            place = {"limit": str(PAGE_ROWS), "offset": str(len(rows))}
            page = self._call("GET", f"{path}?{urlencode({**query, **place})}")
            rows += page[name]
            if len(rows) >= page["total_entries"] or not page[name]:
                return rows

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._ask(method, path, body).content or b"{}")
        return answer

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        import httpx

        try:
            response = self._http.request(method, path, json=body, headers=self._headers)
        except httpx.TransportError as error:
            raise RunError(
                f"Airflow does not answer at {self.address} ({error}). `stockcast up` starts it."
            ) from None
        if response.is_error:
            raise RunError(f"Airflow refuses {method} {path}: {_detail(response)}")
        return response


def _digest(conf: Mapping[str, Any]) -> str:
    text = json.dumps(dict(conf), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _runs(dag_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns"


def _run(dag_id: str, run_id: str) -> str:
    return f"{_runs(dag_id)}/{quote(run_id)}"


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text or response.reason_phrase
    return " ".join(str(detail).split())
