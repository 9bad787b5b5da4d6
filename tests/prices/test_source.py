"""The treatment that every source's rows get, with a source that hands over given rows."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import MalformedPrices
from pipeline.prices.source import Fetched, RawPrices, fetch
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, PRICE_COLUMNS, PRICES

NO_ACTIONS = pd.DataFrame(columns=["date", "kind", "value"])
#: Friday 2024-07-05, in the afternoon of New York; Thursday was a holiday, Wednesday closed early.
FRIDAY = dt.datetime(2024, 7, 5, 18, tzinfo=dt.UTC)


class Scripted:
    """A source that hands over the same rows every time, and counts the calls."""

    name = "scripted"
    reads_all = False
    is_metered = False

    def __init__(self, prices: pd.DataFrame, actions: pd.DataFrame = NO_ACTIONS) -> None:
        self.raw = RawPrices(prices, actions)
        self.calls = 0

    def tickers(self) -> None:
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        self.calls += 1
        return self.raw


def bars(*dates: object, **columns: object) -> pd.DataFrame:
    values = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100.0, **columns}
    return pd.DataFrame({"date": pd.Series(list(dates)), **values})


def july(
    prices: pd.DataFrame,
    actions: pd.DataFrame = NO_ACTIONS,
    calendar: str = "XNYS",
    now: dt.datetime = FRIDAY,
) -> Fetched:
    first, last = dt.date(2024, 7, 1), dt.date(2024, 7, 31)
    return fetch(Scripted(prices, actions), "A", first, last, Calendar(calendar), now)


def sessions(fetched: Fetched) -> list[str]:
    return [str(session.date()) for session in fetched.prices["session"]]


def test_rows_are_sorted_trimmed_and_conforming():
    fetched = july(bars("2024-07-02", "2024-07-01", "2024-06-28"))
    assert sessions(fetched) == ["2024-07-01", "2024-07-02"]
    pd.testing.assert_frame_equal(fetched.prices, PRICES.conform(fetched.prices))
    pd.testing.assert_frame_equal(fetched.actions, ACTIONS.empty())


def test_the_bar_of_a_session_still_going_on_is_dropped():
    assert sessions(july(bars("2024-07-03", "2024-07-05"))) == ["2024-07-03"]


def test_an_early_close_finishes_its_bar_early():
    afternoon = dt.datetime(2024, 7, 3, 18, tzinfo=dt.UTC)  # closed at 17:00 UTC
    both = july(bars("2024-07-02", "2024-07-03"), now=afternoon)
    assert sessions(both) == ["2024-07-02", "2024-07-03"]


def test_a_bar_on_a_day_without_session_survives_for_the_gate_to_judge():
    assert sessions(july(bars("2024-07-03", "2024-07-04"))) == ["2024-07-03", "2024-07-04"]


def test_a_bar_of_tomorrow_is_dropped_even_where_tomorrow_is_no_session():
    assert sessions(july(bars("2024-07-03", "2024-07-06"))) == ["2024-07-03"]


def test_missing_cells_stay_missing():
    fetched = july(bars("2024-07-01", "2024-07-02", open=[np.nan, 10.0], volume=[None, 5]))
    assert fetched.prices[["open", "volume"]].isna().values.tolist() == [
        [True, True],
        [False, False],
    ]


def test_an_empty_row_counts_on_sessions_only():
    empty = bars("2024-07-03", "2024-07-04", **dict.fromkeys(PRICE_COLUMNS))
    assert sessions(july(empty)) == ["2024-07-03"]


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2024-07-02T00:00:00-04:00", "2024-07-02"),
        ("2024-07-02T09:30:00-04:00", "2024-07-02"),
        ("2024-07-02T01:00:00Z", "2024-07-01"),  # still Monday evening in New York
        ("2024-07-02T00:00:00Z", "2024-07-02"),  # midnight is a way to write a date
        ("2024-07-02T16:00:00", "2024-07-02"),
    ],
)
def test_a_moment_belongs_to_the_exchanges_day(moment, session):
    assert sessions(july(bars(pd.Timestamp(moment)))) == [session]


def test_a_session_of_a_market_that_never_closes_ends_at_midnight_utc():
    evening = dt.datetime(2024, 7, 6, 23, 59, tzinfo=dt.UTC)
    saturday_and_before = bars("2024-07-05", "2024-07-06")
    assert sessions(july(saturday_and_before, calendar="24/7", now=evening)) == ["2024-07-05"]
    midnight = evening + dt.timedelta(minutes=1)
    both = july(saturday_and_before, calendar="24/7", now=midnight)
    assert sessions(both) == ["2024-07-05", "2024-07-06"]


def test_bars_of_one_session_that_are_the_same_are_one():
    """Missing cells are the same, too; a session may have the same bar several times."""
    days = ["2024-07-02", "2024-07-02", "2024-07-01", "2024-07-02", "2024-07-03", "2024-07-03"]
    fetched = july(bars(*days, volume=None))
    assert sessions(fetched) == ["2024-07-01", "2024-07-02", "2024-07-03"]
    assert fetched.left_out == ("3 rows that repeat bars of 2024-07-02 to 2024-07-03",)


def test_bars_of_one_session_that_differ_are_refused_though_each_is_there_twice():
    message = (
        r"A from scripted: 2 bars for 2024-07-02 that differ: close is 11 and nothing, and volume "
        "differ as well; one bar is expected. Remove the wrong one."
    )
    with pytest.raises(MalformedPrices, match=message):
        july(bars(*["2024-07-02"] * 4, close=[11.0, None] * 2, volume=[1, 2] * 2))


@pytest.mark.parametrize("cell", ["n/a", np.inf, True, False])
def test_a_price_that_is_no_number_is_refused(cell):
    message = r"A from scripted: close holds .*, where a number or nothing is expected"
    with pytest.raises(MalformedPrices, match=message):
        july(bars("2024-07-02", close=[cell]))


def test_a_missing_column_is_named():
    message = "A from scripted: low missing; expected date, open, high, low, close, volume, found"
    with pytest.raises(MalformedPrices, match=message):
        july(bars("2024-07-02").drop(columns="low"))


def test_a_date_that_is_none_is_refused():
    with pytest.raises(MalformedPrices, match="a date that cannot be read"):
        july(bars("soon"))


def test_actions_are_trimmed_and_joined_by_day():
    rows = [
        ("2024-06-03", "split", 2.0),
        ("2024-07-02", "dividend", 0.5),
        ("2024-07-02", "dividend", 0.25),
        ("2024-07-02", "split", 2.0),
        ("2024-07-02", "split", 3.0),
    ]
    fetched = july(
        bars("2024-07-02"),
        pd.DataFrame([*rows, ("2024-07-05", "split", 9.0)], columns=["date", "kind", "value"]),
    )
    assert fetched.actions[["kind", "value"]].values.tolist() == [
        ["dividend", 0.75],
        ["split", 6.0],
    ]


def test_a_split_of_nothing_is_refused():
    with pytest.raises(MalformedPrices, match="split of 0 on 2024-07-02; a positive split or"):
        july(
            bars("2024-07-02"),
            pd.DataFrame([("2024-07-02", "split", 0)], columns=["date", "kind", "value"]),
        )


def test_nothing_new_gives_empty_tables():
    fetched = july(bars("2024-06-28"))
    pd.testing.assert_frame_equal(fetched.prices, PRICES.empty())
    pd.testing.assert_frame_equal(fetched.actions, ACTIONS.empty())


def test_a_source_is_not_asked_for_sessions_that_are_not_over(xnys):
    source = Scripted(bars("2024-07-05"))
    fetched = fetch(source, "A", dt.date(2024, 7, 5), dt.date(2024, 7, 5), xnys, FRIDAY)
    assert (len(fetched.prices), len(fetched.actions), source.calls) == (0, 0, 0)
