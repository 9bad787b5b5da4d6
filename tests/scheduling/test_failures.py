"""The line of a failure, and which of many failures a person is shown."""

from __future__ import annotations

from types import SimpleNamespace

from pipeline.errors import RateLimited
from pipeline.scheduling.failures import distinct_failures, failure_line, named_failures

DOWN = "Yahoo gave no answer for {0} (Could not resolve host). Try again later."
NOTHING = (
    "FAILED publish: NothingStored: made 2013-03-01: nothing has been promoted. Run `promote` for "
    "this session first."
)


def test_a_failure_names_the_step_its_tickers_and_the_reason_in_one_line():
    task = SimpleNamespace(op_kwargs={"tickers": ["IBM", "AAPL"]})
    context = {
        "task_instance": SimpleNamespace(task_id="ingest", task=task),
        "exception": RateLimited("Yahoo asks\n to slow down"),
    }
    assert failure_line(context) == "FAILED ingest of IBM, AAPL: Yahoo asks to slow down"
    task = SimpleNamespace(op_kwargs={})
    context = {"task_instance": SimpleNamespace(task_id="score", task=task), "exception": None}
    assert failure_line(context) == "FAILED score: the process was killed"


def test_what_all_tickers_met_is_shown_once_and_what_follows_from_it_not_at_all():
    failures = [
        f"FAILED ingest of {ticker}: {DOWN.format(ticker)}" for ticker in ("A", "BRK-B", "KO")
    ]
    assert distinct_failures([*failures, "FAILED check: QualityGateFailed: 3 of 3", NOTHING]) == [
        f"FAILED ingest of A: {DOWN.format('A')} (The same for 2 more.)",
        "FAILED check: QualityGateFailed: 3 of 3",
    ]


def test_what_differs_is_shown_each_time():
    failures = [
        "FAILED ingest of A: A: no answer",
        "FAILED ingest of B: B: unknown",
        "FAILED train of A: A: no answer",
    ]
    assert distinct_failures(failures) == failures


def test_what_failed_alone_is_shown_whatever_it_is():
    assert distinct_failures([NOTHING]) == [NOTHING]
    assert distinct_failures([]) == []


def test_many_failed_tasks_are_named_in_a_few_words():
    assert named_failures(["check"]) == "check"
    failed = ["ingest", "ingest", "check", "train", "train", "train", "promote", "publish"]
    assert named_failures(failed) == "ingest (2 tasks), check, train (3 tasks) and 2 more"
    assert named_failures([]) == ""
