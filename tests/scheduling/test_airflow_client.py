"""The client of Airflow's REST API, with a server that answers as Airflow does."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.errors import RunError
from pipeline.scheduling.airflow_client import AirflowClient
from pipeline.scheduling.environment import admin_password, load_secrets
from pipeline.settings import Settings
from tests.servers import free_port, json_server

MOMENT = dt.datetime(2013, 2, 28, 21, 30, tzinfo=dt.UTC)
RUNS = "/api/v2/dags/d/dagRuns"
DECLARED = {"tickers": ["IBM"], "recipe": "default", "target": "close", "horizon": 5}


@dataclass
class FakeAirflow:
    """A server's answers by method and path, and the requests that it has had."""

    port: int = 0
    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    requests: list[tuple[str, object]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        request = f"{method} {urlsplit(path).path}"
        self.requests.append((f"{method} {path}", json.loads(body or b"null")))
        if request == "POST /auth/token":
            return 201, {"access_token": "token"}
        if request == f"GET {RUNS}" and "offset" in path:
            return 200, self._page(int(parse_qs(urlsplit(path).query)["offset"][0]))
        return self.answers.get(request, (404, {"detail": "There is no\n such thing"}))

    @staticmethod
    def _page(offset: int) -> dict[str, object]:
        runs = [{"dag_run_id": number} for number in range(250)]
        return {"dag_runs": runs[offset : offset + 100], "total_entries": len(runs)}


@pytest.fixture
def airflow(monkeypatch) -> Iterator[FakeAirflow]:
    """A server that is reached although a proxy is named that nobody can use."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fake = FakeAirflow()
    with json_server(fake.answer) as fake.port:
        yield fake


@pytest.fixture
def client(airflow, tmp_path) -> AirflowClient:
    load_secrets(tmp_path)
    return AirflowClient(Settings(home=tmp_path, airflow_port=airflow.port))


def test_it_logs_in_as_the_admin(airflow, client, tmp_path):
    login = {"username": "admin", "password": admin_password(tmp_path)}
    assert airflow.requests == [("POST /auth/token", login)]


def test_a_first_run_is_triggered_at_its_moment_and_another_is_cleared(airflow, client):
    existing: list[dict[str, str]] = []
    airflow.answers[f"GET {RUNS}"] = (200, {"dag_runs": existing})
    airflow.answers[f"POST {RUNS}"] = (200, {"dag_run_id": "manual__1+1"})
    airflow.answers[f"POST {RUNS}/manual__1%2B1/clear"] = (200, {})
    assert client.run_again_or_first("d", MOMENT, {"horizon": 3}, DECLARED) == "manual__1+1"
    moment = MOMENT.isoformat()
    triggered = {"logical_date": moment, "run_after": moment, "conf": {"horizon": 3}}
    assert airflow.requests[-1] == (f"POST {RUNS}", triggered)

    # As the form in Airflow fills it in.
    form = {"session": None, "tickers": None, "recipe": "default", "horizon": 3}
    existing.append({"dag_run_id": "manual__1+1", "state": "failed", "conf": form})
    asked = {"session": "2013-02-28", "horizon": 3}
    assert client.run_again_or_first("d", MOMENT, asked, DECLARED) == "manual__1+1"
    cleared = {"dry_run": False, "run_on_latest_version": True}
    assert airflow.requests[-1] == (f"POST {RUNS}/manual__1%2B1/clear", cleared)

    existing[0]["state"] = "running"
    assert client.run_again_or_first("d", MOMENT, asked, DECLARED) == "manual__1+1"
    assert airflow.requests[-1][0].startswith(f"GET {RUNS}?")  # a run under way is left alone


def test_what_a_run_was_not_asked_for_is_another_run_which_is_found_again(airflow, client):
    runs = [{"dag_run_id": "scheduled__1", "state": "success", "conf": None}]
    airflow.answers[f"GET {RUNS}"] = (200, {"dag_runs": runs})
    airflow.answers[f"POST {RUNS}"] = (200, {"dag_run_id": "another"})
    asked = {"session": "2013-02-28", "recipe": "castilla"}
    assert client.run_again_or_first("d", MOMENT, asked, DECLARED) == "another"
    request, triggered = airflow.requests[-1]
    assert request == f"POST {RUNS}"
    run_id = triggered["dag_run_id"]
    assert run_id.startswith("asked__2013-02-28T21:30:00+00:00__")
    assert (triggered["logical_date"], triggered["conf"]) == (None, asked)
    assert triggered["run_after"] == MOMENT.isoformat()

    runs.append({"dag_run_id": run_id, "state": "running", "conf": asked})
    assert client.run_again_or_first("d", MOMENT, asked, DECLARED) == run_id
    airflow.answers[f"POST {RUNS}/scheduled__1/clear"] = (200, {})
    assert client.run_again_or_first("d", MOMENT, {"horizon": 5}, DECLARED) == "scheduled__1"


def test_a_list_of_many_pages_is_read_to_its_end(client):
    runs = client.runs_between("d", MOMENT, MOMENT)
    assert [run["dag_run_id"] for run in runs] == list(range(250))


def test_a_refusal_is_one_line_with_airflows_reason(client):
    with pytest.raises(RunError) as refused:
        client.is_paused("d")
    assert str(refused.value) == "Airflow refuses GET /api/v2/dags/d: There is no such thing"


def test_an_airflow_that_does_not_answer_is_one_line_with_what_to_do(tmp_path):
    load_secrets(tmp_path)
    port = free_port()
    with pytest.raises(RunError, match=rf"127.0.0.1:{port} \(.*\)\. `stockcast up` starts it\."):
        AirflowClient(Settings(home=tmp_path, airflow_port=port))
