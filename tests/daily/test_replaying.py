"""Replays that go on from the session before: the bits of one that is computed whole."""

import datetime as dt

import pytest

from pipeline.daily import STEPS, dataset_file, lineup, replaying
from pipeline.decisions import decode_replay
from tests.made_days import MadeParts, made_source, run_until

pytestmark = pytest.mark.slow


@pytest.fixture
def parts(tmp_path):
    with MadeParts(tmp_path, made_source(signalled=True)) as parts:
        yield parts


def test_a_continued_replay_has_the_bytes_of_a_whole_one(parts, monkeypatch):
    asked = []

    def answers_of(of, jobs):
        asked.extend(len(windows) for job in jobs for windows in job.windows)
        return answer(of, jobs)

    def added_windows(*arguments):
        added.append(add(*arguments))
        return added[-1]

    answer, add, added = replaying.answers_of, replaying.added_windows, []
    monkeypatch.setattr(replaying, "added_windows", added_windows)
    monkeypatch.setattr(replaying, "answers_of", answers_of)
    run_until(parts, "evaluate", dt.date(2013, 2, 27))
    asked.clear()
    run, tickers = run_until(parts, "evaluate", dt.date(2013, 2, 28))
    assert asked.count(1) == 2, "of OLD and TWO, whose networks stay"
    assert [len(each.windows) for each in added] == [1 + 5 + 1, 1 + 5 + 1], "with five ahead"
    files = {
        ticker: parts.settings.home / "artifacts" / own.replay_file
        for ticker, own in lineup.load(parts, run, ["OLD", "TWO"]).items()
    }
    continued = {ticker: file.read_bytes() for ticker, file in files.items()}
    before = lineup.of_session_before
    monkeypatch.setattr(lineup, "of_session_before", lambda *_: {})
    whole = replayed_again(parts, run, tickers, files, asked)
    assert whole == continued
    assert asked == [len(decode_replay(file).forecasts) for file in whole.values()]
    # Without the dataset before, windows are cut again; their forecasts are taken over.
    monkeypatch.setattr(lineup, "of_session_before", before)
    for own in before(parts, run, ["OLD", "TWO"]).values():
        (parts.settings.home / "artifacts" / dataset_file(own.live.dataset)).unlink()
    assert replayed_again(parts, run, tickers, files, asked) == continued
    assert asked.count(1) == 2
    assert added[2:] == [None, None]


def replayed_again(parts, run, tickers, files, asked):
    """Return the replays by ticker once they have been removed and made again."""
    for file in files.values():
        file.unlink()
    asked.clear()
    STEPS["evaluate"](parts, run, tickers)
    return {ticker: file.read_bytes() for ticker, file in files.items()}
