"""The check: a ticker that breaks the rules is quarantined; too many of them fail the run."""

import dataclasses
import datetime as dt
import errno

import pandas as pd
import pytest

from pipeline.daily import STEPS, passed, plan
from pipeline.errors import MachineExhausted, NothingStored, QualityGateFailed
from pipeline.tables import CHECKS, FINDINGS, FORECASTS
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import NOW, TRAINED, UNIVERSE, run_made_day
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

#: The session before `LAST`, which is the first of its month, and so the one that trains.
BEFORE = dt.date(2013, 2, 28)


def without_last_bar(source, *tickers):
    for ticker in tickers:
        bars = source.bars[ticker]
        source.bars[ticker] = bars[bars["date"] != pd.Timestamp(LAST)]


def test_quarantined_tickers_are_named_with_their_reasons_and_the_others_go_on(parts):
    parts.gate.broken = {"BBB": "jump: 99% overnight"}
    run = quick_day(parts, universe=UNIVERSE, last="check")
    assert passed(parts, run) == ["AAA", "CCC"]
    assert ("check", "BBB", "quarantined: jump: 99% overnight") in parts.messages
    assert ("check", "AAA", "passed") in parts.messages


@pytest.mark.parametrize(
    ("limit", "broken", "fails"),
    [(0.5, 2, True), (0.5, 1, False), (0.0, 1, True), (0.0, 0, False), (1.0, 3, False)],
)
def test_more_quarantined_tickers_than_allowed_fail_the_run(parts, limit, broken, fails):
    parts.settings = parts.settings.replaced(max_quarantined=limit)
    parts.gate.broken = dict.fromkeys(UNIVERSE.tickers[:broken], "a jump")
    run = plan(parts, UNIVERSE, LAST, NOW)
    take_steps(parts, run, last="ingest")
    if not fails:
        assert len(STEPS["check"](parts, run)) == 3 - broken
        return
    share = rf"{broken} of 3 tickers quarantined \({broken / 3:.0%}\), the limit is {limit:.0%}"
    with pytest.raises(QualityGateFailed, match=rf"{share} \(--max-quarantined\)\. AAA: a jump"):
        STEPS["check"](parts, run)


def test_the_same_evidence_is_judged_once_and_new_prices_again(parts, source):
    run = quick_day(parts, universe=UNIVERSE, last="check")
    take_steps(parts, run, "check", "check")
    assert parts.gate.judged["prices"] == 1
    source.bars["AAA"].loc[source.bars["AAA"].index[-1], "close"] *= 1.001
    quick_day(parts, universe=UNIVERSE, last="check", now=NOW + dt.timedelta(days=1))
    assert parts.gate.judged["prices"] == 2


@pytest.mark.parametrize(
    ("session", "data_docs", "documented"),
    [(LAST, "training", 1), (BEFORE, "training", 0), (BEFORE, "always", 1)],
)
def test_great_expectations_judges_the_sessions_that_train_or_all(
    parts, session, data_docs, documented
):
    parts.settings = parts.settings.replaced(data_docs=data_docs)
    run = quick_day(parts, session, UNIVERSE, last="check")
    assert (run.session == run.training_cutoff) == (session == LAST)
    assert parts.gate.judged["documented"] == documented


def test_the_gate_judges_what_networks_learn_from_and_the_sessions_before(parts, monkeypatch):
    judged = []
    check_prices = parts.gate.check_prices

    def spied(bars, actions, tickers, sessions, *rest, **options):
        judged.append((bars["session"].min().date(), sessions[0]))
        return check_prices(bars, actions, tickers, sessions, *rest, **options)

    monkeypatch.setattr(parts.gate, "check_prices", spied)
    universe = dataclasses.replace(TRAINED, tickers=("OLD",), history_sessions=300)
    run = quick_day(parts, universe=universe, last="check")
    sessions = parts.calendar(universe).sessions(universe.start, run.previous_pool_cutoff)
    assert judged == [(sessions[-300 - 64], sessions[-300 - 64])]


def test_what_could_not_be_judged_is_judged_again(parts, monkeypatch):
    """As where the program had a defect, which a newer version has not."""
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="ingest")

    def judge(bars, actions, tickers, *_, **__):
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch, pytest.raises(QualityGateFailed, match="a defect"):
        patch.setattr(parts.gate, "check_prices", judge)
        take_steps(parts, run, "check", "check")
    take_steps(parts, run, "check", "check")
    assert set(parts.rows(CHECKS, run)["verdict"]) == {"passed"}


def test_a_full_disk_quarantines_nobody(parts, monkeypatch):
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="ingest")

    def judge(bars, actions, tickers, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(MachineExhausted, match="No space left"):
        patch.setattr(parts.gate, "check_prices", judge)
        take_steps(parts, run, "check", "check")
    assert parts.rows(CHECKS, run).empty


def test_what_arrives_after_the_check_changes_nothing_until_it_is_repeated(parts, source):
    run = quick_day(parts, universe=UNIVERSE, last="check")
    source.bars["AAA"].loc[source.bars["AAA"].index[-3:], ["open", "high", "low", "close"]] *= 1.01
    take_steps(parts, run, "ingest", "ingest")  # of a run of another session, say
    take_steps(parts, run, "pretrain", "publish")
    judged = last_values(parts, run)
    take_steps(parts, run, "check", "publish")
    assert last_values(parts, run) == pytest.approx(judged | {"AAA": 1.01 * judged["AAA"]})


def last_values(parts, run):
    forecasts = parts.rows(FORECASTS, run)
    return dict(zip(forecasts["ticker"], forecasts["last_value"], strict=True))


def test_without_prices_the_step_to_run_is_named(parts):
    run = plan(parts, UNIVERSE, LAST, NOW)
    with pytest.raises(
        NothingStored, match=r"no prices to check, of this session or before\. Run `ingest`"
    ):
        STEPS["check"](parts, run)
    assert parts.store.load(FINDINGS).empty


def test_passed_tickers_are_in_the_order_of_the_universe(parts):
    universe = dataclasses.replace(UNIVERSE, tickers=("CCC", "AAA", "BBB"))
    run = quick_day(parts, universe=universe, last="check")
    assert passed(parts, run) == ["CCC", "AAA", "BBB"]
    unchecked = dataclasses.replace(run, universe=dataclasses.replace(universe, name="other"))
    with pytest.raises(NothingStored, match="no ticker has been checked"):
        passed(parts, unchecked)


@pytest.mark.slow
def test_a_ticker_without_its_last_bar_is_quarantined_and_the_others_are_published(
    make_parts, source
):
    without_last_bar(source, "BBB")
    parts = make_parts()
    run = run_made_day(parts)
    checks = parts.rows(CHECKS, run).set_index("ticker")
    assert checks["verdict"].to_dict() == {"AAA": "passed", "BBB": "quarantined", "CCC": "passed"}
    assert "2013-03-01" in checks.loc["BBB", "reasons"]
    assert set(parts.rows(FORECASTS, run)["ticker"]) == {"AAA", "CCC"}


@pytest.mark.slow
def test_too_many_tickers_without_their_last_bar_publish_nothing(make_parts, source):
    without_last_bar(source, "AAA", "BBB")
    parts = make_parts()
    with pytest.raises(QualityGateFailed, match=r"2 of 3 tickers quarantined.*AAA.*BBB"):
        run_made_day(parts)
    assert parts.store.load(FORECASTS).empty
