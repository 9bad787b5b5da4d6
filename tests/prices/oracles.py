"""Dull ways to compute what the prices room computes."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd


def adjusted_by_loop(
    prices: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date
) -> list[list[float]]:
    """Return open, high, low, close, volume, adj_close: each bar and action, one at a time."""
    bars = [bar for bar in prices.itertuples() if bar.session.date() <= cutoff]
    known = [
        action
        for action in actions.itertuples()
        if action.session.date() <= cutoff and action.value != 0
    ]
    rows = []
    for bar in bars:
        shares, kept = 1.0, 1.0
        for action in known:
            if action.session <= bar.session:
                continue
            if action.kind == "split":
                shares *= action.value
                continue
            before = [
                other
                for other in bars
                if other.session < action.session and not np.isnan(other.close)
            ]
            if not before:
                continue
            between = [
                split.value
                for split in known
                if split.kind == "split" and before[-1].session < split.session <= action.session
            ]
            kept *= 1 - action.value / (before[-1].close / np.prod(between, initial=1.0))
        rows.append(
            [
                bar.open / shares,
                bar.high / shares,
                bar.low / shares,
                bar.close / shares,
                bar.volume * shares,
                bar.close / shares * kept,
            ]
        )
    return rows
