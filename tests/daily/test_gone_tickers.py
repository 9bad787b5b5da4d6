"""Tickers without bars any more: left out after two weeks, and back with new bars."""

import pandas as pd
import pytest

from pipeline.daily.gone_tickers import GONE_SESSIONS, without_new_bars
from pipeline.errors import QualityGateFailed, SourceUnavailable, UnknownTicker
from pipeline.tables import CHECKS, FINDINGS, FORECASTS, SCORES
from tests.daily.quick_days import QuickParts, quick_day, take_steps
from tests.made_days import UNIVERSE, made_source
from tests.made_prices import LAST, MadeSource, random_walk
from tests.quality.made_bars import GATE

pytestmark = pytest.mark.integration

SESSIONS = [moment.date() for moment in random_walk(0, 60)["date"]]
REST = ["BBB", "CCC"]


class ForgetfulSource(MadeSource):
    """A source that raises an error for some tickers."""

    def __init__(self):
        super().__init__(made_source().bars)
        self.errors = {}

    def fetch_raw(self, ticker, *asked):
        if ticker in self.errors:
            raise self.errors[ticker](f"{ticker} is not to be had.")
        return super().fetch_raw(ticker, *asked)


@pytest.fixture
def source():
    return ForgetfulSource()


@pytest.fixture
def parts(tmp_path, source):
    with QuickParts(tmp_path, source) as made:
        yield made


def end(source, sessions, ticker="AAA"):
    """Let a ticker's bars end so many sessions before the last."""
    source.bars[ticker] = source.bars[ticker].iloc[:-sessions]


def halt(source):
    """Take AAA's bars of 15 sessions, up to the sixth before the last."""
    days = source.bars["AAA"]["date"].dt.date
    source.bars["AAA"] = source.bars["AAA"][~days.isin(SESSIONS[-20:-5])]


def judged(parts, run):
    checks = parts.rows(CHECKS, run)
    return dict(zip(checks["ticker"], checks["verdict"], strict=True))


def rules(parts, run):
    return parts.rows(FINDINGS, run, ["AAA"])["rule"].tolist()


def test_after_ten_sessions_without_a_bar_a_ticker_is_left_out(parts, source):
    end(source, GONE_SESSIONS)
    run = quick_day(parts, universe=UNIVERSE, last="publish")
    assert judged(parts, run) == dict.fromkeys(REST, "passed")
    assert sorted(set(parts.rows(FORECASTS, run)["ticker"])) == REST
    [finding] = parts.rows(FINDINGS, run).to_dict("records")
    message = (
        f"no bar since {SESSIONS[-11]}, while the others have theirs: left out, and not "
        "quarantined. If it was delisted, take it out of its universe, or give it a last day "
        "(`members`); if it was renamed, name its new ticker, and this one under `aliases`. New "
        "bars bring it back"
    )
    assert ("check", "AAA", message) in parts.messages
    assert (finding["rule"], finding["severity"]) == ("gone", "record")
    assert finding["message"] == f"AAA: {message}."


def test_nine_sessions_are_the_gates_to_judge(parts, source):
    end(source, GONE_SESSIONS - 1)
    run = quick_day(parts, universe=UNIVERSE, last="check")
    assert sorted(judged(parts, run)) == ["AAA", *REST]
    assert rules(parts, run) == []


@pytest.mark.slow  # Great Expectations judges
def test_until_then_the_gate_holds_it_back(parts, source):
    parts.gate = GATE
    parts.settings = parts.settings.replaced(max_quarantined=0.5)
    end(source, 12)
    verdicts = [
        judged(parts, quick_day(parts, SESSIONS[place], UNIVERSE, "check")).get("AAA", "left out")
        for place in (-13, -12, -4, -3, -1)
    ]
    assert verdicts == ["passed", "quarantined", "quarantined", "left out", "left out"]


def test_its_last_forecasts_are_scored_as_far_as_its_bars_go(parts, source):
    end(source, 12)
    quick_day(parts, SESSIONS[-15], UNIVERSE)
    quick_day(parts, LAST, UNIVERSE)
    scores = parts.store.load(SCORES, ticker="AAA")
    assert scores["session"].dt.date.tolist() == SESSIONS[-14:-12]


def test_with_new_bars_it_is_back(parts, source):
    whole = source.bars["AAA"]
    end(source, 12)
    run = quick_day(parts, universe=UNIVERSE, last="publish")
    assert "AAA" not in judged(parts, run)
    source.bars["AAA"] = whole
    take_steps(parts, run, last="publish")
    assert judged(parts, run)["AAA"] == "passed"
    assert rules(parts, run) == []
    assert not parts.rows(FORECASTS, run, ["AAA"]).empty


def test_bars_of_later_sessions_decide_nothing(parts, source):
    halt(source)
    quick_day(parts, LAST, UNIVERSE, "check")  # it trades again, and that is stored
    run = quick_day(parts, SESSIONS[-7], UNIVERSE, "check")
    assert sorted(judged(parts, run)) == REST
    before = quick_day(parts, SESSIONS[-21], UNIVERSE, "check")
    assert sorted(judged(parts, before)) == ["AAA", *REST]


def test_a_repetition_withdraws_what_was_published_of_it(parts, source):
    run = quick_day(parts, SESSIONS[-7], UNIVERSE, "publish")
    quick_day(parts, LAST, UNIVERSE, "ingest")
    assert not parts.rows(FORECASTS, run, ["AAA"]).empty
    halt(source)
    quick_day(parts, LAST, UNIVERSE, "ingest")  # which takes bars back
    take_steps(parts, run, last="publish")
    assert parts.rows(FORECASTS, run, ["AAA"]).empty


@pytest.mark.parametrize(
    ("place", "error", "verdict"),
    [
        (-11, UnknownTicker, None),
        (-10, UnknownTicker, "quarantined"),
        (-11, SourceUnavailable, "quarantined"),
    ],
)
def test_a_ticker_that_its_source_knows_no_more_is_no_failure_for_ever(
    parts, source, place, error, verdict
):
    parts.settings = parts.settings.replaced(max_quarantined=0.5)
    quick_day(parts, SESSIONS[place], UNIVERSE, "publish")
    source.errors["AAA"] = error
    run = quick_day(parts, LAST, UNIVERSE, "publish")
    assert judged(parts, run).get("AAA") == verdict
    assert judged(parts, run)["BBB"] == "passed"


def test_an_earlier_attempts_failure_is_forgotten(parts, source):
    parts.settings = parts.settings.replaced(max_quarantined=0.5)
    quick_day(parts, SESSIONS[-12], UNIVERSE, "check")
    source.errors["AAA"] = SourceUnavailable
    run = quick_day(parts, LAST, UNIVERSE, "check")
    assert judged(parts, run)["AAA"] == "quarantined"
    source.errors["AAA"] = UnknownTicker
    take_steps(parts, run, last="check")
    assert sorted(judged(parts, run)) == REST


def test_one_that_is_left_out_counts_for_no_share_of_the_quarantined(parts, source):
    end(source, 12)
    parts.gate.broken = {"BBB": "broken"}
    parts.settings = parts.settings.replaced(max_quarantined=0.4)
    with pytest.raises(QualityGateFailed, match=r"1 of 2 tickers quarantined \(50%\)"):
        quick_day(parts, universe=UNIVERSE, last="check")


def recent_bars(ends):
    """Return the bars of twenty sessions, of tickers that end so many before the last."""
    rows = [
        {"ticker": ticker, "session": pd.Timestamp(session)}
        for ticker, missing in ends.items()
        for session in SESSIONS[-20 : len(SESSIONS) - missing]
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("ends", "gone"),
    [
        ({"AAA": 10, "BBB": 0}, ["AAA"]),
        ({"AAA": 9, "BBB": 0}, []),
        ({"AAA": 20, "BBB": 0}, ["AAA"]),
        ({"AAA": 10}, []),
        ({"AAA": 10, "BBB": 10}, []),  # the source is behind
        ({"AAA": 10, "BBB": 10, "CCC": 10, "DDD": 0}, []),  # for most of them
        ({"AAA": 12, "BBB": 2, "CCC": 2}, ["AAA"]),  # and the source is two sessions behind
        ({"AAA": 11, "BBB": 2, "CCC": 2}, []),
    ],
)
def test_sessions_count_that_most_others_have_bars_on(ends, gone):
    assert without_new_bars(recent_bars(ends), list(ends)) == gone
