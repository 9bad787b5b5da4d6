"""The libraries behind the yahoo source, set up for it: yfinance, and the HTTP session it uses."""

from __future__ import annotations

import atexit
import logging
import threading
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.extras import require
from pipeline.leftovers import TemporaryFolder, sweep_folders

#: The paths of requests for prices, and for what is ahead.
CHART_PATH = "/v8/finance/chart/"
SUMMARY_PATH = "/v10/finance/quoteSummary/"
RECORDED_PATHS = (CHART_PATH, SUMMARY_PATH)


@cache
def yfinance_client(cache_folder: Path) -> ModuleType:
    """Return yfinance, set up for this process: failures raise.

    Its SQLite caches, which workers would lock, are in a folder of this process.

    Raises:
        SettingsError: it is not installed.
    """
    require("yfinance", "The yahoo source")
    import yfinance

    cache_folder.mkdir(parents=True, exist_ok=True)
    sweep_folders(cache_folder)
    process_folder = TemporaryFolder("yfinance", cache_folder)
    atexit.register(process_folder.remove)
    yfinance.set_tz_cache_location(str(process_folder.path))
    yfinance.config.debug.hide_exceptions = False
    # It also prints that a cookie could not be fetched, for every try; our own error reports an
    # outage once.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    # yfinance 1.7 calls pandas in ways that pandas 4 will drop, on every fetch; a reader of our log
    # cannot mend that.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
    client: ModuleType = yfinance
    return client


class RecordedSession:
    """An HTTP session that remembers, per thread, the last answer about prices or events.

    It lets no request take longer than the timeout: yfinance gives some requests a timeout of their
    own, three times 30 seconds in the worst case.

    Args:
        transport: the session's class; None: curl_cffi's, which yfinance itself would choose.
        timeout: seconds for a single request.

    Attributes:
        session: the session for yfinance.
    """

    def __init__(self, transport: type | None, timeout: float) -> None:
        if transport is None:
            from curl_cffi.requests import Session

            transport = Session
        self._timeout = timeout
        self._answers = threading.local()
        self.session: Any = transport(impersonate="chrome")
        self._send = self.session.request
        self.session.request = self._request

    def forget(self) -> None:
        """Forget this thread's last answers."""
        self._last().clear()

    def last_answer(self, path: str = CHART_PATH) -> tuple[int, str] | None:
        """Return HTTP status and body of this thread's last answer; None: there was none.

        Args:
            path: one of `RECORDED_PATHS`.
        """
        return self._last().get(path)

    def _request(self, method: str, url: str, **options: Any) -> Any:
        options["timeout"] = min(options.get("timeout") or self._timeout, self._timeout)
        path = next((each for each in RECORDED_PATHS if each in url), None)
        if path is None:
            return self._send(method, url, **options)
        answers = self._last()
        answers.pop(path, None)
        response = self._send(method, url, **options)
        answers[path] = (response.status_code, response.text)
        return response

    def _last(self) -> dict[str, tuple[int, str]]:
        """Return this thread's last answers by path."""
        if not hasattr(self._answers, "last"):
            self._answers.last = {}
        last: dict[str, tuple[int, str]] = self._answers.last
        return last
