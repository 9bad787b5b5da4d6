"""The counts of networks, blends and baselines that are published in a backtest of whole days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline.reporting import counted
from pipeline.research.published_days import PUBLISHED_KINDS
from pipeline.research.shard_notes import ShardNotes

#: The column of the stocks that a day holds back.
HELD_BACK = "held_back"
_COUNTS = [*PUBLISHED_KINDS, HELD_BACK]


def kinds_table(notes: Sequence[ShardNotes]) -> pd.DataFrame:
    """Return by cutoff how many stocks are published by each kind of forecast.

    Args:
        notes: on the shards of whole days, in the order of time.

    Returns:
        Columns cutoff, those of `PUBLISHED_KINDS` and `HELD_BACK`.
    """
    rows = [
        {
            "cutoff": cutoff,
            **kinds,
            HELD_BACK: sum(cutoff in reasons for reasons in each.held_back.values()),
        }
        for each in notes
        for cutoff, kinds in each.published.items()
    ]
    return pd.DataFrame(rows, columns=["cutoff", *_COUNTS])


def kinds_in_spells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `kinds_table` for people: cutoffs in a row with equal counts are one."""
    starts = table[_COUNTS].ne(table[_COUNTS].shift()).any(axis=1).cumsum()
    rows = []
    for _, spell in table.groupby(starts):
        first = spell.iloc[0]
        counts = {name.replace("_", " "): first[name] for name in _COUNTS}
        days = {"from": first["cutoff"], "to": spell["cutoff"].iloc[-1]}
        rows.append({**days, "cutoffs": len(spell), **counts})
    return pd.DataFrame(rows)


def kinds_shares(table: pd.DataFrame) -> dict[str, float]:
    """Return which share of all that is published each kind has, as MLflow shows it."""
    sums = table[list(PUBLISHED_KINDS)].sum()
    return {f"published.{kind}": float(sums[kind] / max(sums.sum(), 1)) for kind in sums.index}


def held_back_sentences(notes: Sequence[ShardNotes]) -> Iterator[str]:
    """Yield a sentence for each ticker that days hold back, with the first reason."""
    reasons: dict[str, dict[str, str]] = {}
    for each in notes:
        for ticker, of_ticker in each.held_back.items():
            reasons.setdefault(ticker, {}).update(of_ticker)
    for ticker, of_ticker in reasons.items():
        cutoff, reason = next(iter(of_ticker.items()))
        times, reason = counted(len(of_ticker), "cutoff"), reason.removeprefix(f"{cutoff}: ")
        yield f"{ticker} is not published at {times}, first at {cutoff}: {reason}"
