"""The versions of Airflow's API that a run in one process makes routes for."""

import subprocess
import sys

import pytest
from cadwyn import Version, VersionChange, endpoint

from pipeline.scheduling.newest_task_api import _newest_of
from tests.airflow_homes import clean_environment


class Restores(VersionChange):
    description = "The version before had a route that is there no more."
    instructions_to_migrate_to_previous_version = (endpoint("/gone", ["GET"]).existed,)


class Renames(VersionChange):
    description = "Nothing that a newer version takes from an older one."
    instructions_to_migrate_to_previous_version = ()


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([(), (), ()], ["2026-03"]),
        ([(Renames,), (), ()], ["2026-03"]),
        ([(Renames, Restores), (), ()], ["2026-03", "2026-02"]),
        ([(), (Restores,), (Renames,), ()], ["2026-03", "2026-02", "2026-01"]),
    ],
)
def test_the_newest_are_left_with_those_whose_routes_they_need(changes, left):
    values = ["2026-03-01", "2026-02-01", "2026-01-01", "2025-12-01"]
    versions = [Version(value, *own) for value, own in zip(values, changes, strict=False)]
    kept = _newest_of(versions)
    assert [version.value[:7] for version in kept] == left
    assert [version.changes for version in kept[:-1]] == [v.changes for v in versions][
        : len(kept) - 1
    ]
    assert not kept[-1].changes


#: What a process asks its own API, of whose versions the older ones are left out.
ASKED = """
import httpx
from pipeline.scheduling.newest_task_api import leave_out_old_versions
leave_out_old_versions()
from airflow.api_fastapi.execution_api.versions import bundle
from airflow.sdk.execution_time.supervisor import in_process_api_server

newest = bundle.versions[0].value
client = httpx.Client(transport=in_process_api_server().transport, base_url="http://airflow")
answer = client.get("/health", headers={"Airflow-API-Version": newest})
older = client.get("/health", headers={"Airflow-API-Version": "2025-04-11"})
from airflow.sdk.api.datamodels._generated import API_VERSION
print(newest == API_VERSION, len(bundle.versions) < 9, answer.status_code, older.status_code)
"""


@pytest.mark.slow
def test_airflow_answers_its_own_tasks_version(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASKED],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-4:] == ["True", "True", "200", "404"], done.stdout
