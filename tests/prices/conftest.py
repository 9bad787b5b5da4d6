"""Sources of every kind over the same short history, and a Yahoo that runs on loopback."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.prices.own_function import FunctionSource
from pipeline.prices.yahoo import YahooSource
from pipeline.sessions import Calendar
from tests.yahoo_market import Market
from tests.yahoo_server import YahooServer

#: The evening of a Monday; NVDA was split 10:1 three weeks before.
EVENING = dt.datetime(2024, 7, 1, 22, tzinfo=dt.UTC)

_numbers = itertools.count()


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
    yahoo_process.summaries.clear()
    yahoo_process.summary_reply = None
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


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what installs a package with a function of this code, and returns its source."""

    def installed(code: str, value: str = "{module}:prices") -> FunctionSource:
        module = f"made_package_{next(_numbers)}"
        (tmp_path / f"{module}.py").write_text(code)
        details = tmp_path / f"{module}-1.0.dist-info"
        details.mkdir()
        (details / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (details / "entry_points.txt").write_text(
            f"[stockcast.sources]\nmy_prices = {value.format(module=module)}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        return FunctionSource("my_prices")

    return installed
