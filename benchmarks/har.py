"""Measure the memory and the time of `har` on many stocks at once.

    python -m benchmarks.har [--stocks 1000] [--sessions 5000] [--together]

A market of random walks is made; `har` is fitted on it as `pretrain` does, and asked up to its last
session. Printed are seconds of processor time, and the peak of the process's memory with the bytes
that it is above the prices' own, for each stock and session. With --together, all stocks are worked
on at once, as before.
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import time

import numpy as np

from pipeline.models import Panel, PooledHar, har_features
from pipeline.sessions import Calendar

HORIZON = 5
FIRST, LAST = dt.date(1990, 1, 2), dt.date(2016, 12, 30)
#: Sessions that measure, at the end of the panel.
MEASURED = 252
#: Stocks that are made at once.
MADE_TOGETHER = 256


def made_panel(stocks: int, sessions: int) -> Panel:
    """Return prices of random walks."""
    random, calendar = np.random.default_rng(1), Calendar("XNYS")
    known = calendar.sessions(FIRST, calendar.last_session_until(LAST))
    days = np.array(
        [*known[-sessions:], *calendar.next_sessions(LAST, HORIZON + 1)], "datetime64[D]"
    )
    bars = np.empty((sessions, stocks, 5))
    for first in range(0, stocks, MADE_TOGETHER):
        part = bars[:, first : first + MADE_TOGETHER]
        changes = random.normal(0, 0.01, part.shape[:2])
        part[:, :, 3] = 100 * np.exp(np.cumsum(changes, axis=0).clip(-2, 2))
        part[:, :, 0] = part[:, :, 3] * np.exp(random.normal(0, 0.004, part.shape[:2]))
        above, below = np.abs(random.normal(0, 0.005, (2, *part.shape[:2])))
        part[:, :, 1] = np.maximum(part[:, :, 0], part[:, :, 3]) * np.exp(above)
        part[:, :, 2] = np.minimum(part[:, :, 0], part[:, :, 3]) * np.exp(-below)
        part[:, :, 4] = np.exp(random.normal(12, 0.4, part.shape[:2]))
    hours = calendar.hours_of(days)
    return Panel(days[:sessions], days[sessions:], hours, bars, bars[:, :, 3].copy())


def peak() -> int:
    """Return the most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Make the market, fit and ask; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stocks", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--together", action="store_true")
    arguments = parser.parse_args()
    if arguments.together:
        har_features.BLOCK_STOCKS = arguments.stocks
    panel = made_panel(arguments.stocks, arguments.sessions)
    tickers = [f"S{number}" for number in range(arguments.stocks)]
    made, cells = peak(), arguments.stocks * arguments.sessions
    began = time.process_time()
    fitted = PooledHar.fitted(panel, tickers, HORIZON, arguments.sessions - MEASURED)
    print(f"fit {time.process_time() - began:.1f} s, peak {_memory(made, cells)}")
    began = time.process_time()
    fitted.on(panel, tickers)
    print(f"ask {time.process_time() - began:.1f} s, peak {_memory(made, cells)}")


def _memory(made: int, cells: int) -> str:
    above = (peak() - made) / cells
    return f"{peak() / 1024**3:.2f} GiB ({above:.0f} bytes a stock and session above the prices)"


if __name__ == "__main__":
    main()
