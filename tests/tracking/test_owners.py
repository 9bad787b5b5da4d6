"""Owners: only a process of this machine that has ended counts as dead."""

import json
import subprocess
import sys

import psutil
import pytest

from pipeline.tracking import owners
from tests.servers import wait_for


def test_a_process_that_runs_is_not_dead():
    assert not owners.is_dead(owners.this_process())


def test_a_killed_process_is_dead_before_and_after_its_parent_looks():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = owners._owner(process.pid)
        process.kill()
        wait_for("the death", lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        assert owners.is_dead(owner)
        process.wait()
        assert owners.is_dead(owner)


def test_another_process_with_the_same_number_is_not_the_owner():
    owner = json.loads(owners.this_process())
    assert owners.is_dead(json.dumps({**owner, "started": owner["started"] - 60}))


@pytest.mark.parametrize("owner", ["", "airflow dag run", "[1]", '"text"'])
def test_what_is_no_process_cannot_be_judged(owner):
    assert not owners.is_dead(owner)


def test_a_process_of_another_machine_cannot_be_judged():
    owner = {**json.loads(owners.this_process()), "host": "elsewhere", "started": 0}
    assert not owners.is_dead(json.dumps(owner))
