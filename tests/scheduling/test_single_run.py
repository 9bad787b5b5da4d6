"""What `make run` tells of failures; that it runs is tried in `test_services.py`."""

from pipeline.scheduling.single_run import told_once

DOWN = "Yahoo gave no answer for {0} (Could not resolve host). Try again later."
NOTHING = "FAILED publish: NothingStored: made 2013-03-01: nothing has been promoted. Run `promote` for this session first."


def test_what_all_tickers_met_is_said_once_and_what_follows_from_it_not_at_all():
    failures = [f"FAILED ingest of {ticker}: {DOWN.format(ticker)}" for ticker in ("A", "BRK-B", "KO")]
    assert told_once([*failures, "FAILED check: QualityGateFailed: 3 of 3", NOTHING]) == [
        f"FAILED ingest of A: {DOWN.format('A')} (The same for 2 more.)",
        "FAILED check: QualityGateFailed: 3 of 3",
    ]


def test_what_differs_is_said_each_time():
    failures = ["FAILED ingest of A: A: no answer", "FAILED ingest of B: B: unknown", "FAILED train of A: A: no answer"]
    assert told_once(failures) == failures


def test_what_failed_alone_is_said_whatever_it_is():
    assert told_once([NOTHING]) == [NOTHING]
    assert told_once([]) == []
