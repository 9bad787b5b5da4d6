"""The meaning of Yahoo's answers without prices."""

import datetime as dt
import json

import pytest

from pipeline.errors import MalformedPrices, SourceUnavailable, UnknownTicker
from pipeline.prices.yahoo_answers import diagnose

FIRST = dt.date(2024, 7, 1)


def chart(result: object = None, code: str = "", description: str = "") -> str:
    """Return an answer's body with a result, or with an error where there is a code."""
    error = {"code": code, "description": description} if code else None
    return json.dumps({"chart": {"result": result, "error": error}})


def traded_at(moment: int) -> str:
    """Return a body without bars that reports the last trade, New York's time."""
    return chart([{"meta": {"regularMarketTime": moment, "gmtoffset": -14400}}])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, SourceUnavailable),
        ((404, chart(code="Not Found", description="delisted")), UnknownTicker),
        ((404, "<html>Not Found</html>"), SourceUnavailable),
        ((401, chart(code="Unauthorized", description="Invalid Crumb")), SourceUnavailable),
        (
            (400, chart(code="Bad Request", description="Data doesn't exist for startDate = 1")),
            None,
        ),
        ((503, chart()), SourceUnavailable),
        ((200, '{"finance": {}}'), SourceUnavailable),
        ((200, "[]"), SourceUnavailable),
        ((200, chart([{"meta": {}}])), SourceUnavailable),
        ((200, traded_at(1719600000)), None),  # 2024-06-28
        ((200, traded_at(1719864000)), SourceUnavailable),  # 2024-07-01
        ((200, chart([{"meta": {}, "timestamp": [1]}])), MalformedPrices),
    ],
)
def test_only_an_answer_that_says_so_means_nothing_new(answer, expected):
    problem = diagnose("A", FIRST, answer, KeyError("volume"))
    assert type(problem) is (expected or type(None))


def test_a_reason_is_quoted_without_the_words_that_curl_puts_around_it():
    error = ConnectionError(
        "Failed to perform, curl: (6) Could not resolve host: query2.finance.yahoo.com. See "
        "https://curl.se/libcurl/c/libcurl-errors.html first for more details."
    )
    assert str(diagnose("KO", FIRST, None, error)) == (
        "Yahoo gave no answer for KO (Could not resolve host: query2.finance.yahoo.com). Try again "
        "later."
    )
