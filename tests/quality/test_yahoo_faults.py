"""Faults that Yahoo is known for, through the real yfinance client, before the gate.

They are those that yfinance's own repair looks for, and more. Nothing that is stored is repaired: a
fault is read repaired, masked, recorded or holds its ticker back; nothing is left of it once Yahoo
shows the right bars.
docs/reference/price-faults.md has the table of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.prices import Fetched, Histories, YahooSource, adjust, fetch
from pipeline.quality import REPAIRED, GateVerdict
from pipeline.tables import OHLCV, PRICE_COLUMNS
from tests.prices.conftest import EVENING, make_yahoo
from tests.quality.made_bars import CALENDAR, GATE
from tests.yahoo_market import Fault, Market
from tests.yahoo_server import YahooServer

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "price-faults.md"
FIRST, LAST = dt.date(2022, 1, 3), dt.date(2024, 7, 1)
#: NVDA's ten new shares for one.
SPLIT_DAY = dt.date(2024, 6, 10)
PRICES_IN_ROWS, LOW = slice(0, 4), 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YahooServer]:
    folder = tmp_path_factory.mktemp("certificates")
    with YahooServer(Market(EVENING, first_day=FIRST), folder) as server:
        yield server


@pytest.fixture(scope="module")
def yahoo(server: YahooServer, tmp_path_factory: pytest.TempPathFactory) -> YahooSource:
    return make_yahoo(server, tmp_path_factory.mktemp("yfinance"), lambda seconds: None)


@pytest.fixture
def market(server: YahooServer) -> Market:
    server.market = Market(EVENING, first_day=FIRST)
    return server.market


def fetched(yahoo: YahooSource, ticker: str) -> Fetched:
    return fetch(yahoo, ticker, FIRST, LAST, CALENDAR, EVENING)


def judged(
    yahoo: YahooSource, ticker: str, target: str = "close", is_repaired: bool = True
) -> GateVerdict:
    seen, sessions = fetched(yahoo, ticker), CALENDAR.sessions(FIRST, LAST)
    return GATE.check_prices(
        seen.prices,
        seen.actions,
        [ticker],
        sessions,
        LAST,
        200,
        "yahoo",
        target=target,
        is_repaired=is_repaired,
    )


def times(factor: float, first: int, end: int | None = None, columns=PRICES_IN_ROWS) -> Fault:
    """Return the fault that a block's cells are shown so many times as high."""

    def fault(sessions: np.ndarray, bars: np.ndarray) -> np.ndarray:
        wrong = bars.copy()
        wrong[first:end, columns] *= factor
        return wrong

    return fault


def before(factor: float, day: dt.date) -> Fault:
    """Return the fault that all bars before a day are shown so many times as high."""

    def fault(sessions: np.ndarray, bars: np.ndarray) -> np.ndarray:
        return times(factor, 0, int(np.searchsorted(sessions, day)))(sessions, bars)

    return fault


def stale(sessions: np.ndarray, bars: np.ndarray) -> np.ndarray:
    wrong = bars.copy()
    wrong[-6:, PRICES_IN_ROWS], wrong[-6:, 4] = bars[-7, 3], 0
    return wrong


@dataclass(frozen=True)
class Case:
    """A fault and what becomes of it.

    Attributes:
        repair: the part of yfinance's repair that looks for it.
        findings: its rules and severities.
        reason: what is in the reason of the quarantine; "": there is none.
        day: the session that the reason begins with; "": any.
    """

    repair: str
    ticker: str
    fault: Fault
    findings: set[tuple[str, str]]
    reason: str = ""
    day: str = ""


VOLUME_ZERO = "volume_zero", "record"
BASIS = {("basis_changed", "quarantine")}
MENDED = {(REPAIRED, "record")}
CASES = {
    "SSW.JO: the last sessions in rand for cents": Case(
        "unit_switch",
        "MSFT",
        times(0.01, -7),
        BASIS,
        "1/100 of the bars before, the ratio of another",
    ),
    "AET.L: two weeks in pence for pounds, years ago": Case(
        "unit_switch", "MSFT", times(100, 300, 310), MENDED
    ),
    "a bar in pence for pounds": Case(
        "unit_random_mixups", "MSFT", times(100, 300, 301), {("wrong_print", "mask")}
    ),
    "the last bar in pence for pounds": Case(
        "unit_random_mixups", "MSFT", times(100, -1), BASIS, "100 times the bars before"
    ),
    "MOB.ST: a bar at a tenth, years ago": Case(
        "sudden_change", "MSFT", times(0.1, 300, 301), {("wrong_print", "mask")}
    ),
    "4063.T: a split that is announced, and not in the bars before it": Case(
        "bad_stock_splits",
        "NVDA",
        before(10, SPLIT_DAY),
        MENDED,
    ),
    "4063.T: the same, in the bars up to some days before it": Case(
        "bad_stock_splits",
        "NVDA",
        before(10, dt.date(2024, 6, 3)),
        MENDED,
    ),
    "a split that is in the bars twice": Case(
        "bad_stock_splits", "NVDA", before(0.1, SPLIT_DAY), MENDED
    ),
    "a split that Yahoo leaves out": Case(
        "sudden_change",
        "MSFT",
        before(4, dt.date(2023, 5, 2)),
        BASIS,
        "1/4 of the bars before, the ratio of a split of 4:1",
        "2023-05-02",
    ),
    "prices of 0": Case(
        "zeroes",
        "MSFT",
        times(0, 300, 301),
        {("price_not_positive", "mask")},
    ),
    "a volume of 0": Case("zeroes", "MSFT", times(0, 300, 301, columns=4), {VOLUME_ZERO}),
    "AET.L: stale bars": Case(
        "", "MSFT", stale, {("stale_price", "quarantine"), VOLUME_ZERO}, "same prices"
    ),
    "TRV: a low of a cent": Case(
        "", "MSFT", times(0.0002, 300, 301, columns=LOW), {("wrong_range", "mask")}
    ),
}


#: The rules by which a dividend a hundred times too large is found, by what was paid in percent.
TOO_LARGE_DIVIDENDS = {25.0: "dividend_not_shown", 2500.0: "dividend_too_large"}
CONSEQUENCES = {
    "quarantine": "the ticker is held back while it stands",
    "mask": "the cells are masked: no input, no target, no score",
    "record": "recorded",
}
READ_REPAIRED = "read repaired; with `repair = false`, the ticker is held back"


def faults_table() -> str:
    """Return the table of faults and what happens, in Markdown."""
    lines = [
        "| the fault | looked for by yfinance's repair as | rule | what happens |",
        "|---|---|---|---|",
    ]
    for fault, case in CASES.items():
        [(rule, severity)] = case.findings - ({VOLUME_ZERO} if len(case.findings) > 1 else set())
        happens = READ_REPAIRED if rule == REPAIRED else CONSEQUENCES[severity]
        lines.append(f"| {fault} | {case.repair} | `{rule}` | {happens} |")
    happens = "holds back target adj_close alone"
    for paid, rule in TOO_LARGE_DIVIDENDS.items():
        fault = f"REL.L: a dividend in pence for pounds, so {paid:g}% of the price"
        lines.append(f"| {fault} | bad_div_adjust | `{rule}` | {happens} |")
    lines.append(
        "| adjusted closes that are not adjusted for dividends | bad_div_adjust | | not used: "
        "`adj_close` is made from the dividends |"
    )
    return "\n".join(lines)


def test_the_page_has_the_table_that_these_cases_make():
    table = faults_table()
    assert table in PAGE.read_text(encoding="utf-8"), f"{PAGE} should have:\n{table}"


def rules_of(verdict: GateVerdict) -> set[tuple[str, str]]:
    return set(zip(verdict.findings["rule"], verdict.findings["severity"], strict=True))


def assert_read_repaired(yahoo: YahooSource, ticker: str, right: Fetched) -> None:
    """Assert that histories are those of the right bars, and that a setting turns that off."""
    seen = fetched(yahoo, ticker)
    ours = Histories(seen.prices, seen.actions, repair=True).of(ticker, LAST)
    theirs = Histories(right.prices, right.actions).of(ticker, LAST)
    prices = [*PRICE_COLUMNS, "adj_close"]
    np.testing.assert_allclose(ours[prices], theirs[prices], rtol=1e-9)
    assert rules_of(judged(yahoo, ticker, is_repaired=False)) == BASIS


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_fault_is_found_and_nothing_is_left_of_it_after_its_repair(yahoo, market, case):
    right = fetched(yahoo, case.ticker)
    market.faults[case.ticker] = case.fault
    verdict = judged(yahoo, case.ticker)
    assert rules_of(verdict) == case.findings
    assert bool(verdict.quarantined) == bool(case.reason)
    reason = verdict.quarantined.get(case.ticker, "")
    assert case.reason in reason and reason.startswith(case.day)
    if case.findings == MENDED:
        assert_read_repaired(yahoo, case.ticker, right)
    market.faults.clear()
    assert judged(yahoo, case.ticker).findings.empty
    pd.testing.assert_frame_equal(fetched(yahoo, case.ticker).prices, right.prices)
    sessions = pd.DatetimeIndex(market.opened(case.ticker))
    traded = pd.DataFrame(market.traded(case.ticker), columns=OHLCV, index=sessions)
    np.testing.assert_array_equal(right.prices[OHLCV], traded)


@pytest.mark.parametrize(("paid", "rule"), TOO_LARGE_DIVIDENDS.items())
def test_a_dividend_a_hundred_times_too_large_keeps_only_adjusted_closes_back(
    yahoo, market, paid, rule
):
    """REL.L, and what yfinance's repair of dividends looks for."""
    day = dt.date(2023, 5, 2)
    close = market.traded("MSFT")[market.opened("MSFT").index(day), 3]
    market.dividends = {"MSFT": [(day, round(paid / 100 * close, 2))]}
    assert judged(yahoo, "MSFT").quarantined == {}
    assert rules_of(judged(yahoo, "MSFT")) == {(rule, "record")}
    verdict = judged(yahoo, "MSFT", "adj_close")
    assert rules_of(verdict) == {(rule, "quarantine")}
    market.dividends = {"MSFT": [(day, 0.25)]}
    assert judged(yahoo, "MSFT", "adj_close").findings.empty


def test_adjusted_closes_that_yahoo_has_not_adjusted_are_not_used(yahoo, market):
    """What the server calls adjusted closes are its closes; ours are made of the dividends."""
    seen = fetched(yahoo, "MSFT")
    history = adjust(seen.prices, seen.actions, LAST)
    paid = len(market.paid("MSFT"))
    assert paid == 10
    changes = (history["adj_close"] / history["close"]).round(9).drop_duplicates()
    assert len(changes) == paid + 1 and changes.iloc[-1] == 1
