"""Shards: which tickers share a task, and how many are worked on at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.models import PriceRecipe
from pipeline.run import Run

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Tickers up to which each has a task of its own, and so its name in the grid.
NAMED_TASKS = 12
#: Airflow refuses more than 1,024 mapped tasks.
MOST_SHARDS = 1000
#: The cost of a ticker however short its history is, in sessions of history.
FIXED_COST = 500


def shards(
    tickers: list[str],
    shard_size: int,
    workers: int,
    recipe: PriceRecipe | None = None,
    costs: Mapping[str, float] | None = None,
) -> list[list[str]]:
    """Return which tickers share a task.

    Up to `NAMED_TASKS` tickers have one each; beyond, there are two tasks a worker. All tickers
    share one where `recipe` trains one network on all.

    Args:
        shard_size: tickers that a task has; 0: as above.
        costs: what each ticker takes, in any unit, so that tasks take about as long as each other;
            None: all take the same.
    """
    if not tickers or (recipe is not None and recipe.pooled):
        return [tickers] if tickers else []
    own_task = len(tickers) <= NAMED_TASKS
    size = shard_size or (1 if own_task else -(-len(tickers) // (2 * workers)))
    count = min(-(-len(tickers) // size), MOST_SHARDS)
    if costs is None or count == len(tickers):
        return list(chunks(tickers, -(-len(tickers) // count)))
    # The dearest first, each to the task that has the least to do (Graham 1969): at most a third
    # slower than the best there is.
    place = {ticker: number for number, ticker in enumerate(tickers)}
    loads = [0.0] * count
    filled: list[list[str]] = [[] for _ in range(count)]
    for ticker in sorted(tickers, key=lambda ticker: (-costs[ticker], place[ticker])):
        lightest = loads.index(min(loads))
        loads[lightest] += costs[ticker]
        filled[lightest].append(ticker)
    in_order = [sorted(shard, key=place.__getitem__) for shard in filled if shard]
    return sorted(in_order, key=lambda shard: place[shard[0]])


def costs_of(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, float]:
    """Return what training and measuring each ticker costs, in sessions of history."""
    bars = parts.store.prices.bar_counts(run.universe.source_id, run.session)
    return {ticker: float(bars.get(ticker, 0) + FIXED_COST) for ticker in tickers}


def chunks(tickers: Sequence[str], count: int) -> Iterator[list[str]]:
    """Yield the tickers, `count` at a time."""
    for start in range(0, len(tickers), count):
        yield list(tickers[start : start + count])
