"""The quality gate, on the shipped expectations: one broken ticker per rule, all judged in one call, once old and once recent."""

from __future__ import annotations

import datetime as dt
import json
import re
import socket
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import QualityGateFailed, SettingsError
from pipeline.prices.sample import SampleSource
from pipeline.prices.source import fetch
from pipeline.quality import COLUMNS, MANY, MOST_FINDINGS, Gate, Verdict, on_one_day
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, FORECASTS, PRICE_COLUMNS, PRICES

SUITES = Path(__file__).parent.parent / "expectations"
CALENDAR = Calendar("XNYS")
CUTOFF = dt.date(2017, 11, 30)
SESSIONS = CALENDAR.sessions(dt.date(2017, 1, 3), CUTOFF)
NEEDED = 200
GATE = Gate(SUITES)

Edit = Callable[[pd.DataFrame, int], pd.DataFrame]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations has telephoned home in earlier versions."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def clean(ticker: str) -> pd.DataFrame:
    """A quiet year of a made stock, another one for every name."""
    noise = np.random.default_rng(list(ticker.encode()))
    close = 100 * np.exp(np.cumsum(noise.normal(0, 0.008, len(SESSIONS))))
    open_ = np.r_[close[0], close[:-1]] * (1 + noise.normal(0, 0.002, len(SESSIONS)))
    bars = {
        "open": open_,
        "high": np.maximum(open_, close) * 1.003,
        "low": np.minimum(open_, close) * 0.997,
        "close": close,
        "volume": noise.integers(1e6, 2e6, len(SESSIONS)),
    }
    return PRICES.conform(pd.DataFrame({"ticker": ticker, "session": SESSIONS, **bars}))


def put(column: str, value: float | Callable[[pd.Series], float]) -> Edit:
    def edit(bars: pd.DataFrame, i: int) -> pd.DataFrame:
        bars.loc[i, column] = value(bars.loc[i]) if callable(value) else value
        return bars

    return edit


def times(factor: float, columns: tuple[str, ...] = tuple(PRICE_COLUMNS)) -> Edit:
    def edit(bars: pd.DataFrame, i: int) -> pd.DataFrame:
        bars.loc[i, list(columns)] *= factor
        return bars

    return edit


def repeated(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    return pd.concat([bars, bars.loc[[i]].assign(close=lambda bar: bar["close"] * 1.001)]).sort_values("session")


def out_of_order(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    order = list(bars.index)
    order[i - 1], order[i] = order[i], order[i - 1]
    return bars.loc[order]


def on_a_holiday(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    holiday = dt.date(2017, 11, 25) if i > 200 else dt.date(2017, 7, 4)
    extra = bars.loc[[i]].assign(session=pd.Timestamp(holiday), close=lambda bar: bar["close"] * 1.001)
    return pd.concat([bars, extra]).sort_values("session")


def copied(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    bars.loc[i, bars.columns[2:]] = bars.loc[i - 1, bars.columns[2:]]
    return bars


def stale(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    bars.loc[i - 3 : i, PRICE_COLUMNS] = bars.loc[i - 3, PRICE_COLUMNS].to_numpy()
    return bars


def split_unannounced(bars: pd.DataFrame, i: int) -> pd.DataFrame:
    bars.loc[i:, PRICE_COLUMNS] /= 2
    return bars


#: name -> (what is done to the bar, the rule that finds it, the cells named, the severity when old).
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
    "SPLIT": (split_unannounced, "jump_unexplained", ["close"], "record"),
}
#: Never held against a ticker, at any age.
HARMLESS: dict[str, tuple[Edit, str, list[str], str]] = {
    "ROUNDED": (put("open", lambda bar: bar["high"] * 1.001), "outside_range", ["open"], "record"),
    "HALTED": (put("volume", 0.0), "volume_zero", ["volume"], "record"),
}


def judge(
    prices: pd.DataFrame, actions: pd.DataFrame | None = None, tickers: list[str] | None = None, gate: Gate = GATE, **more
) -> Verdict:
    tickers = tickers or sorted(prices["ticker"].unique())
    actions = ACTIONS.empty() if actions is None else ACTIONS.conform(pd.DataFrame(actions))
    return gate.check_prices(prices, actions, tickers, SESSIONS, CUTOFF, NEEDED, "made", **more)


def broken_at(i: int) -> Verdict:
    cases = {**CASES, **HARMLESS}
    prices = pd.concat([edit(clean(name), i) for name, (edit, *_) in cases.items()] + [clean("GOOD")])
    return judge(prices)


@pytest.fixture(scope="module")
def old() -> Verdict:
    return broken_at(100)


@pytest.fixture(scope="module")
def recent() -> Verdict:
    return broken_at(len(SESSIONS) - 2)


def found(verdict: Verdict, ticker: str, rule: str) -> list[tuple[str, str]]:
    rows = verdict.findings[(verdict.findings["ticker"] == ticker) & (verdict.findings["rule"] == rule)]
    return list(zip(rows["column"], rows["severity"], strict=True))


@pytest.mark.parametrize("name", CASES)
def test_an_old_defect_is_noted_and_the_ticker_goes_on(old, name):
    _, rule, columns, severity = CASES[name]
    assert found(old, name, rule) == [(column, severity) for column in columns]
    assert name not in old.quarantined


@pytest.mark.parametrize("name", [name for name in CASES if name != "COPY"])  # see below: the next bar is the ticker's own
def test_a_recent_defect_quarantines_the_ticker(recent, name):
    _, rule, columns, _ = CASES[name]
    assert found(recent, name, rule) == [(column, "quarantine") for column in columns]
    assert name in recent.quarantined


@pytest.mark.parametrize(("age", "severity"), [(1, "quarantine"), (2, "mask"), (90, "mask")])
def test_a_day_on_which_a_group_of_tickers_repeats_the_day_before_is_caught(age, severity):
    """On that day they have no price to forecast from; from the next one on the copies are masked, and nobody sits out."""
    group = [f"A{number:02d}" for number in range(MANY)]
    prices = pd.concat([copied(clean(name), len(SESSIONS) - age) for name in group] + [clean("GOOD")])
    verdict = judge(prices)
    assert {found(verdict, name, "copied_bar")[0][1] for name in group} == {severity}
    assert sorted(verdict.quarantined) == (group if severity == "quarantine" else [])
    day = SESSIONS[-age]
    assert verdict.findings["message"][0].startswith(
        f"A00 {day}: repeats the bar before, volume included, as {MANY - 1} others do that day (expected that day's own bar); "
    )
    assert on_one_day(verdict.findings) == [f"{day}: {MANY} tickers at once have copied_bar (A00, A01, A02 ...)"]


def test_a_fault_of_a_few_tickers_is_no_fault_of_the_day(old):
    assert on_one_day(old.findings) == []


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_oddity_is_only_recorded_even_when_recent(old, recent, name):
    _, rule, columns, _ = HARMLESS[name]
    for verdict in (old, recent):
        assert found(verdict, name, rule) == [(column, "record") for column in columns]
        assert name not in verdict.quarantined


def test_a_clean_ticker_has_no_findings_beside_broken_ones(old, recent):
    assert "GOOD" not in set(old.findings["ticker"]) | set(recent.findings["ticker"])


def test_no_rule_fires_on_a_defect_of_another_kind(old):
    by_ticker = {ticker: set(rows["rule"]) for ticker, rows in old.findings.groupby("ticker")}
    also = {"ZERO": {"outside_range"}}  # a close of 0 is below the low, too
    assert by_ticker == {name: {rule} | also.get(name, set()) for name, (_, rule, _, _) in {**CASES, **HARMLESS}.items()}


def test_findings_read_as_sentences_and_conform_to_the_table(old):
    assert old.findings.dtypes.astype(str).to_dict() == {**COLUMNS, "session": "datetime64[s]"}
    told = old.findings.set_index("ticker")["message"]
    assert told["NOOPEN"] == "NOOPEN 2017-05-26: open is missing (expected a price); masked, not used as a feature or target."
    assert told["HOLE"] == "HOLE 2017-05-26: no bar on this session (expected one: the exchange was open); recorded."


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
    assert {ticker: found(verdict, ticker, "wrong_print") for ticker in ("NOW", "HALF", "THEN", "OLD")} == {
        "NOW": [("close", "quarantine")],
        "HALF": [("close", "quarantine")],
        "THEN": [("close", "mask")],
        "OLD": [("close", "mask")],
    }
    assert sorted(verdict.quarantined) == ["HALF", "NOW"]


def test_a_split_and_a_large_dividend_explain_their_jumps():
    i = len(SESSIONS) - 1
    split = split_unannounced(clean("SPLIT"), i)
    paid = clean("PAID")
    paid.loc[i, PRICE_COLUMNS] -= 30
    payment = {"session": SESSIONS[i], "value": [2.0, 30.0], "ticker": ["SPLIT", "PAID"], "kind": ["split", "dividend"]}
    verdict = judge(pd.concat([split, paid]), payment)
    assert (list(verdict.findings["rule"]), verdict.quarantined) == ([], {})


def test_a_split_that_the_prices_do_not_show_is_a_jump():
    verdict = judge(clean("SPLIT"), {"ticker": ["SPLIT"], "session": [SESSIONS[-1]], "kind": ["split"], "value": [2.0]})
    assert found(verdict, "SPLIT", "jump_unexplained") == [("close", "quarantine")]


def test_a_jump_is_told_in_the_prices_of_its_day_whatever_was_split_later():
    bars = split_unannounced(clean("SPLIT"), 100)
    before, after = bars["close"][99], bars["close"][100]
    later = {"ticker": ["SPLIT"], "session": [SESSIONS[200]], "kind": ["split"], "value": [4.0]}
    told = " ".join(judge(bars, later).findings["message"])
    assert f"SPLIT {SESSIONS[100]}: close goes from {before:g} to {after:g}, a jump of {before / after - 1:.0%} after" in told


def test_a_dividend_above_the_price_quarantines_at_any_age_instead_of_ending_the_run():
    verdict = judge(clean("ODD"), {"ticker": ["ODD"], "session": [SESSIONS[40]], "kind": ["dividend"], "value": [500.0]})
    assert found(verdict, "ODD", "dividend_too_large") == [("close", "quarantine")]


def test_a_close_of_zero_before_a_dividend_is_masked_like_any_other():
    bars = put("close", 0.0)(clean("ODD"), 39)
    verdict = judge(bars, {"ticker": ["ODD"], "session": [SESSIONS[40]], "kind": ["dividend"], "value": [0.5]})
    assert found(verdict, "ODD", "price_not_positive") == [("close", "mask")]
    assert verdict.quarantined == {}


def test_two_names_for_one_stock_are_both_held_back():
    one = clean("ONE")
    partly = clean("PART")
    partly.loc[:150, PRICE_COLUMNS] = one.loc[:150, PRICE_COLUMNS]
    verdict = judge(pd.concat([one, one.assign(ticker="SAME"), partly]))
    assert {ticker: reasons.split("; ")[0] for ticker, reasons in verdict.quarantined.items()} == {
        "ONE": "2017-11-30: the same prices as SAME",
        "SAME": "2017-11-30: the same prices as ONE",
    }


def test_a_twin_in_another_shard_is_found():
    one = clean("ONE")
    verdict = judge(one, others=one.assign(ticker="FAR").tail(5))
    assert verdict.quarantined["ONE"].startswith("2017-11-30: the same prices as FAR")
    assert set(verdict.findings["ticker"]) == {"ONE"}


def test_history_short_late_behind_and_absent():
    prices = pd.concat([clean("LATE").tail(60), clean("NEW").tail(20), clean("BEHIND").iloc[:-1]])
    verdict = judge(prices, tickers=["BEHIND", "LATE", "NEW", "NOTHING"])
    assert {ticker: list(rows["rule"]) for ticker, rows in verdict.findings.groupby("ticker")} == {
        "BEHIND": ["session_missing"],
        "LATE": ["history_short"],
        "NEW": ["history_short", "history_too_short"],
        "NOTHING": ["history_short", "history_too_short", "session_missing"],
    }
    assert sorted(verdict.quarantined) == ["BEHIND", "NEW", "NOTHING"]
    assert verdict.quarantined["NEW"] == "2017-11-30: 20 sessions of history (expected at least 30)"


def test_what_lies_after_the_cutoff_is_not_looked_at():
    prices = clean("GOOD")
    later = prices.tail(5).assign(session=lambda bars: bars["session"] + pd.Timedelta(days=30), close=-1.0)
    split = {"ticker": ["GOOD"], "session": [dt.date(2017, 12, 15)], "kind": ["split"], "value": [7.0]}
    assert judge(PRICES.conform(pd.concat([prices, later])), split).findings.empty


def test_a_pathological_file_is_summed_up():
    verdict = judge(clean("FLAT").assign(volume=0.0))
    assert len(verdict.findings) == MOST_FINDINGS + 1
    rest = len(SESSIONS) - MOST_FINDINGS
    assert verdict.findings["message"].iloc[-1] == f"FLAT: {rest} more findings like these, the oldest of 2017-01-03."


def test_the_shipped_sample_passes_with_little_history_noted():
    cutoff = dt.date(2013, 3, 1)
    fetched = [
        fetch(SampleSource(), ticker, dt.date(2000, 3, 1), cutoff, CALENDAR, dt.datetime(2014, 1, 1, tzinfo=dt.UTC))
        for ticker in SampleSource().tickers()
    ]
    prices, actions = pd.concat([f.prices for f in fetched]), pd.concat([f.actions for f in fetched])
    sessions = CALENDAR.sessions(dt.date(2000, 3, 1), cutoff)
    verdict = GATE.check_prices(prices, actions, SampleSource().tickers(), sessions, cutoff, 700, "sample")
    assert verdict.quarantined == {}
    about_history = verdict.findings[verdict.findings["rule"] == "history_short"]
    assert list(about_history["message"]) == [
        "FB 2013-03-01: 504 sessions of history too few for a network of its own; the one of all stocks, or the random walk, stands in; recorded."
    ]


def test_data_docs_are_one_page_per_shard_and_written_again_in_place(tmp_path):
    gate = Gate(SUITES, tmp_path)
    for _ in range(2):
        judge(clean("GOOD"), gate=gate)
    judge(pd.concat([clean("GOOD"), clean("FINE")]), gate=gate, write_docs=False)
    pages = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert pages == ["made/2017-11-30/GOOD.html"]
    page = (tmp_path / pages[0]).read_text(encoding="utf-8")
    assert "copied_cells" in page and "Success Percent" in page
    assert not re.search(r"//|<script|<img|onclick|href=\"(?!#)", page), "it needs nothing else"
    rules = json.loads((SUITES / "prices.json").read_text(encoding="utf-8"))["expectations"]
    assert [rule["meta"]["rule"] for rule in rules if escape(rule["meta"]["reason"], quote=False) not in page] == []


def test_a_rule_that_cannot_be_run_is_an_error_not_a_pass(tmp_path):
    suite = json.loads((SUITES / "prices.json").read_text(encoding="utf-8"))
    suite["expectations"][0]["kwargs"]["column"] = "no_such_column"
    (tmp_path / "prices.json").write_text(json.dumps(suite), encoding="utf-8")
    with pytest.raises(SettingsError, match="The rule session_missing cannot be run"):
        judge(clean("GOOD"), gate=Gate(tmp_path))


def test_missing_expectations_are_named(tmp_path):
    with pytest.raises(SettingsError, match=r"prices\.json cannot be read \(No such file"):
        judge(clean("GOOD"), gate=Gate(tmp_path))


# --- forecasts ----------------------------------------------------------------------------------------------------------------

AHEAD = CALENDAR.next_sessions(CUTOFF, 3)


def forecast(ticker: str, **changes: object) -> pd.DataFrame:
    """Three sessions ahead; `changes` replace the middle row's values."""
    rows = pd.DataFrame(
        {"ticker": ticker, "horizon": [1, 2, 3], "session": AHEAD, "cutoff": CUTOFF, "y_hat": [100.0, 101.0, 102.0]}
    )
    rows = rows.assign(universe="made", recipe="default", target="close", last_value=100.0, champion="naive", model_id="")
    for width, level in ((1, "50"), (2, "80"), (4, "95")):
        rows[f"lower_{level}"], rows[f"upper_{level}"] = rows["y_hat"] - width, rows["y_hat"] + width
    for column, value in changes.items():
        rows[column] = rows[column].astype(object)
        rows.loc[1, column] = value
    return rows.astype(FORECASTS.columns)


BAD_FORECASTS = {
    "PAST": ({"session": CUTOFF}, {"session_not_after_cutoff", "wrong_session"}),
    "HOLIDAY": ({"session": dt.date(2017, 12, 25)}, {"wrong_session"}),
    "TWICE": ({"horizon": 1}, {"horizon_repeated", "horizon_missing", "wrong_session"}),
    "NONE": ({"y_hat": np.nan}, {"value_missing"}),
    "NOMIDDLE": ({"lower_50": np.nan}, {"value_missing"}),
    "NOUPPER": ({"upper_95": np.nan}, {"value_missing"}),
    "MINUS": ({"y_hat": -1.0, "lower_50": -1.5, "lower_80": -2.0, "lower_95": -3.0}, {"price_not_positive", "forecast_far_off"}),
    "BELOW_ZERO": ({"lower_95": -3.0}, {"price_not_positive"}),
    "ENDLESS": (
        {"y_hat": np.inf, "upper_50": np.inf, "upper_80": np.inf, "upper_95": np.inf},
        {"price_not_positive", "forecast_far_off"},
    ),
    "CROSSED": ({"lower_95": 100.0}, {"interval_order"}),
    "CROSSED_WITHIN": ({"upper_50": 103.5}, {"interval_order"}),
    "OUTSIDE": ({"y_hat": 104.0}, {"interval_order"}),
    "FAR": ({"y_hat": 250.0, "upper_50": 250.5, "upper_80": 251.0, "upper_95": 252.0}, {"forecast_far_off"}),
}


@pytest.fixture(scope="module")
def bad_forecasts() -> Verdict:
    rows = [forecast(name, **changes) for name, (changes, _) in BAD_FORECASTS.items()]
    return GATE.check_forecasts(pd.concat([*rows, forecast("GOOD")]), AHEAD)


@pytest.mark.parametrize("name", BAD_FORECASTS)
def test_a_bad_forecast_is_kept_back_and_its_rule_named(bad_forecasts, name):
    rows = bad_forecasts.findings[bad_forecasts.findings["ticker"] == name]
    assert set(rows["rule"]) == BAD_FORECASTS[name][1]
    assert name in bad_forecasts.quarantined


def test_good_forecasts_pass_beside_bad_ones(bad_forecasts):
    assert "GOOD" not in bad_forecasts.quarantined


def test_require_names_rule_ticker_and_rows():
    verdict = GATE.check_forecasts(forecast("AAPL", y_hat=104.0), AHEAD)
    with pytest.raises(QualityGateFailed, match=r"^AAPL breaks interval_order: 2017-12-04: upper_50 102 is below y_hat 104$"):
        verdict.require()


def test_nothing_to_require_of_good_forecasts():
    GATE.check_forecasts(forecast("AAPL"), AHEAD).require()
