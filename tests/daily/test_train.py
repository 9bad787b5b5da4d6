"""Training: a network is trained once, whichever command needs it."""

import dataclasses
import datetime as dt

import pytest

from pipeline.daily import STEPS, lineup, plan
from pipeline.errors import LookAtTheData
from pipeline.tables import CHECKS, LINEUPS, MODELS
from pipeline.training.jobs import FitJob
from tests.daily.quick_days import answer, quick_day, take_steps
from tests.made_days import NOW, TRAINED, UNIVERSE
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

FEWER = dataclasses.replace(TRAINED, tickers=("OLD", "YNG"))
ONCE = ["all", "OLD", "OLD"]


def test_the_same_day_and_another_session_of_its_cutoff_train_nothing_again(parts):
    first, second = dt.date(2013, 2, 27), dt.date(2013, 2, 28)
    quick_day(parts, first, FEWER, last="train")
    assert parts.fits == ONCE
    quick_day(parts, first, FEWER, last="train")
    assert parts.fits == ONCE
    quick_day(parts, second, FEWER, last="train")
    assert parts.fits == ONCE
    assert [m for m in parts.messages if m[0] == "train"][-1][2].endswith("is there already")
    assert len(parts.store.load(MODELS)) == 3


def test_another_universe_that_learns_from_the_same_prices_uses_the_same_networks(done):
    parts, run = done
    other = dataclasses.replace(run, universe=dataclasses.replace(TRAINED, name="other"))
    take_steps(parts, other, last="train")
    assert parts.fits == []


def test_another_training_cutoff_trains_the_new_network_alone(parts):
    run = quick_day(parts, dt.date(2013, 2, 27), FEWER, last="train")
    quick_day(parts, LAST, FEWER, last="train")
    assert parts.fits == [*ONCE, "OLD"], "its previous one is the current one of February"
    later = plan(parts, FEWER, LAST, NOW)
    [before], [after] = (lineup.load(parts, each, ["OLD"]).values() for each in (run, later))
    assert after.networks[1].model_id == before.networks[0].model_id


def test_another_seed_trains_all_again(done):
    parts, run = done
    parts.settings = parts.settings.replaced(seed=8)
    take_steps(parts, run, "pretrain", "train")
    assert parts.fits == ["all", "OLD", "OLD", "TWO", "TWO"]


def test_each_network_has_a_row_with_its_cutoff(done):
    parts, run = done
    rows = parts.store.load(MODELS).set_index("model_id")
    pools, own = lineup.shared(parts, run), lineup.load(parts, run, ["OLD"])["OLD"]
    for network in (*pools.networks, *own.networks):
        row = rows.loc[network.model_id]
        assert (row["ticker"], row["recipe"]) == (network.label, network.recipe)
        assert row["training_cutoff"].date() == network.training_cutoff
    assert (rows["epochs"] == 1).all()


def test_a_network_that_cannot_be_trained_does_not_stop_the_others(parts):
    def answer_but_for_two(job):
        if isinstance(job, FitJob) and job.label == "TWO":
            raise LookAtTheData("TWO: its loss is not finite.")
        return answer(job)

    parts.workers.answer = answer_but_for_two
    run = plan(parts, dataclasses.replace(TRAINED, tickers=("OLD", "TWO")), LAST, NOW)
    take_steps(parts, run, last="build_windows")
    STEPS["train"](parts, run, ["OLD", "TWO"])
    checks = parts.rows(CHECKS, run).set_index("ticker")["reasons"]
    assert checks.to_dict() == {"OLD": "", "TWO": "train: TWO: its loss is not finite."}
    assert sorted(parts.store.load(MODELS)["ticker"]) == ["OLD", "OLD", "all"]
    parts.workers.answer = answer
    STEPS["train"](parts, run, ["OLD", "TWO"])
    assert parts.fits.count("OLD") == 2 and parts.fits.count("TWO") == 4
    assert set(parts.rows(CHECKS, run)["verdict"]) == {"passed"}


def test_tickers_that_a_step_before_has_quarantined_are_left_out(parts):
    """A shard's tasks are all called with the tickers that it began with."""
    parts.gate.broken = {"TWO": "a jump"}
    run = plan(parts, dataclasses.replace(TRAINED, tickers=("OLD", "TWO")), LAST, NOW)
    take_steps(parts, run, last="check")
    take_steps(parts, run, "pretrain", "pretrain")
    STEPS["build_windows"](parts, run, ["OLD"])
    take_steps(parts, run, "train", "evaluate")
    assert parts.rows(LINEUPS, run)["ticker"].tolist() == ["OLD"]


def test_without_a_network_of_its_own_there_is_nothing_to_train(parts):
    quick_day(parts, universe=UNIVERSE, last="train")
    assert parts.fits == []
    for ticker in UNIVERSE.tickers:
        assert ("train", ticker, "no network of its own to train") in parts.messages
