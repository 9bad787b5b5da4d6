"""Sources of every kind over the same short history, and a Yahoo that runs on loopback."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.prices.yahoo import YahooSource
from pipeline.sessions import Calendar
from tests.yahoo_market import Market
from tests.yahoo_server import YahooServer

#: The evening of a Monday; NVDA was split 10:1 three weeks before.
EVENING = dt.datetime(2024, 7, 1, 22, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def xnys() -> Calendar:
    return Calendar("XNYS")


@pytest.fixture(scope="session")
def yahoo_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YahooServer]:
    with YahooServer(
        Market(EVENING, first_day=dt.date(2022, 1, 3)),
        tmp_path_factory.mktemp("certificates"),
        hang_seconds=20,
    ) as server:
        yield server


@pytest.fixture
def yahoo_server(yahoo_process: YahooServer) -> YahooServer:
    """Return a server in good health on the evening of 2024-07-01, without a memory."""
    yahoo_process.recover()
    yahoo_process.market = Market(EVENING, first_day=dt.date(2022, 1, 3))
    yahoo_process.requests.clear()
    return yahoo_process


@pytest.fixture(scope="session")
def yahoo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one folder for all tests: yfinance's caches belong to the process."""
    return tmp_path_factory.mktemp("yfinance")


@pytest.fixture
def pauses() -> list[float]:
    """Return the list of the seconds that a source would have slept."""
    return []


@pytest.fixture
def yahoo(yahoo_server: YahooServer, yahoo_cache: Path, pauses: list[float]) -> YahooSource:
    """Return the real client; only the host that its session connects to is another."""
    return make_yahoo(yahoo_server, yahoo_cache, pauses.append)


def make_yahoo(
    server: YahooServer,
    cache_folder: Path,
    sleep: Callable[[float], None],
    timeout: float = 5.0,
    rate: float = math.inf,
) -> YahooSource:
    return YahooSource(
        cache_folder,
        attempts=2,
        timeout=timeout,
        rate=rate,
        sleep=sleep,
        random=lambda: 0.5,
        clock=lambda: server.market.now,
        transport=loopback_session(server.port),
    )


def loopback_session(port: int) -> type:
    from curl_cffi.requests import Session

    class LoopbackSession(Session):
        def request(self, method: str, url: str, **options: object) -> object:
            parts = urlsplit(url)
            if not parts.hostname.endswith("yahoo.com"):
                raise ConnectionRefusedError(f"{parts.hostname} is not Yahoo.")
            return super().request(method, f"http://127.0.0.1:{port}{parts.path}", **options)

    return LoopbackSession
