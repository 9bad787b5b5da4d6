"""A ticker that passed and has no forecast is named with the step that is not done for it."""

import pytest

from pipeline.daily import plan, verdict_of
from pipeline.daily.report import day_of
from pipeline.daily.unfinished import unfinished_steps
from pipeline.tables import FORECASTS
from tests.daily.quick_days import take_steps
from tests.made_days import NOW, TRAINED
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

#: The steps that lead to a forecast, each behind the last step that is done before it.
NOT_DONE = {
    "pretrain": "build_windows",
    "build_windows": "train",
    "train": "evaluate",
    "evaluate": "promote",
    "promote": "publish",
}


def test_the_first_step_that_is_not_done_is_named(parts):
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="check")
    for done, step in NOT_DONE.items():
        take_steps(parts, run, done, done)
        assert unfinished_steps(parts, run, ["OLD", "AAA"]) == {"OLD": step, "AAA": step}, done
    take_steps(parts, run, "publish", "publish")
    assert day_of(parts, run).unfinished == {}


def test_a_training_that_was_killed_is_named(parts):
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="train")
    for file in (parts.settings.home / "artifacts" / "models").rglob("*.keras"):
        file.unlink()
    assert unfinished_steps(parts, run, ["OLD", "AAA"]) == {"OLD": "train", "AAA": "evaluate"}


def test_the_verdict_names_the_ticker_and_the_step(done):
    parts, run = done
    parts.store.replace(FORECASTS, FORECASTS.empty(), **run.key, ticker=["OLD"])
    assert verdict_of(parts, run).startswith(
        "1 ticker passed and without a forecast: OLD (`publish` is not done). "
    )
