"""Pretraining: the networks that all stocks train together, of both pool cutoffs."""

import dataclasses

from pipeline.daily import lineup, plan
from pipeline.tables import DATASETS
from tests.daily.quick_days import take_steps
from tests.made_days import NOW, TRAINED
from tests.made_prices import LAST

TWO_TICKERS = dataclasses.replace(TRAINED, tickers=("OLD", "TWO"))


def test_a_pooled_network_learns_from_every_ticker_that_has_enough_history(parts):
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="pretrain")
    [job] = parts.workers.jobs
    assert sorted(job.training_files) == ["OLD", "TWO"]


def test_a_quarantined_ticker_gives_its_share_to_the_pooled_network(parts):
    """A pooled network is not trained again for a bad bar that is masked a week later."""
    parts.gate.broken = {"TWO": "a jump"}
    run = plan(parts, TWO_TICKERS, LAST, NOW)
    take_steps(parts, run, last="pretrain")
    [job] = parts.workers.jobs
    assert sorted(job.training_files) == ["OLD", "TWO"]


def test_a_recipe_that_goes_on_from_no_other_network_has_nothing_pretrained(parts):
    universe = dataclasses.replace(TWO_TICKERS, recipe="castilla.faithful")
    run = plan(parts, universe, LAST, NOW)
    take_steps(parts, run, last="pretrain")
    assert parts.fits == []
    message = "castilla.faithful trains no network that others go on from"
    assert parts.messages[-1] == ("pretrain", "", message)


def test_one_network_serves_both_cutoffs_where_they_are_in_the_same_quarter(done):
    parts, run = done
    assert run.pool_cutoff == run.previous_pool_cutoff
    assert len(lineup.shared(parts, run).networks) == 1
    rows = parts.rows(DATASETS, run)
    pooled = rows[rows["role"].isin(["pool", "previous_pool"])]
    assert pooled.groupby("ticker")["dataset"].nunique().to_dict() == {"OLD": 1, "TWO": 1}


def test_where_no_ticker_has_enough_history_the_reason_is_shown(parts):
    run = plan(parts, dataclasses.replace(TRAINED, tickers=("AAA",)), LAST, NOW)
    take_steps(parts, run, last="pretrain")
    message = f"no ticker has enough history up to {run.pool_cutoff}"
    assert parts.messages[-1] == ("pretrain", "", message)
    assert lineup.shared(parts, run).networks == ()
