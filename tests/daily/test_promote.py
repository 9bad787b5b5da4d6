"""Promotion: decided from the kept choices, with the alias on the newest session's champion."""

import dataclasses
import datetime as dt

import pandas as pd
import pytest

from pipeline.daily import STEPS, lineup, plan
from pipeline.decisions import choice_measures
from pipeline.errors import NothingStored
from pipeline.tables import FORECASTS, PROMOTIONS
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import NOW, TRAINED, UNIVERSE
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

ONE = dataclasses.replace(UNIVERSE, tickers=("AAA",))
UNEVALUATED = (
    r"AAA 2013-03-01: it has not been evaluated\. "
    r"Run `train` and `evaluate` for this session first\."
)


def test_a_ticker_that_was_not_evaluated_is_named_and_does_not_stop_the_others(done):
    parts, run = done
    own = parts.settings.home / "artifacts" / "choices"
    [choice, *_] = sorted(own.glob("*.npz"))
    choice.unlink()
    take_steps(parts, run, "promote", "publish")
    assert len(parts.rows(PROMOTIONS, run)) == len(run.universe.tickers) - 1
    [message] = [m[2] for m in parts.messages if "not been evaluated" in m[2]]
    assert "Run `train` and `evaluate` for this session first." in message


def test_where_no_ticker_was_evaluated_nothing_can_be_promoted(parts):
    run = plan(parts, ONE, LAST, NOW)
    take_steps(parts, run, last="build_windows")
    with pytest.raises(NothingStored, match=UNEVALUATED):
        STEPS["promote"](parts, run)


def test_the_alias_is_on_the_champions_of_a_universe_as_it_is_declared(done):
    parts, run = done
    take_steps(parts, run, "promote", "publish")
    rows = parts.rows(PROMOTIONS, run).set_index("ticker")
    assert parts.tracked.champions == {
        "OLD": rows.loc["OLD", "model_id"],
        "TWO": rows.loc["TWO", "model_id"],
        "YNG": rows.loc["YNG", "model_id"],
        "AAA": "har",
    }


def test_what_is_decided_is_shown_once_it_is_published(done):
    """A process that is killed between the two steps leaves what was published as it was."""
    parts, run = done
    parts.store.replace(PROMOTIONS, PROMOTIONS.empty(), **run.key)
    parts.tracked.champions.clear()
    take_steps(parts, run, "promote", "promote")
    assert parts.rows(PROMOTIONS, run).empty and parts.tracked.champions == {}
    take_steps(parts, run, "publish", "publish")
    assert len(parts.rows(PROMOTIONS, run)) == len(parts.tracked.champions) == 4


def test_a_rehearsal_moves_no_alias(parts):
    run = quick_day(parts, LAST, ONE.as_rehearsal(), last="publish")
    assert len(parts.rows(PROMOTIONS, run)) == 1 and parts.tracked.champions == {}


def test_the_alias_stays_on_the_champions_of_a_later_session(parts):
    quick_day(parts, LAST, ONE, last="publish")
    assert parts.tracked.champions == {"AAA": "ewma"}
    parts.tracked.champions.clear()
    quick_day(parts, dt.date(2013, 2, 28), ONE, last="publish")
    assert parts.tracked.champions == {}


def test_a_run_of_another_horizon_than_declared_moves_no_alias(parts, tmp_path):
    file = tmp_path / "universes.toml"
    file.write_text('[made]\nsource = "sample"\ntickers = ["AAA"]\nhorizon = 5\n')
    parts.settings = parts.settings.replaced(universes=str(file))
    quick_day(parts, LAST, dataclasses.replace(ONE, horizon=3), last="publish")
    assert parts.tracked.champions == {}


def test_little_history_means_the_random_walk_with_intervals_of_its_own(parts):
    run = quick_day(parts, universe=ONE, last="publish")
    row = parts.rows(PROMOTIONS, run, ["AAA"]).iloc[0]
    assert (row["champion"], row["model_id"], row["weight"]) == ("ewma", "ewma", 0.0)
    assert "120 sessions up to" in row["reasons"]
    forecasts = parts.rows(FORECASTS, run, ["AAA"])
    assert (forecasts["y_hat"] == forecasts["last_value"]).all()
    assert (forecasts["lower_95"] <= forecasts["lower_80"]).all()
    assert (forecasts["lower_80"] < forecasts["y_hat"]).all()


def test_weights_are_those_of_all_stocks_together(done):
    """Each stock's share changes when another one is left out."""
    parts, run = done
    weights = parts.rows(PROMOTIONS, run).set_index("ticker")["weight"]
    alone = dataclasses.replace(run, universe=dataclasses.replace(TRAINED, tickers=("TWO",)))
    take_steps(parts, alone, "promote", "publish")
    assert 0 < parts.rows(PROMOTIONS, alone)["weight"].iloc[0] != weights["TWO"]


def test_what_a_choice_is_worth_is_measured_once_until_it_is_made_again(parts, monkeypatch):
    measured = []

    def spied(choices):
        measured.append(sorted(choices))
        return rival_losses(choices)

    rival_losses = choice_measures.rival_losses
    monkeypatch.setattr(choice_measures, "rival_losses", spied)
    run = quick_day(parts, last="promote")
    decided = lineup.decisions(parts, run, run.universe.tickers)
    take_steps(parts, run, "promote", "promote")
    assert measured == [[*decided["ticker"]]]
    again = lineup.decisions(parts, run, run.universe.tickers)
    pd.testing.assert_frame_equal(again, decided)
    kept = parts.choice_measures
    assert len(kept.rivals) == len(decided)
    kept.forget_but([])
    take_steps(parts, run, "promote", "promote")
    assert measured[1] == measured[0]
    pd.testing.assert_frame_equal(lineup.decisions(parts, run, run.universe.tickers), decided)
