"""Say in the log what is waited for, while it does not answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Longer than any answer takes that comes; a client's own attempts take minutes.
SECONDS_IN_SILENCE = 30.0

log = logging.getLogger(__name__)


@contextmanager
def say_what_is_awaited(address: str) -> Iterator[None]:
    """Warn after every `SECONDS_IN_SILENCE` that the work inside has not ended.

    Args:
        address: of the server that is asked.
    """
    began = time.monotonic()
    is_over = threading.Event()

    def warn() -> None:
        while not is_over.wait(SECONDS_IN_SILENCE):
            seconds = time.monotonic() - began
            log.warning(
                "Still waiting for %s, for %.0f s: does its server answer?", address, seconds
            )

    threading.Thread(target=warn, name="awaited", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
