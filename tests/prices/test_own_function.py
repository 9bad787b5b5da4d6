"""The function source: an entry point of an installed package, and what it may do wrong."""

import datetime as dt

import pytest

from pipeline.errors import MalformedPrices, SettingsError, SourceUnavailable, UnknownTicker
from pipeline.prices.own_function import FunctionSource
from pipeline.prices.source import Fetched, fetch
from pipeline.sessions import Calendar

NOW = dt.datetime(2013, 3, 4, 3, tzinfo=dt.UTC)
FIRST, LAST = dt.date(2013, 2, 28), dt.date(2013, 3, 1)
HEAD = "import pandas as pd\ncalls = []\ndef prices(ticker, first, last):\n"
GOOD = f"""{HEAD}    calls.append((ticker, first, last))
    days = pd.DatetimeIndex(["2013-02-27", "2013-02-28", "2013-03-01"], name="Date")
    bars = {{"Open": 10.0, "High": 12.0, "Low": 9.0, "Close": [22.0, 10.5, 11.0], "Volume": 7}}
    return pd.DataFrame({{**bars, "split": [1, 2, 1], "dividend": [0, 0, 0.25]}}, index=days)
"""


def fetched(own: FunctionSource, ticker: str = "IBM", first: dt.date = FIRST) -> Fetched:
    return fetch(own, ticker, first, LAST, Calendar("XNYS"), NOW)


def refused(kind: type[Exception], own: FunctionSource) -> str:
    with pytest.raises(kind) as caught:
        fetched(own)
    assert type(caught.value) is kind
    return str(caught.value)


def test_its_rows_are_read_as_a_files_are(install):
    own = install(GOOD)
    found = fetched(own)
    assert found.prices[["open", "high", "low", "close", "volume"]].to_numpy().tolist() == [
        [10.0, 12.0, 9.0, 10.5, 7.0],
        [10.0, 12.0, 9.0, 11.0, 7.0],
    ]
    assert found.actions[["session", "kind", "value"]].astype("str").to_numpy().tolist() == [
        ["2013-02-28", "split", "2.0"],
        ["2013-03-01", "dividend", "0.25"],
    ]
    assert own._function.__globals__["calls"] == [("IBM", FIRST, LAST)]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("return None", UnknownTicker, "The function my_prices has no IBM. Spell it as the func"),
        ("return 7", MalformedPrices, "IBM: the function my_prices returned int; a DataFrame, or"),
        (
            "raise TimeoutError('slow')",
            SourceUnavailable,
            "The function my_prices has no answer for IBM (TimeoutError: slow). Try again later.",
        ),
        ("return {}['a']", MalformedPrices, "IBM: the function my_prices fails (KeyError: 'a'). M"),
        ("return pd.DataFrame({'a': [1]})", MalformedPrices, "IBM from my_prices: no column date"),
        (
            "return pd.DataFrame({'date': ['2013-03-01'], 'close': ['x']})",
            MalformedPrices,
            "IBM from my_prices, line 2: close is 'x', where a number such as 1234.5 or nothing",
        ),
        (
            "return pd.DataFrame({'date': ['2013-03-01'], 'close': [1], 'ticker': ['AAPL']})",
            MalformedPrices,
            "IBM from my_prices: the rows are of AAPL; rows of IBM are expected.",
        ),
    ],
)
def test_what_it_may_do_wrong_is_one_line(install, body, kind, message):
    assert refused(kind, install(f"{HEAD}    {body}\n")).startswith(message)


def test_no_rows_are_nothing_new(install):
    assert len(fetched(install(f"{HEAD}    return pd.DataFrame()\n")).prices) == 0


def test_a_function_that_is_not_there_or_cannot_be_imported_is_everyones_fault(install):
    assert refused(SettingsError, FunctionSource("nope")).startswith(
        "There is no function 'nope' among the entry points of stockcast.sources: "
    )
    message = refused(SettingsError, install("import nothing_like_it\n"))
    assert message.startswith("The function my_prices (made_package_")
    assert "cannot be imported (ModuleNotFoundError: No module named 'nothing_like_it')" in message
