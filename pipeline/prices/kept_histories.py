"""Kept histories: what one step has read, for the step after it in the same process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.prices.history import Histories

#: Bars that are kept at most: with what is made of them, a million take 350 MB.
MOST_KEPT_BARS = 700_000


@dataclass(frozen=True)
class HistoryRequest:
    """A request for histories, but for its tickers; see `histories_as_of`."""

    source_id: str
    cutoff: dt.date
    known_at: dt.datetime | None
    first: dt.date | None
    repair: bool


class KeptHistories:
    """The histories of one request that a later step asks for again.

    What another request keeps, of another session for example, takes their place.

    Args:
        most_bars: no more than these are kept.
    """

    def __init__(self, most_bars: int = MOST_KEPT_BARS) -> None:
        self._most_bars = most_bars
        self._request: HistoryRequest | None = None
        self._kept: list[tuple[frozenset[str], Histories]] = []

    def keep(self, request: HistoryRequest, tickers: Sequence[str], histories: Histories) -> None:
        """Keep the histories of these tickers, where there is room."""
        if request != self._request:
            self._request, self._kept = request, []
        bars = sum(len(each.bars) for _, each in self._kept)
        if bars + len(histories.bars) <= self._most_bars:
            self._kept.append((frozenset(tickers), histories))

    def take(self, request: HistoryRequest, tickers: Sequence[str]) -> Histories | None:
        """Return histories that have these tickers, and keep them no longer; None: none have."""
        if request != self._request:
            return None
        for number, (own, histories) in enumerate(self._kept):
            if own.issuperset(tickers):
                del self._kept[number]
                return histories
        return None
