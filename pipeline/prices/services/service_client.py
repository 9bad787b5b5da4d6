"""Requests to a price service over HTTP: with its key, at its pace, and what its refusals mean.

A key is nowhere but in the request: httpx logs the URLs that it asks for, and a service may quote
the key in its answer, so both are kept out of logs and messages.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from textwrap import shorten
from typing import Any

from pipeline.connections import Connections, key_of, where_to_set_key
from pipeline.errors import (
    RateLimited,
    SettingsError,
    SourceUnavailable,
    StockcastError,
    UnknownTicker,
)
from pipeline.prices.pacing import Pacing

#: Seconds for which nothing is asked after a service has refused a ticker for its limit until the
#: end: the limit is of an hour or a day, and the other tickers would meet it as well.
QUIET_SECONDS = 60.0
#: Characters of an answer that a message quotes.
MOST_QUOTED = 200
#: Days before a range that are asked for as well: in a week and a half there is a session, so an
#: answer without bars says something.
MARGIN = dt.timedelta(days=10)
#: HTTP's statuses for a key that is wrong, and for too many requests.
REFUSED, LIMITED = (401, 403), 429


@dataclass(frozen=True)
class Request:
    """A question to a service.

    Attributes:
        path: below the service's address.
        parameters, headers: the key may be among them.
    """

    path: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Answer:
    """An answer of a service.

    Attributes:
        status: HTTP's.
        text: its body.
        quote: the beginning of its words in one line, without the key.
    """

    status: int
    text: str
    quote: str

    def is_table(self, column: str) -> bool:
        """Return whether its first line is a header with a column."""
        names = self.text.lstrip("\ufeff").partition("\n")[0].lower().split(",")
        return self.status == 200 and len(names) > 1 and column in names

    def has_rows(self) -> bool:
        """Return whether there is anything below the first line."""
        return bool(self.text.strip().partition("\n")[2])


#: Returns the error that an answer without prices amounts to; None: it has them.
Diagnosis = Callable[[Answer], StockcastError | None]


class ServiceClient:
    """Requests to one service.

    Args:
        name: of its source, as keys and connections have it.
        title: its name in messages.
        address: of its server, without a path.
        pacing: turns and attempts.
        timeout: seconds for each single request.
        connections: where its key is found.
        needs_key: whether it answers nothing without one.
        clock: for tests: gives seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        title: str,
        address: str,
        pacing: Pacing,
        timeout: float,
        connections: Connections,
        needs_key: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.title = name, title
        self._address = address.rstrip("/")
        self._pacing, self._timeout, self._clock = pacing, timeout, clock
        self._connections, self._needs_key = connections, needs_key
        self._refused: tuple[str, SettingsError] | None = None
        self._quiet_until = 0.0
        self._limit = ""

    def ask(self, ticker: str, request: Callable[[str], Request], diagnose: Diagnosis) -> Answer:
        """Return a good answer to a request, which is made of the key.

        A wrong key and a limit hold for all tickers: the service is not asked again for each.

        Raises:
            SettingsError: there is no key, or it is refused.
            RateLimited, SourceUnavailable: there is no good answer.
            StockcastError: as the diagnosis says.
        """
        key = self._key()
        if self._clock() < self._quiet_until:
            raise RateLimited(f"{ticker}: not asked for. {self._limit}")
        try:
            return self._pacing.repeat(lambda: self._attempt(ticker, request(key), key, diagnose))
        except RateLimited as error:
            self._quiet_until, self._limit = self._clock() + QUIET_SECONDS, str(error)
            raise
        except SettingsError as error:
            if not isinstance(error, UnknownTicker):
                self._refused = key, error
            raise

    @cached_property
    def _http(self) -> Any:
        """The HTTP client, which knows the proxies of the environment."""
        import httpx

        _keep_addresses_out_of_logs()
        try:
            return httpx.Client(
                timeout=self._timeout, headers={"User-Agent": "stockcast"}, follow_redirects=True
            )
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"{self.title} cannot be asked through the proxy ({error}). Mend the variables "
                "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY."
            ) from None

    def refused_key(self, answer: Answer) -> SettingsError:
        """Return the error for an answer that refuses the key."""
        return SettingsError(
            f"{self.title} refuses the key ({answer.quote}). {where_to_set_key(self.name)}"
        )

    def limited(self, ticker: str, answer: Answer) -> RateLimited:
        """Return the error for an answer that asks for fewer requests."""
        return RateLimited(
            f"{self.title} asks for fewer requests (at {ticker}: {answer.quote}). Try again when "
            "its limit is over, or run fewer tickers."
        )

    def no_prices(self, ticker: str, answer: Answer) -> SourceUnavailable:
        """Return the error for an answer that looks like an outage."""
        return SourceUnavailable(
            f"{self.title} answered {ticker} with HTTP {answer.status} and no price data "
            f"({answer.quote[:60]!r}). Try again later."
        )

    def _key(self) -> str:
        key = key_of(self.name, self._connections)
        if not key and self._needs_key:
            raise SettingsError(f"{self.title} needs a key. {where_to_set_key(self.name)}")
        if self._refused and self._refused[0] == key:
            raise self._refused[1]
        return key

    def _attempt(self, ticker: str, request: Request, key: str, diagnose: Diagnosis) -> Answer:
        answer = self._answer(ticker, request, key)
        problem = self.limited(ticker, answer) if answer.status == LIMITED else diagnose(answer)
        if problem is not None:
            raise problem
        return answer

    def _answer(self, ticker: str, request: Request, key: str) -> Answer:
        import httpx

        try:
            response = self._http.get(
                self._address + request.path,
                params=dict(request.parameters),
                headers=dict(request.headers),
            )
            text = str(response.text)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = _quoted(str(error), key) or type(error).__name__
            raise SourceUnavailable(
                f"{self.title} gave no answer for {ticker} ({reason}). Try again later."
            ) from None
        return Answer(response.status_code, text, _quoted(_words_in(text), key))


def _words_in(text: str) -> str:
    """Return the words of an answer; those of an error in JSON are its one value."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        values = list(json.loads(text).values())
    except ValueError:
        return text
    return values[0] if len(values) == 1 and isinstance(values[0], str) else text


def _quoted(text: str, key: str) -> str:
    """Return the beginning of a text in one line, without the key."""
    hidden = text.replace(key, "...") if key else text
    words = shorten(hidden, MOST_QUOTED, placeholder=" ...")
    return words if words.endswith("...") else words.removesuffix(".")


class _WithoutAddresses(logging.Filter):
    """A filter that drops lines about requests, whose URLs may have a key in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is of something else."""
        return not str(record.msg).startswith("HTTP Request:")


def _keep_addresses_out_of_logs() -> None:
    logger = logging.getLogger("httpx")
    if not any(isinstance(each, _WithoutAddresses) for each in logger.filters):
        logger.addFilter(_WithoutAddresses())
