"""The quality gate on the shipped expectations.

One broken ticker per rule, all judged in one call: once the bar is old, once recent.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.prices import SampleSource, fetch_histories
from pipeline.quality import GateVerdict
from pipeline.tables import PRICE_COLUMNS, PRICES
from tests.quality.made_bars import (
    CALENDAR,
    CUTOFF,
    GATE,
    SESSIONS,
    Edit,
    clean,
    copied,
    findings_of,
    judge,
    jumping,
    on_a_holiday,
    out_of_order,
    put,
    repeated,
    split_unannounced,
    stale,
)

pytestmark = pytest.mark.slow

#: By name: the edit of the bar, the rule that finds it, the cells named, the severity when old.
CASES: dict[str, tuple[Edit, str, list[str], str]] = {
    "HOLE": (lambda bars, i: bars.drop(index=i), "session_missing", ["has_bar"], "record"),
    "HOLIDAY": (on_a_holiday, "session_extra", ["is_session"], "record"),
    "TWICE": (repeated, "session_repeated", ["session"], "record"),
    "BACK": (out_of_order, "session_order", ["in_order"], "record"),
    "NOOPEN": (put("open", np.nan), "value_missing", ["open"], "mask"),
    "NOVOLUME": (put("volume", np.nan), "value_missing", ["volume"], "mask"),
    "ZERO": (put("close", 0.0), "price_not_positive", ["close"], "mask"),
    "INFINITE": (put("high", np.inf), "price_not_positive", ["high"], "mask"),
    "NEGATIVE": (put("volume", -5.0), "volume_negative", ["volume"], "mask"),
    "ABOVE": (put("open", lambda bar: bar["high"] * 1.01), "outside_range", ["open"], "mask"),
    "BELOW": (put("close", lambda bar: bar["low"] * 0.99), "outside_range", ["close"], "mask"),
    "COPY": (copied, "copied_bar", ["close"], "mask"),
    "STALE": (stale, "stale_price", ["close"], "record"),
    "JUMP": (jumping(1.42), "jump_unexplained", ["close"], "record"),
}
#: Never held against a ticker, at any age.
HARMLESS: dict[str, tuple[Edit, str, list[str], str]] = {
    "ROUNDED": (put("open", lambda bar: bar["high"] * 1.001), "outside_range", ["open"], "record"),
    "HALTED": (put("volume", 0.0), "volume_zero", ["volume"], "record"),
}


def broken_at(i: int) -> GateVerdict:
    tables = [edit(clean(name), i) for name, (edit, *_) in (CASES | HARMLESS).items()]
    return judge(pd.concat([*tables, clean("GOOD")]))


@pytest.fixture(scope="module")
def old() -> GateVerdict:
    return broken_at(100)


@pytest.fixture(scope="module")
def recent() -> GateVerdict:
    return broken_at(len(SESSIONS) - 2)


@pytest.mark.parametrize("name", CASES)
def test_an_old_defect_is_noted_and_the_ticker_goes_on(old, name):
    _, rule, columns, severity = CASES[name]
    assert findings_of(old, name, rule) == [(column, severity) for column in columns]
    assert name not in old.quarantined


@pytest.mark.parametrize("name", [name for name in CASES if name != "COPY"])
def test_a_recent_defect_quarantines_the_ticker(recent, name):
    """Not a copied bar: the next bar is the ticker's own (see test_verdicts)."""
    _, rule, columns, _ = CASES[name]
    assert findings_of(recent, name, rule) == [(column, "quarantine") for column in columns]
    assert name in recent.quarantined


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_oddity_is_only_recorded_even_when_recent(old, recent, name):
    _, rule, columns, _ = HARMLESS[name]
    for verdict in (old, recent):
        assert findings_of(verdict, name, rule) == [(column, "record") for column in columns]
        assert name not in verdict.quarantined


def test_a_clean_ticker_has_no_findings_next_to_broken_ones(old, recent):
    assert "GOOD" not in set(old.findings["ticker"]) | set(recent.findings["ticker"])


def test_no_rule_fires_on_a_defect_of_another_kind(old):
    by_ticker = {ticker: set(rows["rule"]) for ticker, rows in old.findings.groupby("ticker")}
    also = {"ZERO": {"outside_range"}}  # a close of 0 is below the low, too
    assert by_ticker == {
        name: {rule} | also.get(name, set()) for name, (_, rule, _, _) in (CASES | HARMLESS).items()
    }


def test_nothing_after_the_cutoff_is_looked_at():
    prices = clean("GOOD")
    later = prices.tail(5).assign(
        session=lambda bars: bars["session"] + pd.Timedelta(days=30), close=-1.0
    )
    split = {
        "ticker": ["GOOD"],
        "session": [dt.date(2017, 12, 15)],
        "kind": ["split"],
        "value": [7.0],
    }
    assert judge(PRICES.conform(pd.concat([prices, later])), split).findings.empty


def test_the_shipped_sample_passes_with_little_history_noted():
    first, cutoff = dt.date(2000, 3, 1), dt.date(2013, 3, 1)
    tickers, now = SampleSource().tickers(), dt.datetime(2014, 1, 1, tzinfo=dt.UTC)
    histories = fetch_histories(SampleSource(), tickers, first, cutoff, CALENDAR, now)
    sessions = CALENDAR.sessions(first, cutoff)
    verdict = GATE.check_prices(
        histories.bars, histories.actions, tickers, sessions, cutoff, 700, "sample"
    )
    assert verdict.quarantined == {}
    about_history = verdict.findings[verdict.findings["rule"] == "history_short"]
    assert list(about_history["message"]) == [
        "FB 2013-03-01: 504 sessions of history too few for a network of its own; the one of all "
        "stocks, or the random walk, stands in; recorded."
    ]


def test_inputs_are_left_as_they_were():
    bars = put("close", 0.0)(clean("ODD"), 40)
    before = bars.copy()
    judge(bars, others=clean("FAR"))
    pd.testing.assert_frame_equal(bars, before)


# Splits, dividends, twins and short histories


def test_a_split_and_a_large_dividend_explain_their_jumps():
    i = len(SESSIONS) - 1
    split = split_unannounced(clean("SPLIT"), i)
    paid = clean("PAID")
    paid.loc[i, PRICE_COLUMNS] -= 30
    payment = {
        "session": SESSIONS[i],
        "value": [2.0, 30.0],
        "ticker": ["SPLIT", "PAID"],
        "kind": ["split", "dividend"],
    }
    verdict = judge(pd.concat([split, paid]), payment)
    assert (list(verdict.findings["rule"]), verdict.quarantined) == ([], {})


def test_a_consolidation_and_a_dividend_of_half_the_price_on_one_day_explain_each_other():
    """CNE.L on 2023-05-16: 33 shares for 70, and 115 pence of 217 paid on each of the 70."""
    i, bars = 150, clean("CNE")
    ratio, close = 33 / 70, bars["close"][149]
    paid = close * 115 / 217 / ratio  # on each new share
    bars.loc[i:, PRICE_COLUMNS] = bars.loc[i:, PRICE_COLUMNS] / ratio - paid
    actions = {
        "ticker": ["CNE", "CNE"],
        "session": [SESSIONS[i]] * 2,
        "kind": ["split", "dividend"],
        "value": [ratio, paid],
    }
    for target in ("close", "adj_close"):
        assert judge(bars, actions, target=target).findings.empty


def test_a_jump_is_described_in_the_prices_of_its_day_despite_later_splits():
    bars = jumping(1.42)(clean("SPLIT"), 100)
    before, after = bars["close"][99], bars["close"][100]
    later = {"ticker": ["SPLIT"], "session": [SESSIONS[200]], "kind": ["split"], "value": [4.0]}
    messages = " ".join(judge(bars, later).findings["message"])
    jump = f"a jump of {after / before - 1:.0%} after"
    assert f"SPLIT {SESSIONS[100]}: close goes from {before:g} to {after:g}, {jump}" in messages


@pytest.mark.parametrize("age", [1, 3, 190])
@pytest.mark.parametrize(
    ("share", "rule"), [(5.0, "dividend_too_large"), (0.6, "dividend_not_shown")]
)
def test_a_dividend_in_another_unit_holds_back_what_stands_on_dividends_alone(share, rule, age):
    bars, i = clean("ODD"), len(SESSIONS) - age
    value = share * bars["close"][i - 1]
    dividend = {"ticker": ["ODD"], "session": [SESSIONS[i]], "kind": ["dividend"], "value": [value]}
    for target, severity in (("adj_close", "quarantine"), ("close", "record"), ("mid", "record")):
        verdict = judge(bars, dividend, target=target)
        assert [tuple(row) for row in verdict.findings[["rule", "column", "severity"]].values] == [
            (rule, "adj_close", severity)
        ]
        assert list(verdict.quarantined) == ["ODD"] * (severity == "quarantine")
        good = "; not good for adj_close, but for close, open, high, low, mid; "
        assert good in verdict.findings["message"][0]


def test_a_close_of_zero_before_a_dividend_is_masked_like_any_other():
    bars = put("close", 0.0)(clean("ODD"), 39)
    dividend = {"ticker": ["ODD"], "session": [SESSIONS[40]], "kind": ["dividend"], "value": [0.5]}
    verdict = judge(bars, dividend)
    assert findings_of(verdict, "ODD", "price_not_positive") == [("close", "mask")]
    assert verdict.quarantined == {}


@pytest.mark.parametrize("age", [1, 3])
def test_a_day_that_the_source_lost_for_all_is_recorded_once_a_later_one_is_there(age):
    lost = clean("ONE")["session"].iloc[-1 - age]
    tickers = ["ONE", "TWO", "SIX", "TEN"]
    prices = pd.concat([clean(ticker) for ticker in tickers])
    missing = prices[prices["session"] != lost]
    verdict = judge(missing)
    assert verdict.quarantined == {}
    assert set(verdict.findings["rule"]) == {"session_unknown"}
    assert sorted(verdict.findings["ticker"]) == sorted(tickers)
    at_the_end = judge(prices[prices["session"] < pd.Timestamp(CUTOFF)], tickers=tickers)
    assert sorted(at_the_end.quarantined) == sorted(tickers)  # the source may be late
    one_lacks_it = prices[(prices["session"] != lost) | (prices["ticker"] != "SIX")]
    assert sorted(judge(one_lacks_it).quarantined) == ["SIX"]


def test_a_day_off_that_all_have_a_bar_of_is_a_fact_about_the_calendar():
    """As a special session on a Saturday, which no calendar knows beforehand."""
    tickers, saturday = ["ONE", "TWO", "SIX", "TEN"], pd.Timestamp("2017-11-25")
    prices = pd.concat([clean(ticker) for ticker in tickers])
    special = prices[prices["session"] == pd.Timestamp("2017-11-24")].assign(session=saturday)
    special[[*PRICE_COLUMNS, "volume"]] *= 1.001
    verdict = judge(PRICES.conform(pd.concat([prices, special])))
    assert verdict.quarantined == {}
    assert set(verdict.findings["rule"]) == {"session_added"}
    assert sorted(verdict.findings["ticker"]) == sorted(tickers)
    of_two = special[special["ticker"].isin(["ONE", "SIX"])]
    mistaken = judge(PRICES.conform(pd.concat([prices, of_two])))
    assert sorted(mistaken.quarantined) == ["ONE", "SIX"]


def test_two_stocks_without_a_bar_may_both_be_halted():
    prices = pd.concat([clean("ONE"), clean("TWO")])
    halted = prices[prices["session"] != prices["session"].iloc[-3]]
    assert sorted(judge(halted).quarantined) == ["ONE", "TWO"]


def test_two_names_for_one_stock_are_both_held_back():
    stock = clean("ONE")
    partly = clean("PART")
    partly.loc[:150, PRICE_COLUMNS] = stock.loc[:150, PRICE_COLUMNS]
    verdict = judge(pd.concat([stock, stock.assign(ticker="SAME"), partly]))
    assert {ticker: reasons.split("; ")[0] for ticker, reasons in verdict.quarantined.items()} == {
        "ONE": f"{CUTOFF}: the same prices as SAME",
        "SAME": f"{CUTOFF}: the same prices as ONE",
    }


def test_a_twin_in_another_shard_is_found():
    stock = clean("ONE")
    verdict = judge(stock, others=stock.assign(ticker="FAR").tail(5))
    assert verdict.quarantined["ONE"].startswith(f"{CUTOFF}: the same prices as FAR")
    assert set(verdict.findings["ticker"]) == {"ONE"}


def test_histories_that_are_short_late_behind_or_absent_are_found():
    prices = pd.concat([clean("LATE").tail(60), clean("NEW").tail(20), clean("BEHIND").iloc[:-1]])
    verdict = judge(prices, tickers=["BEHIND", "LATE", "NEW", "NOTHING"])
    assert {ticker: list(rows["rule"]) for ticker, rows in verdict.findings.groupby("ticker")} == {
        "BEHIND": ["session_missing"],
        "LATE": ["history_short"],
        "NEW": ["history_too_short"],
        "NOTHING": ["history_too_short", "session_missing"],
    }
    assert sorted(verdict.quarantined) == ["BEHIND", "NEW", "NOTHING"]
    assert verdict.quarantined["NEW"] == (
        f"{CUTOFF}: 20 sessions of history (expected at least 30: it is forecast once it has them)"
    )


def test_closes_alone_are_a_series_and_not_a_table_with_holes():
    """No source has an open, high or low of them; one that has some lacks the others."""
    closes = clean("CLOSES").assign(open=np.nan, high=np.nan, low=np.nan, volume=0.0)
    verdict = judge(pd.concat([closes, clean("GOOD")]))
    assert set(verdict.findings["rule"]) == {"volume_zero"}
    assert not verdict.quarantined
    mixed = closes.assign(open=closes["open"].where(closes.index != 3, closes["close"]))
    assert list(judge(mixed).quarantined) == ["CLOSES"]
