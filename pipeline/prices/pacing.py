"""The pace of requests to a service: one ticker at a time, pauses before an attempt is repeated."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import RateLimited, SourceUnavailable

Answer = TypeVar("Answer")

#: Seconds before the second attempt, doubled for each one after.
RETRY_PAUSE = 1.0
#: ... when a service asks for fewer requests.
LIMITED_RETRY_PAUSE = 5.0


class Pacing:
    """Turns and attempts of requests.

    Args:
        attempts: tries before a ticker counts as unavailable, at least 1.
        rate: requests in a second, at most.
        sleep: waits so many seconds.
        random: gives numbers from 0 to 1, by which pauses vary.
    """

    def __init__(
        self,
        attempts: int,
        rate: float,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._attempts = attempts
        self._sleep = sleep
        self._random = random
        self._seconds_between = 1 / rate
        self._next_turn = 0.0

    def repeat(self, request: Callable[[], Answer]) -> Answer:
        """Return the answer of the first attempt that succeeds.

        Raises:
            SourceUnavailable: none did.
        """
        for attempt in range(self._attempts):
            self._wait_for_turn()
            try:
                return request()
            except SourceUnavailable as error:
                if attempt + 1 == self._attempts:
                    raise type(error)(f"{error} Tried {self._attempts} times.") from error
                pause = LIMITED_RETRY_PAUSE if isinstance(error, RateLimited) else RETRY_PAUSE
                self._sleep(pause * 2**attempt * (0.5 + self._random()))
        raise AssertionError("unreachable: attempts is at least 1")

    def _wait_for_turn(self) -> None:
        now = time.monotonic()
        if self._next_turn > now:
            self._sleep(self._next_turn - now)
        self._next_turn = max(now, self._next_turn) + self._seconds_between
