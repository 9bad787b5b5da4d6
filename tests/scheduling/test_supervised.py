"""A supervised service starts again after growing pauses, and is told of once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline.scheduling.processes import marked_processes
from pipeline.scheduling.service_state import services_states
from pipeline.scheduling.services import Service
from pipeline.scheduling.supervised import (
    SECONDS_TO_TRUST,
    Notice,
    ProcessProgram,
    Supervised,
    pause_after,
)
from tests.servers import wait_for

ENDS_AT_ONCE = "import sys; print('no room left'); sys.exit(3)"
STAYS = "import time; time.sleep(600)"
#: Leaves a child behind that stays, too.
HAS_A_CHILD = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"
)


class Watched:
    """A service that is looked at as the clock of the test says."""

    def __init__(self, home, script: str) -> None:
        (home / "logs").mkdir()
        self.home = home
        self.notices: list[Notice] = []
        program = ProcessProgram(Service("web", (sys.executable, "-c", script)), home, {})
        self.service = Supervised(program, self.notices.append)
        self.now = 1000.0

    def end(self) -> None:
        """Look until an end of it has been seen."""
        wait_for("its end", self.service.program.end_reason)
        self.service.look(self.now)

    def told(self) -> list[str]:
        return [notice.state for notice in self.notices]


@pytest.fixture
def watch(tmp_path) -> Iterator:
    made: list[Watched] = []

    def start(script: str) -> Watched:
        made.append(Watched(tmp_path, script))
        made[0].service.look(made[0].now)
        return made[0]

    yield start
    for watched in made:
        watched.service.program.stop()


def test_pauses_double_up_to_a_minute():
    assert [pause_after(ends) for ends in (1, 2, 3, 4, 5, 6, 7, 8, 1000)] == [
        *(1, 2, 4, 8, 16, 32, 60, 60, 60)
    ]


def test_a_service_that_ends_at_once_is_told_of_twice_and_says_what_is_wrong(watch):
    watched = watch(ENDS_AT_ONCE)
    for ends in range(1, 6):
        watched.end()
        state = watched.service.state()
        assert (state.ends, state.pid) == (ends, 0)
        assert state.next_start
        watched.now += pause_after(ends) - 0.5
        watched.service.look(watched.now)
        assert not watched.service.runs, "the pause is not over"
        watched.now += 1
        watched.service.look(watched.now)
        assert watched.service.runs
    assert watched.told() == ["ended", "failing"]
    assert "exit code 3" in watched.notices[1].text
    assert str(watched.home / "logs" / "web.log") in watched.notices[1].text
    # A service's log may hold what is nobody else's business.
    assert "no room left" not in watched.notices[1].text
    assert watched.notices[1].detail.endswith("no room left")
    assert "ended 5 times by itself" in watched.service.state().trouble
    assert watched.service.state().trouble.endswith("web.log ends: no room left")


def test_a_service_that_has_stayed_healthy_is_told_of_anew(watch):
    watched = watch(STAYS)
    for _ in range(2):
        os.kill(watched.service.state().pid, signal.SIGKILL)
        watched.end()
        watched.now += 2
        watched.service.look(watched.now)
        watched.service.trust(watched.now + SECONDS_TO_TRUST - 1)
        assert watched.service.state().ends == 1, "not for long enough"
        watched.now += SECONDS_TO_TRUST + 1
        watched.service.trust(watched.now)
        assert watched.service.state().ends == 0
        assert watched.service.state().trouble == ""
    assert watched.told() == ["ended", "healthy", "ended", "healthy"]
    assert "killed by SIGKILL" in watched.notices[0].text
    assert watched.service.state().restarts == 2


def test_a_service_that_is_started_again_on_purpose_says_why_and_has_not_ended_by_itself(watch):
    watched = watch(STAYS)
    earlier = watched.service.state().pid
    watched.service.restart(watched.now, "the API server is silent")
    state = watched.service.state()
    assert state.pid not in (0, earlier)
    assert (state.ends, state.restarts, state.trouble) == (0, 1, "")
    assert state.last_end.endswith(" UTC: the API server is silent")
    assert watched.notices[0].text == "web is started again: the API server is silent."


def test_what_a_killed_service_leaves_behind_ends_before_the_next_start(watch):
    watched = watch(HAS_A_CHILD)
    left = wait_for("its child", lambda: _two(marked_processes(watched.home, "web")))
    os.kill(watched.service.state().pid, signal.SIGKILL)
    watched.end()
    watched.now += 2
    watched.service.look(watched.now)
    time.sleep(0.05)
    assert [process.pid for process in left if process.is_running()] == []
    assert watched.service.runs


def _two(processes: list) -> list:
    return processes if len(processes) == 2 else []


def test_a_program_that_is_not_there_is_an_end_with_its_reason(tmp_path):
    (tmp_path / "logs").mkdir()
    notices: list[Notice] = []
    program = ProcessProgram(Service("web", (str(tmp_path / "nothing"),)), tmp_path, {})
    service = Supervised(program, notices.append)
    service.look(0)
    assert not service.runs
    assert "No such file or directory" in notices[0].text


def test_before_the_first_start_no_service_has_a_state(tmp_path):
    assert services_states(tmp_path) == {}
