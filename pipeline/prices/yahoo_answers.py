"""The meaning of Yahoo's answers that hold no prices.

It is read off Yahoo's own last answer, not off yfinance's exceptions: those are the same for an
outage, an unknown ticker and a range without bars. (Read against yfinance 1.7.)
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

from pipeline.errors import (
    MalformedPrices,
    RateLimited,
    SourceUnavailable,
    StockcastError,
    UnknownTicker,
)

#: Errors that yfinance raises when an answer is JSON but not prices.
UNREADABLE_ANSWER_ERRORS = (KeyError, IndexError, ValueError, TypeError, AttributeError)
#: The words that curl puts around the reason.
CURL_PHRASES = re.compile(
    r"Failed to perform, curl: \(\d+\) |\. See https://curl\.se/\S+ first for more details\.?"
)

#: The currency of an answer's prices, among what it says about the ticker before them.
CURRENCY = re.compile(r'"currency"\s*:\s*"(\w+)"')


def currency_of_answer(answer: tuple[int, str] | None) -> str:
    """Return the currency that an answer names, GBp of a price in pence; "": it names none."""
    match = CURRENCY.search(answer[1]) if answer else None
    return match[1] if match else ""


def diagnose(
    ticker: str, first: dt.date, answer: tuple[int, str] | None, error: Exception | None
) -> StockcastError | None:
    """Return the error that an attempt without prices amounts to.

    Args:
        answer: HTTP status and body of the last request for prices; None: there was no answer.
        error: yfinance's error; None: it raised none.

    Returns:
        None when Yahoo answered, and has no bars since `first`.
    """
    if answer is None:
        return SourceUnavailable(
            f"Yahoo gave no answer for {ticker} ({_one_line(error)}). Try again later."
        )
    status, body = answer
    if status == 429 or "Too Many Requests" in body[:200]:
        return RateLimited(
            f"Yahoo asks for fewer requests (at {ticker}). Wait some minutes, or run fewer tickers "
            "at a time."
        )
    chart = _chart(body)
    if chart is None:
        return SourceUnavailable(
            f"Yahoo answered {ticker} with HTTP {status} and no price data "
            f"({_one_line(body)[:60]!r}). Try again later."
        )
    complaint = chart.get("error")
    if complaint:
        return _diagnose_complaint(ticker, status, complaint)
    results = chart.get("result")
    result = results[0] if isinstance(results, list) and results else None
    if status != 200 or not isinstance(result, dict):
        return SourceUnavailable(
            f"Yahoo answered {ticker} with HTTP {status} and an empty result. Try again later."
        )
    if not result.get("timestamp"):
        return _diagnose_no_bars(ticker, first, result.get("meta"))
    if isinstance(error, UNREADABLE_ANSWER_ERRORS) or type(error).__module__.startswith("yfinance"):
        return MalformedPrices(
            f"{ticker}: Yahoo's answer cannot be read as prices ({_one_line(error)}). Compare it "
            "with an older version's."
        )
    return SourceUnavailable(
        f"{ticker}: Yahoo's answer was lost on the way ({_one_line(error)}). Try again."
    )


def _diagnose_complaint(ticker: str, status: int, complaint: object) -> StockcastError | None:
    """Return the error for an answer in which Yahoo gives a reason; None: there are no bars."""
    code, text = "", str(complaint)
    if isinstance(complaint, dict):
        code, text = (str(complaint.get(key, "")) for key in ("code", "description"))
    if status == 404 and code == "Not Found":
        return UnknownTicker(
            f"Yahoo does not know {ticker} ({_one_line(text)}). Spell it as finance.yahoo.com "
            "does, such as BRK-B or BTC-USD."
        )
    if status == 400 and text.startswith("Data doesn't exist for startDate"):
        return None
    return SourceUnavailable(
        f"Yahoo answered {ticker} with HTTP {status}: {_one_line(text or code)[:120]}. Try again "
        "later."
    )


def _diagnose_no_bars(ticker: str, first: dt.date, meta: object) -> SourceUnavailable | None:
    """Return the error for a good answer without bars.

    Returns:
        None when the last trade that Yahoo itself reports is before `first`; otherwise the empty
        answer contradicts it.
    """
    newest = _last_traded(meta)
    if newest is None:
        return SourceUnavailable(
            f"Yahoo sent no bars for {ticker} since {first} and does not say when it last traded. "
            "Try again later."
        )
    if newest >= first:
        return SourceUnavailable(
            f"Yahoo sent no bars for {ticker} since {first}, though it traded on {newest}. Try "
            "again later."
        )
    return None


def _last_traded(meta: object) -> dt.date | None:
    """Return the day of the last trade that an answer reports; None: it reports none."""
    if not isinstance(meta, dict):
        return None
    try:
        moment = meta["regularMarketTime"] + meta.get("gmtoffset", 0)
        return dt.datetime.fromtimestamp(moment, dt.UTC).date()
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _chart(body: str) -> dict[str, Any] | None:
    """Return an answer's chart object; None: it is something else, such as a page of HTML."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    chart = answer.get("chart") if isinstance(answer, dict) else None
    return chart if isinstance(chart, dict) else None


def _one_line(value: object) -> str:
    text = CURL_PHRASES.sub("", " ".join(str(value).split()))
    return text or ("" if isinstance(value, str) else type(value).__name__)
