"""Outcomes: one ticker's failure is its own, also where tickers are worked on together."""

from __future__ import annotations

import errno

import pytest

from pipeline.errors import LookAtTheData, MachineExhausted, RunError, SourceUnavailable, TryAgain
from pipeline.outcomes import outcome_of_each, outcome_together, raise_together

NAMES = [f"T{number}" for number in range(9)]


def test_an_error_that_nobody_expected_is_its_tickers_and_keeps_its_traceback(caplog):
    def work(name: str) -> float:
        return 1 / (len(name) - 3)

    outcomes = outcome_of_each(["A", "BAD", "C"], work)
    assert outcomes.results == {"A": -0.5, "C": -0.5}
    error = outcomes.failures["BAD"]
    assert type(error) is RunError
    assert str(error).startswith("BAD: unexpected ZeroDivisionError: division by zero. ")
    assert "Traceback" in error.__notes__[0]
    assert "ZeroDivisionError" in caplog.text


def test_those_that_fail_together_are_found_in_few_tries():
    tried = []

    def work(names: list[str]) -> dict[str, str]:
        tried.append(names)
        if {"T2", "T7"} & {*names}:
            raise LookAtTheData(f"{names[0]}: no good")
        return {name: name.lower() for name in names}

    outcomes = outcome_together(NAMES, work)
    assert outcomes.results == {name: name.lower() for name in NAMES if name not in ("T2", "T7")}
    assert {name: str(error) for name, error in outcomes.failures.items()} == {
        "T2": "T2: no good",
        "T7": "T7: no good",
    }
    assert len(tried) < 2 * len(NAMES)
    assert outcome_together([], work).results == {}


def test_an_outage_is_everyones_and_is_not_looked_for_ticker_by_ticker():
    tried = []

    def work(names: list[str]) -> dict[str, str]:
        tried.append(names)
        raise SourceUnavailable("The store does not answer.")

    outcomes = outcome_together(NAMES, work)
    assert tried == [NAMES]
    with pytest.raises(SourceUnavailable, match=r"^The store does not answer\.$"):
        raise_together(outcomes.failures)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device. Free some"),
        (OSError(errno.EMFILE, "Too many open files", "/a"), "Too many open files (/a). Free some"),
        (MemoryError(), "There is no memory left. Free some"),
    ],
)
def test_what_the_machine_lacks_is_everyones_and_can_be_tried_again(error, message, caplog):
    def work(_: object) -> dict[str, str]:
        raise error

    each, together = outcome_of_each(NAMES, work), outcome_together(NAMES, work)
    for failures in (each.failures, together.failures):
        assert [*failures] == NAMES
        assert {type(failure) for failure in failures.values()} == {MachineExhausted}
        assert {str(failure) for failure in failures.values()} == {f"{message}, and repeat."}
    assert caplog.text == ""


def test_a_file_that_is_not_there_is_its_tickers_alone():
    def work(name: str) -> str:
        if name == "T3":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/a")
        return name

    assert {*outcome_of_each(NAMES, work).failures} == {"T3"}


def test_failures_are_raised_as_one_that_can_be_tried_again_where_one_of_them_can():
    failures = {"A": LookAtTheData("A: bad."), "B": SourceUnavailable("B: away.")}
    with pytest.raises(TryAgain, match=r"^2 tickers failed\. A: A: bad\. B: B: away\.$"):
        raise_together(failures)
    raise_together({})
