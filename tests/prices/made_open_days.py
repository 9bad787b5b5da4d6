"""The file of all exchanges' open days: `python -m tests.prices.made_open_days` writes it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.errors import SettingsError
from pipeline.prices.open_days import FILE, FIRST_DAY, LAST_DAY
from pipeline.sessions import Calendar, calendar_names


def open_days() -> dict[str, np.ndarray]:
    """Return by calendar whether each day is a session, packed into bits."""
    days, known = pd.date_range(FIRST_DAY, LAST_DAY), {}
    for name in calendar_names():
        try:
            calendar = Calendar(name)
        except SettingsError:
            continue
        sessions = pd.DatetimeIndex(calendar.sessions(FIRST_DAY.date(), LAST_DAY.date()))
        known[name] = np.packbits(days.isin(sessions))
    return known


if __name__ == "__main__":
    known = open_days()
    np.savez_compressed(FILE, names=np.array(list(known)), bits=np.array(list(known.values())))
