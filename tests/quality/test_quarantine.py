"""Failing cells weighed by their age, and the verdict that they amount to."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from pipeline.quality.quarantine import (
    FEWEST_TICKERS_OF_DAY,
    FINDING_COLUMNS,
    MOST_FINDINGS,
    on_one_day,
    verdict_of,
    weigh,
)
from pipeline.quality.rules import FAILURE_COLUMNS, Rule
from pipeline.tables import FINDINGS
from tests.quality.made_bars import CUTOFF, SESSIONS, clean, copied, findings_of, judge, times

UNUSABLE_COLUMNS = ["ticker", "session", "column", "rule"]


def failures_of(rule: Rule, *cells: tuple[str, dt.date]) -> pd.DataFrame:
    """Return failures of a rule: a ticker and a session each."""
    rows = [
        (ticker, pd.Timestamp(session), rule.column, rule.name, f"{session}: wrong", rule)
        for ticker, session in cells
    ]
    return pd.DataFrame(rows, columns=FAILURE_COLUMNS)


def severities(failures: pd.DataFrame, *unusable: tuple[str, dt.date, str, str]) -> list[str]:
    cells = [(ticker, pd.Timestamp(day), *names) for ticker, day, *names in unusable]
    weighed = weigh(failures, pd.DataFrame(cells, columns=UNUSABLE_COLUMNS), SESSIONS, "close")
    return list(weighed["severity"])


def test_only_the_recent_sessions_of_a_rule_quarantine():
    rule = Rule("value_missing", "", "", "open", otherwise="mask", recent_sessions=5)
    failures = failures_of(rule, ("A", SESSIONS[-1]), ("A", SESSIONS[-5]), ("A", SESSIONS[-6]))
    assert severities(failures) == ["quarantine", "quarantine", "mask"]


def test_a_rule_without_a_window_quarantines_at_any_age():
    rule = Rule("dividend_too_large", "", "", "close", recent_sessions=None)
    assert severities(failures_of(rule, ("A", SESSIONS[0]))) == ["quarantine"]


def test_a_rule_that_only_records_never_quarantines():
    rule = Rule("volume_zero", "", "", "volume", severity="record")
    assert severities(failures_of(rule, ("A", SESSIONS[-1]))) == ["record"]


def test_too_few_recent_failures_do_not_quarantine_and_each_ticker_counts_alone():
    rule = Rule("same_prices", "", "", "close", recent_sessions=5, recent_failures=3)
    cells = [("A", SESSIONS[-1]), ("A", SESSIONS[-2]), ("A", SESSIONS[-3]), ("A", SESSIONS[-9])]
    failures = failures_of(rule, *cells, ("B", SESSIONS[-1]), ("B", SESSIONS[-2]))
    assert severities(failures) == ["quarantine"] * 3 + ["record"] * 3


def test_several_columns_of_one_session_count_as_one_failure():
    rules = [
        Rule("outside_range", "", "", column, recent_sessions=5, recent_failures=2)
        for column in ("open", "close")
    ]
    failures = pd.concat(
        [failures_of(rule, ("A", SESSIONS[-1])) for rule in rules], ignore_index=True
    )
    cells = [("A", SESSIONS[-1], column, "outside_range") for column in ("open", "close")]
    assert severities(failures, *cells) == ["record", "record"]


def test_a_masking_rule_is_held_only_against_cells_that_masking_blanks():
    rule = Rule("outside_range", "", "", "open", otherwise="mask", recent_sessions=5)
    failures = failures_of(rule, ("A", SESSIONS[-1]), ("A", SESSIONS[-2]))
    blanked = ("A", SESSIONS[-1], "open", "outside_range")
    assert severities(failures, blanked) == ["quarantine", "record"]


def test_what_is_accepted_holds_nobody_back_and_is_masked_all_the_same():
    rule = Rule(
        "wrong_print", "", "", "close", "quarantine", "mask", 5, accepted=(f"A {SESSIONS[-1]}",)
    )
    failures = failures_of(rule, ("A", SESSIONS[-1]), ("B", SESSIONS[-1]))
    blanked = [(ticker, SESSIONS[-1], "close", "wrong_print") for ticker in ("A", "B")]
    assert severities(failures, *blanked) == ["mask", "quarantine"]


def test_a_rule_of_some_targets_names_those_that_the_ticker_is_good_for():
    rule = Rule("wrong_range", "", "", "low", "quarantine", "mask", 5, targets=("low", "mid"))
    failures = failures_of(rule, ("A", SESSIONS[-1]), ("A", SESSIONS[-9]))
    messages = list(weigh(failures, _no_cells(), SESSIONS, "close")["message"])
    good = "; not good for low and mid, but for close, open, high, adj_close"
    assert messages == [f"{SESSIONS[-1]}: wrong{good}", f"{SESSIONS[-9]}: wrong"]


def test_no_failures_are_no_findings():
    verdict = verdict_of(
        weigh(failures_of(Rule("", "", "", "")), _no_cells(), SESSIONS, "close"), CUTOFF
    )
    assert verdict.findings.empty and verdict.quarantined == {}
    assert verdict.broken == {}


def _no_cells() -> pd.DataFrame:
    return pd.DataFrame(columns=UNUSABLE_COLUMNS)


def test_the_newest_findings_are_kept_and_the_rest_is_summed_up():
    rule = Rule("volume_zero", "", "", "volume", severity="record")
    failures = failures_of(rule, *(("FLAT", session) for session in SESSIONS))
    verdict = verdict_of(weigh(failures, _no_cells(), SESSIONS, "close"), CUTOFF)
    assert len(verdict.findings) == MOST_FINDINGS + 1
    assert verdict.findings["session"].iloc[0].date() == SESSIONS[-MOST_FINDINGS]
    count = len(SESSIONS) - MOST_FINDINGS
    assert verdict.findings["message"].iloc[-1] == (
        f"FLAT: {count} more findings like these, the oldest of {SESSIONS[0]}."
    )


def test_a_verdict_names_the_newest_reasons_of_a_quarantine():
    rule = Rule("value_missing", "", "", "open", recent_sessions=5)
    failures = failures_of(rule, *(("A", session) for session in SESSIONS[-5:]))
    verdict = verdict_of(weigh(failures, _no_cells(), SESSIONS, "close"), CUTOFF)
    newest = "; ".join(f"{session}: wrong" for session in SESSIONS[:-4:-1])
    assert verdict.quarantined == {"A": f"{newest}; and 2 more"}
    assert verdict.broken == {"A": f"A breaks value_missing: {newest}; and 2 more"}


def faults_of(tickers: int) -> pd.DataFrame:
    rows = [(f"A{number:02d}", "copied_bar", SESSIONS[-2], "close") for number in range(tickers)]
    table = pd.DataFrame(rows, columns=["ticker", "rule", "session", "column"])
    texts = dict.fromkeys(("universe", "recipe", "target", "severity", "message"), "")
    return FINDINGS.conform(table.assign(cutoff=CUTOFF, **texts))


def test_a_fault_of_many_tickers_on_one_session_is_a_fault_of_the_day():
    assert on_one_day(faults_of(FEWEST_TICKERS_OF_DAY)) == [
        f"{SESSIONS[-2]}: {FEWEST_TICKERS_OF_DAY} tickers at once have copied_bar (A00, A01, A02 "
        "...)"
    ]


def test_a_fault_of_a_few_tickers_is_no_fault_of_the_day():
    assert on_one_day(faults_of(FEWEST_TICKERS_OF_DAY - 1)) == []
    assert on_one_day(FINDINGS.empty()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("age", "severity"), [(1, "quarantine"), (2, "mask"), (90, "mask")])
def test_a_day_on_which_a_group_of_tickers_repeats_the_day_before_is_caught(age, severity):
    """On that day they have no price to forecast from; from the next one on, copies are masked."""
    group = [f"A{number:02d}" for number in range(FEWEST_TICKERS_OF_DAY)]
    prices = [copied(clean(name), len(SESSIONS) - age) for name in group]
    verdict = judge(pd.concat([*prices, clean("GOOD")]))
    assert {findings_of(verdict, name, "copied_bar")[0][1] for name in group} == {severity}
    assert sorted(verdict.quarantined) == (group if severity == "quarantine" else [])
    day, count = SESSIONS[-age], FEWEST_TICKERS_OF_DAY
    assert verdict.findings["message"][0].startswith(
        f"A00 {day}: repeats the bar before, volume included, as {count - 1} others do that day "
        "(expected that day's own bar); "
    )
    assert on_one_day(verdict.findings) == [
        f"{day}: {count} tickers at once have copied_bar (A00, A01, A02 ...)"
    ]


@pytest.mark.slow
def test_findings_read_as_sentences_and_conform_to_the_table():
    hole, empty = clean("HOLE").drop(index=100), clean("NOOPEN")
    empty.loc[100, "open"] = float("nan")
    findings = judge(pd.concat([hole, empty])).findings
    assert findings.dtypes.astype(str).to_dict() == {**FINDING_COLUMNS, "session": "datetime64[s]"}
    assert findings.set_index("ticker")["message"].to_dict() == {
        "HOLE": "HOLE 2017-05-26: no bar on this session (expected one: the exchange was open); "
        "recorded.",
        "NOOPEN": "NOOPEN 2017-05-26: open is missing (expected a price); masked, not used as a "
        "feature or target.",
    }


@pytest.mark.slow
@pytest.mark.parametrize("target", ["close", "open", "adj_close", "high"])
def test_a_misprinted_low_is_masked_and_holds_no_target_back_that_is_no_low(target):
    verdict = judge(times(0.8, ("low",))(clean("ODD"), len(SESSIONS) - 2), target=target)
    assert findings_of(verdict, "ODD", "wrong_range") == [("low", "mask")]
    assert verdict.quarantined == {}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["low", "mid"])
def test_a_misprinted_low_holds_its_targets_back_for_five_sessions(target):
    last = len(SESSIONS) - 1
    edit = times(0.8, ("low",))
    prices = pd.concat([edit(clean("NOW"), last), edit(clean("THEN"), last - 5)])
    verdict = judge(prices, target=target)
    assert findings_of(verdict, "NOW", "wrong_range") == [("low", "quarantine")]
    assert findings_of(verdict, "THEN", "wrong_range") == [("low", "mask")]
    assert sorted(verdict.quarantined) == ["NOW"]
    low, open_, close = (clean("NOW")[name][last] for name in ("low", "open", "close"))
    assert verdict.quarantined["NOW"] == (
        f"{CUTOFF}: low {low * 0.8:g} is a misprint: open {open_:g}, close {close:g} (expected a "
        "low that its neighbours or the volume confirm); not good for low and mid, but for close, "
        "open, high, adj_close"
    )


@pytest.mark.slow
def test_wrong_prints_quarantine_until_they_are_five_sessions_old():
    last = len(SESSIONS) - 1
    island, spike = times(1.2), times(0.5, ("close",))
    prices = [
        island(clean("NOW"), last - 1),
        spike(clean("HALF"), last - 4),
        island(clean("THEN"), last - 5),
        spike(clean("OLD"), 50),
    ]
    verdict = judge(pd.concat(prices))
    by_ticker = {
        ticker: findings_of(verdict, ticker, "wrong_print")
        for ticker in ("NOW", "HALF", "THEN", "OLD")
    }
    assert by_ticker == {
        "NOW": [("close", "quarantine")],
        "HALF": [("close", "quarantine")],
        "THEN": [("close", "mask")],
        "OLD": [("close", "mask")],
    }
    assert sorted(verdict.quarantined) == ["HALF", "NOW"]
