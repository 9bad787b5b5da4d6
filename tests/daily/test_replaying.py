"""Replays that go on from the session before: the bits of one that is computed whole."""

import datetime as dt

import pytest

from pipeline.daily import STEPS, lineup, replaying
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

    answer = replaying.answers_of
    monkeypatch.setattr(replaying, "answers_of", answers_of)
    run_until(parts, "evaluate", dt.date(2013, 2, 27))
    asked.clear()
    run, tickers = run_until(parts, "evaluate", dt.date(2013, 2, 28))
    assert asked.count(1) == 2, "of OLD and TWO, whose networks stay"
    files = {
        ticker: parts.settings.home / "artifacts" / own.replay_file
        for ticker, own in lineup.load(parts, run, ["OLD", "TWO"]).items()
    }
    continued = {ticker: file.read_bytes() for ticker, file in files.items()}
    for file in files.values():
        file.unlink()
    asked.clear()
    monkeypatch.setattr(lineup, "of_session_before", lambda *_: {})
    STEPS["evaluate"](parts, run, tickers)
    whole = {ticker: file.read_bytes() for ticker, file in files.items()}
    assert whole == continued
    assert asked == [len(decode_replay(file).forecasts) for file in whole.values()]
