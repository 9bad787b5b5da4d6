"""A backtest's text, tables and runs from made forecasts."""

import dataclasses
import datetime as dt
import io

import pandas as pd
import pytest

from pipeline.research.backtest_plan import BacktestPlan, Block
from pipeline.research.backtest_report import (
    BacktestComparison,
    comparison_runs,
    comparison_tables,
    comparison_text,
)
from pipeline.research.backtest_request import Forecaster
from pipeline.research.distribution_table import distribution_tables
from pipeline.research.leaderboard import leaderboard
from pipeline.research.shard_notes import ShardNotes
from pipeline.universes import Universe
from tests.made_backtests import TINY
from tests.made_forecasts import FIRST_DAY, SPREADS, forecasts_of


@pytest.fixture(scope="module")
def comparison():
    """Return two blocks of "wide", a network, and of both baselines; some pairs are left out."""
    days = [FIRST_DAY + dt.timedelta(days=number) for number in range(52)]
    blocks = tuple(
        Block(number, tuple(days[start : start + 25]), days[start + 1], days[start + 26])
        for number, start in enumerate((0, 25))
    )
    forecasters = [Forecaster(name, TINY if name == "wide" else None) for name in SPREADS]
    plan = BacktestPlan(
        universe=Universe("made", "sample", ("AAA", "BBB", "CCC"), horizon=2),
        forecasters=tuple(forecasters),
        blocks=blocks,
        step=1,
        refit=25,
        embargo=2,
        warm_start=False,
        prices="",
        actions="",
    )
    notes = {
        "wide": ShardNotes(
            left_out={"CCC": "CCC: too short."},
            weights={"AAA": 0.5, "BBB": 0.25},
            baselines={"AAA": "har", "BBB": "ewma"},
        ),
        "naive": ShardNotes(stood_in={"AAA": ["2020-01-02"], "BBB": ["2020-01-05"]}),
        "ewma": ShardNotes(),
    }
    table = forecasts_of()
    remarks = [(forecaster, block, notes[forecaster.name]) for forecaster, block in plan.shards]
    worth = distribution_tables(table, {})
    return BacktestComparison(plan, remarks, 103, table, leaderboard(table), worth)


def test_the_text_describes_the_cutoffs_and_what_is_lacking(comparison):
    text = " ".join(comparison_text(comparison).split())
    assert text.startswith(
        "close of AAA, BBB, 1 to 2 sessions ahead, from 50 cutoffs between 2020-01-01 and "
        "2020-02-19, every session. Networks are fitted at every 25 cutoffs, 2 times; an embargo "
        "of 2 sessions lies between"
    )
    assert "3 of 103 pairs of ticker and cutoff are left out" in text
    assert "Networks of wide have 25% to 50% of a blend with ewma and har." in text
    assert "naive could not be fitted 4 times, first at AAA 2020-01-02: the EWMA" in text
    assert text.endswith("left out of 2 blocks by wide: CCC: too short.")


def test_a_recipe_without_any_weight_is_called_its_baseline(comparison):
    wide = comparison.plan.forecasters[list(SPREADS).index("wide")]
    notes = ShardNotes(weights={"AAA": 0.0, "BBB": 0.0}, baselines={"AAA": "har", "BBB": "har"})
    plain = dataclasses.replace(comparison, notes=[(wide, comparison.plan.blocks[0], notes)])
    text = " ".join(comparison_text(plain).split())
    assert text.endswith(
        "Networks of wide have no weight beside har: its line is that, calibrated."
    )


def test_nothing_lacking_is_not_mentioned(comparison):
    block = comparison.plan.blocks[0]
    whole = dataclasses.replace(
        comparison, plan=dataclasses.replace(comparison.plan, blocks=(block,)), notes=[], pairs=100
    )
    text = " ".join(comparison_text(whole).split())
    assert "Networks are fitted once; an embargo" in text
    assert "left out" not in text
    assert "stands in" not in text


def test_whole_days_have_their_counts_in_the_text_a_table_and_their_run(comparison):
    day = Forecaster("wide", TINY, settings=(("seed", 7),))
    plan = dataclasses.replace(comparison.plan, forecasters=(day,))
    published = {"network": 0, "blend": 3, "har": 1, "ewma": 0, "naive": 0}
    held_back = {"AAA": {"2020-01-01": "AAA: no close."}}
    notes = ShardNotes(published={"2020-01-01": published}, held_back=held_back)
    whole = dataclasses.replace(comparison, plan=plan, notes=[(day, plan.blocks[0], notes)])
    text = " ".join(comparison_text(whole).split())
    assert "published is what whole days would have published, which train monthly." in text
    assert "2020-01-01 2020-01-01 1 0 3 1 0 0 1" in text
    assert text.endswith("AAA is not published at 1 cutoff, first at 2020-01-01: AAA: no close.")
    row = b"2020-01-01,0,3,1,0,0,1"
    assert row in comparison_tables(whole)["published.csv"]
    [run] = comparison_runs(whole)
    assert run.metrics["published.blend"] == 0.75
    assert row in run.files["published.csv"]


def test_the_weights_of_each_block_are_a_table(comparison):
    file = comparison_tables(comparison)["weights.csv"]
    rows = pd.read_csv(io.BytesIO(file)).to_numpy().tolist()
    assert rows == [
        ["wide", "2020-01-01", "AAA", 0.5, "har"],
        ["wide", "2020-01-01", "BBB", 0.25, "ewma"],
        ["wide", "2020-01-26", "AAA", 0.5, "har"],
        ["wide", "2020-01-26", "BBB", 0.25, "ewma"],
    ]


def test_each_forecaster_is_a_run_with_its_own_figures(comparison):
    runs = {run.title: run for run in comparison_runs(comparison)}
    assert list(runs) == list(SPREADS)
    board = comparison.board.set_index(["recipe", "horizon"])
    for name, run in runs.items():
        assert run.metrics["pinball"] == board.loc[(name, 0), "pinball"]
        assert run.metrics["pinball.h2"] == board.loc[(name, 2), "pinball"]
        figures = comparison.worth.distributions.set_index(["recipe", "horizon"])
        assert run.metrics["crps"] == figures.loc[(name, 0), "crps"]
        assert run.metrics["qlike.h1"] == figures.loc[(name, 1), "qlike"]
        assert (run.params["step"], run.params["refit"]) == (1, 25)
        own = pd.read_csv(io.BytesIO(run.files["leaderboard.csv"]))
        assert set(own["recipe"]) == {name}
    assert (runs["wide"].tags["mode"], runs["ewma"].tags["mode"]) == ("honest", "baseline")
    assert runs["wide"].params["recipe"] == "tiny"
    assert "seed" in runs["wide"].params
    assert "seed" not in runs["naive"].params
