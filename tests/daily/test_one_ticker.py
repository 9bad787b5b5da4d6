"""One ticker is one ticker: a fault in any step holds it back, and the others are published."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pandas as pd
import pytest

from pipeline.daily import STEPS, TICKER_STEPS, forecasts_text, lineup, plan
from pipeline.daily.stability import stability_reference
from pipeline.errors import LookAtTheData, SourceUnavailable, TryAgain, UnknownTicker
from pipeline.tables import CHECKS, DRIFT, FINDINGS, FORECASTS, PUBLICATIONS, SCORES
from tests.daily.quick_days import answer, quick_day, take_steps
from tests.made_days import NOW, TRAINED
from tests.made_faults import FAULTY, HOLDING_FAULTS, store_action
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

OTHERS = [ticker for ticker in sorted(TRAINED.tickers) if ticker != FAULTY]


def repeat_with(parts, run, step, fault):
    """Repeat a session whose fault appears just before a step."""
    names = list(STEPS)
    if step != "ingest":
        take_steps(parts, run, last=names[names.index(step) - 1])
    fault(parts, run)
    take_steps(parts, run, step)


@pytest.mark.parametrize("fault", HOLDING_FAULTS.values(), ids=HOLDING_FAULTS)
def test_a_fault_holds_its_ticker_back_and_the_others_stay_published(done, fault):
    parts, run = done
    step, make, reason = fault
    before = parts.rows(FORECASTS, run)
    repeat_with(parts, run, step, make)
    after = parts.rows(FORECASTS, run)
    assert sorted(after["ticker"].unique()) == OTHERS
    pd.testing.assert_frame_equal(
        after[["ticker", "session"]].reset_index(drop=True),
        before[before["ticker"] != FAULTY][["ticker", "session"]].reset_index(drop=True),
    )
    [stored] = parts.rows(CHECKS, run, [FAULTY])["reasons"]
    assert stored.startswith(reason)
    withdrawn = parts.store.load(PUBLICATIONS, ticker=FAULTY)["withdrawn"]
    assert withdrawn.tolist() == ["", stored] * 5
    assert f"{FAULTY}    quarantined, no forecast: {stored[:20]}" in forecasts_text(parts, run)


@pytest.mark.parametrize("fault", ["a training that crashes", "a replay that is cut"])
def test_a_ticker_that_a_step_held_back_is_tried_again_when_that_step_is_repeated(done, fault):
    """As where a failed task, and all behind it, are cleared in Airflow."""
    parts, run = done
    step, make, _ = HOLDING_FAULTS[fault]
    before = parts.rows(FORECASTS, run)
    repeat_with(parts, run, step, make)
    parts.workers.answer = answer
    again = "evaluate" if step == "publish" else step
    for name in list(STEPS)[list(STEPS).index(again) : list(STEPS).index("report")]:
        STEPS[name](parts, run, *([list(TRAINED.tickers)] if name in TICKER_STEPS else []))
    pd.testing.assert_frame_equal(parts.rows(FORECASTS, run), before)
    assert set(parts.rows(CHECKS, run)["verdict"]) == {"passed"}


def test_an_outage_in_a_step_is_tried_again_as_long_as_tries_are_left(done):
    parts, run = done
    _, make, _ = HOLDING_FAULTS["a training that crashes"]
    make(parts, run)

    def killed(job):
        if job.label == FAULTY:
            raise TryAgain(f"{FAULTY}: its training process was killed by SIGKILL.")
        return answer(job)

    parts.workers.answer, parts.tries_left = killed, True
    with pytest.raises(TryAgain, match="killed by SIGKILL"):
        STEPS["train"](parts, run, list(TRAINED.tickers))
    assert set(parts.rows(CHECKS, run)["verdict"]) == {"passed"}
    parts.tries_left = False
    STEPS["train"](parts, run, list(TRAINED.tickers))
    [reason] = parts.rows(CHECKS, run, [FAULTY])["reasons"]
    assert reason == f"train: {FAULTY}: its training process was killed by SIGKILL."


def test_a_step_that_fails_for_all_fails_and_holds_nobody_back_for_an_outage(done):
    parts, run = done
    _, make, _ = HOLDING_FAULTS["a training that crashes"]
    make(parts, run)
    errors = {"outage": SourceUnavailable("away"), "fault": LookAtTheData("no good")}
    for name, error in errors.items():

        def failing(job, error=error):
            raise error

        parts.workers.answer = failing
        with pytest.raises(type(error)):
            STEPS["train"](parts, run, [FAULTY])
        [verdict] = parts.rows(CHECKS, run, [FAULTY])["verdict"]
        assert verdict == {"outage": "passed", "fault": "quarantined"}[name]


def test_a_source_that_lacks_a_declared_ticker_refuses_only_who_asks_for_it(parts, tmp_path):
    file = tmp_path / "universes.toml"
    file.write_text('[trained]\nsource = "sample"\ntickers = ["OLD", "GONE", "AAA"]\n')
    parts.settings = parts.settings.replaced(universes=str(file))
    declared = dataclasses.replace(TRAINED, tickers=("OLD", "GONE", "AAA"))
    assert plan(parts, declared, None, NOW).session == LAST
    with pytest.raises(UnknownTicker, match="GONE is not among"):
        plan(parts, dataclasses.replace(declared, tickers=("GONE", "AAA")), None, NOW)


def test_what_cannot_be_scored_of_one_ticker_is_noted_and_the_others_are_scored(parts):
    quick_day(parts, dt.date(2013, 2, 28))
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="publish")
    store_action(parts.store, run.universe.source_id, FAULTY, "split", run, days=0)
    take_steps(parts, run, "score", "score")
    assert sorted(parts.store.load(SCORES)["ticker"].unique()) == OTHERS
    [finding] = parts.store.load(FINDINGS, rule="score_failed").to_dict("records")
    assert finding["ticker"] == FAULTY and "a split of 9.99989e-321" in finding["message"]
    assert FAULTY in set(parts.rows(FORECASTS, run)["ticker"]), "what is published stands"


def test_a_dividend_in_another_unit_keeps_no_forecast_of_a_close_back(done):
    parts, run = done
    prices = ["y_hat", "lower_80", "upper_80"]
    before = parts.rows(FORECASTS, run, [FAULTY])[prices]
    store_action(parts.store, run.universe.source_id, FAULTY, "dividend", run)
    for name in list(STEPS)[list(STEPS).index("check") : list(STEPS).index("report")]:
        STEPS[name](parts, run, *([list(TRAINED.tickers)] if name in TICKER_STEPS else []))
    assert set(parts.rows(CHECKS, run)["verdict"]) == {"passed"}
    pd.testing.assert_frame_equal(parts.rows(FORECASTS, run, [FAULTY])[prices], before)


def test_inputs_that_cannot_be_compared_are_missing_for_one_ticker_alone(done):
    parts, run = done
    own = lineup.load(parts, run, [FAULTY])[FAULTY]
    name = f"stability/{own.training.dataset}.json"
    parts.artifacts.write_derived(name, b'{"other": 1}')
    take_steps(parts, run, "watch", "watch")
    rows = parts.rows(DRIFT, run).set_index("ticker")["psi"]
    assert list(rows.index) == sorted(TRAINED.tickers) and rows.isna()[FAULTY]
    [finding] = parts.store.load(FINDINGS, rule="watch_failed").to_dict("records")
    assert finding["ticker"] == FAULTY
    parts.artifacts.write(name, b"cut")
    take_steps(parts, run, "watch", "watch")
    assert parts.store.load(FINDINGS, rule="watch_failed").empty
    assert stability_reference(parts, own.training.dataset).windows > 0
