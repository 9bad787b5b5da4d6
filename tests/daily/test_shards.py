"""Shards: named tasks in a small universe, few and equal ones in a large one."""

import dataclasses
import itertools

from pipeline.daily import MOST_SHARDS, costs_of, plan, shards
from pipeline.daily.shards import FIXED_COST, chunks
from tests.daily.quick_days import take_steps
from tests.made_days import NOW, SMALL, UNIVERSE
from tests.made_prices import LAST


def test_each_ticker_is_named_in_a_small_universe_and_a_large_one_has_few_tasks():
    few, many = [f"T{n}" for n in range(12)], [f"T{n}" for n in range(505)]
    assert shards(few, 0, 2) == [[ticker] for ticker in few]
    assert [len(shard) for shard in shards(many, 0, 2)] == [127, 127, 127, 124]
    assert list(itertools.chain(*shards(many, 7, 2))) == many
    assert len(shards([f"T{n}" for n in range(5000)], 1, 2)) <= MOST_SHARDS


def test_shards_of_tickers_that_cost_more_or_less_take_as_long_as_each_other():
    tickers = [f"T{number:02}" for number in range(40)]
    costs = {ticker: 1000.0 if number < 10 else 100.0 for number, ticker in enumerate(tickers)}
    shared = shards(tickers, 0, 1, costs=costs)
    assert sorted(itertools.chain(*shared)) == tickers
    assert [sum(costs[ticker] for ticker in shard) for shard in shared] == [6500.0, 6500.0]
    assert all(shard == sorted(shard) for shard in shared)
    cheap, dear = (shards(tickers, 0, 1, costs=dict.fromkeys(tickers, cost)) for cost in (1.0, 9.0))
    assert cheap == dear


def test_all_tickers_share_the_task_of_a_recipe_that_trains_one_network_on_all():
    pooled = dataclasses.replace(SMALL, pooled=True, fine_tuning=None)
    assert shards(["A", "B"], 1, 2, pooled) == [["A", "B"]]
    assert shards([], 0, 2) == shards([], 0, 2, pooled) == []


def test_a_ticker_costs_its_history_and_something_however_short_that_is(parts):
    run = plan(parts, UNIVERSE, LAST, NOW)
    take_steps(parts, run, last="ingest")
    assert costs_of(parts, run, ["AAA", "CCC", "NEW"]) == {
        "AAA": 120.0 + FIXED_COST,
        "CCC": 122.0 + FIXED_COST,
        "NEW": FIXED_COST,
    }


def test_chunks_are_in_order_and_the_last_is_shorter():
    assert list(chunks("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
