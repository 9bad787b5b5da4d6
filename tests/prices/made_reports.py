"""Four reports of a made source, as a store keeps them, and a dull way to read them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from pipeline.sessions import Calendar
from pipeline.storage import Store
from pipeline.tables import ACTIONS, PRICE_COLUMNS, PRICES
from tests.made_prices import LAST, random_walk

SOURCE_ID = "made"
TICKERS = ["AAA", "BBB", "CCC"]
CALENDAR = Calendar("XNYS")
COUNT = 40
SESSIONS = CALENDAR.sessions(dt.date(2012, 1, 1), LAST)[-COUNT:]


@dataclass(frozen=True)
class Report:
    """All that a source reports at one moment.

    Attributes:
        last: the newest session that it reports about, from the first on.
    """

    known_at: dt.datetime
    last: dt.date
    prices: pd.DataFrame
    actions: pd.DataFrame


def evening_of(session: dt.date) -> dt.datetime:
    return dt.datetime.combine(session, dt.time(22), tzinfo=dt.UTC)


def bars_of(number: int) -> pd.DataFrame:
    """Return a ticker's bars with a missing cell, a bar apart from its neighbours, and a split."""
    bars = random_walk(number, COUNT).drop(columns="date")
    bars.loc[5, "open"] = np.nan
    bars.loc[[9, 30], PRICE_COLUMNS] *= 1.3
    bars.loc[20:, PRICE_COLUMNS] /= 2
    bars.loc[20:, "volume"] *= 2
    sessions = pd.to_datetime(SESSIONS)
    return PRICES.conform(bars.assign(ticker=TICKERS[number], session=sessions))


def actions_of(*rows: tuple[str, int, str, float]) -> pd.DataFrame:
    """Return ACTIONS from (ticker, number of the session, kind, value)."""
    frame = pd.DataFrame(rows, columns=["ticker", "session", "kind", "value"])
    sessions = pd.to_datetime([SESSIONS[number] for number in frame["session"]])
    return ACTIONS.conform(frame.assign(session=sessions))


@cache
def reports() -> list[Report]:
    """Return four reports: the first bars, a day's, corrections, and the rest."""
    traded = pd.concat([bars_of(number) for number in range(len(TICKERS))])
    splits = [(ticker, 20, "split", 2.0) for ticker in TICKERS]
    corrected = traded.copy()
    wrong = corrected["session"].isin(pd.to_datetime([SESSIONS[12], SESSIONS[31]]))
    corrected.loc[wrong, PRICE_COLUMNS] *= 1.01
    contents = [
        # CCC is not listed yet, and a dividend of AAA is announced that will be taken back.
        (
            traded[traded["ticker"] != "CCC"],
            actions_of(*splits[:2], ("AAA", 10, "dividend", 0.5), ("BBB", 15, "dividend", 0.2)),
            29,
        ),
        (traded, actions_of(*splits, ("BBB", 15, "dividend", 0.2)), 32),
        (corrected, actions_of(*splits, ("BBB", 15, "dividend", 0.25)), 33),
        (corrected, actions_of(*splits, ("BBB", 15, "dividend", 0.25)), COUNT - 1),
    ]
    return [
        Report(
            evening_of(SESSIONS[last]),
            SESSIONS[last],
            prices[prices["session"] <= pd.Timestamp(SESSIONS[last])],
            actions,
        )
        for prices, actions, last in contents
    ]


def save(store: Store, report: Report) -> None:
    store.prices.clock = lambda: report.known_at
    store.prices.save(SOURCE_ID, report.prices, report.actions, SESSIONS[0], report.last)


def facts_by_loop(
    ticker: str, cutoff: dt.date, known_at: dt.datetime
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a ticker's PRICES and ACTIONS up to the cutoff, fact by fact, as then known."""
    bars: dict[pd.Timestamp, dict[str, object]] = {}
    actions: dict[tuple[pd.Timestamp, str], dict[str, object]] = {}
    for report in reports():
        if report.known_at > known_at:
            continue
        for row in report.prices.to_dict("records"):
            if row["ticker"] == ticker and row["session"].date() <= cutoff:
                bars[row["session"]] = row
        reported = [row for row in report.actions.to_dict("records") if row["ticker"] == ticker]
        if not any(report.prices["ticker"] == ticker):
            continue
        actions = {
            (row["session"], row["kind"]): row
            for row in reported
            if row["session"].date() <= cutoff
        }
    return (
        PRICES.conform(pd.DataFrame(list(bars.values()), columns=list(PRICES.columns))),
        ACTIONS.conform(pd.DataFrame(list(actions.values()), columns=list(ACTIONS.columns))),
    )
