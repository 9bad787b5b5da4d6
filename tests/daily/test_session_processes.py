"""Processes that share sessions: their shares, and what is said of one that is gone."""

import signal

import pytest

from pipeline.daily import SessionProcess, plan, shares_of
from pipeline.errors import RunError
from pipeline.settings import Settings
from tests.made_days import NOW, UNIVERSE
from tests.made_prices import LAST


@pytest.mark.parametrize(
    ("count", "shares"),
    [(1, [[1, 2, 3, 4, 5]]), (2, [[1, 2, 3], [4, 5]]), (4, [[1, 2], [3, 4], [5], []])],
)
def test_each_has_sessions_in_a_row_and_the_first_the_most(count, shares):
    assert shares_of([1, 2, 3, 4, 5], count) == shares


def test_a_process_without_sessions_ends_with_the_one_that_made_it(tmp_path):
    with SessionProcess(Settings(home=tmp_path)) as other:
        pass
    assert other._process.exitcode == 0
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_killed_is_an_error_that_names_the_session(tmp_path, parts):
    run = plan(parts, UNIVERSE, LAST, NOW)
    with SessionProcess(Settings(home=tmp_path)) as other:
        other._process.kill()
        other._process.join()
        with pytest.raises(RunError) as caught:
            other.begin([run])
            list(other.news(wait=True))
    assert -other._process.exitcode == signal.SIGKILL
    assert str(caught.value) == (
        "2013-03-01: the process that did it has ended with exit code -9; its last lines say why. "
        "Repeat the command, with fewer --processes if memory is short."
    )
