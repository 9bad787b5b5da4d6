"""The days on which exchanges were open, kept in a file: a quick look at all calendars at once.

Building every calendar of `exchange_calendars` takes seconds, and one mismatch would build them
all. The file only says which ones are worth it. `python -m tests.prices.made_open_days` writes it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

#: Each calendar's days from `FIRST_DAY` to `LAST_DAY`, a bit each, by name.
FILE = Path(__file__).with_name("open_days.npz")
FIRST_DAY, LAST_DAY = pd.Timestamp("1990-01-01"), pd.Timestamp("2026-12-31")
#: Of so many days, one may be known otherwise by another version of `exchange_calendars`.
DAYS_PER_CHANGE = 250


def likely_calendars(
    days: pd.DatetimeIndex, own: pd.DatetimeIndex, share: float
) -> tuple[str, ...] | None:
    """Return the calendars among which the one is that fits days best; None: any may be.

    Args:
        days: those with a bar.
        own: the sessions that they are compared with.
        share: of the days in dispute between both, the one that fits is right about so many.
    """
    first, last = min(days.min(), own.min()), max(days.max(), own.max())
    begin, end = (first - FIRST_DAY).days, (last - FIRST_DAY).days + 1
    if begin < 0 or last > LAST_DAY:
        return None
    every = pd.date_range(first, last)
    has_bar, is_own = every.isin(days), every.isin(own)
    margins, slack = {}, 1 + len(days) // DAYS_PER_CHANGE
    for name, known in _open_days().items():
        theirs = known[begin:end].copy()
        is_known = np.arange(begin, end) >= int(known.argmax())
        disputed = (theirs != is_own) & is_known
        right = int((theirs == has_bar)[disputed].sum())
        if right + slack >= share * disputed.sum():
            margins[name] = 2 * right - int(disputed.sum())
    best = max(margins.values(), default=0)
    return tuple(name for name in margins if margins[name] >= best - 2 * slack)


@cache
def _open_days() -> dict[str, np.ndarray]:
    count = (LAST_DAY - FIRST_DAY).days + 1
    with np.load(FILE) as packed:
        return {
            str(name): np.unpackbits(bits, count=count).astype(bool)
            for name, bits in zip(packed["names"], packed["bits"], strict=True)
        }
