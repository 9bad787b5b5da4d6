"""Made markets: stocks with volatility in clusters, half of it the market's, side by side."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np

from pipeline.models import Panel
from pipeline.sessions import Calendar

#: Steps of a session's path, from which open, high, low and close are taken.
STEPS = 24
#: Sessions that a panel knows after its own.
LATER = 6


def clustered(seed: int, stocks: int, count: int, last: dt.date = dt.date(2016, 12, 30)) -> Panel:
    """Return a market in which each log volatility reverts to its mean slowly, and others fast.

    Half of either is the market's, half the stock's own.
    """
    random = np.random.default_rng(seed)
    calendar = Calendar("XNYS")
    sessions = calendar.sessions(dt.date(1990, 1, 1), last)[-count:]
    later = calendar.next_sessions(last, LATER)
    shocks = np.sqrt(0.5) * (
        random.normal(size=(count, 1, 2)) + random.normal(size=(count, stocks, 2))
    )
    logs = np.zeros((count, stocks, 2))
    for at in range(1, count):
        logs[at] = logs[at - 1] * [0.985, 0.6] + shocks[at] * [0.07, 0.25]
    volatility = 0.012 * np.exp(logs.sum(axis=2))
    steps = random.normal(size=(count, stocks, STEPS)) * volatility[..., None] / np.sqrt(STEPS)
    path = 50 * np.exp(np.cumsum(steps.transpose(0, 2, 1).reshape(-1, stocks), axis=0))
    path = path.reshape(count, STEPS, stocks)
    volume = 1e6 * np.exp(random.normal(size=(count, stocks)) / 4) * (volatility / 0.012)
    bars = np.stack([path[:, 0], path.max(axis=1), path.min(axis=1), path[:, -1], volume], axis=2)
    days = np.array([*sessions, *later], "datetime64[D]")
    return Panel(days[:count], days[count:], calendar.hours_of(days), bars, bars[:, :, 3])


def with_bars(panel: Panel, bars: np.ndarray) -> Panel:
    """Return a panel with other bars, the close its target."""
    return dataclasses.replace(panel, bars=bars, target=bars[:, :, 3])


def of_stocks(panel: Panel, stocks: list[int]) -> Panel:
    """Return a panel of some stocks alone."""
    return with_bars(panel, panel.bars[:, stocks])
