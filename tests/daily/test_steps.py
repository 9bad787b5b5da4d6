"""The steps: a step that comes too early names the one to run first."""

import pytest

from pipeline.daily import STEPS, TICKER_STEPS, plan
from pipeline.errors import NothingStored
from pipeline.tables import FINDINGS
from tests.daily.quick_days import take_steps
from tests.made_days import NOW, UNIVERSE
from tests.made_prices import LAST


@pytest.mark.parametrize(
    ("step", "first"),
    [
        ("check", "ingest"),
        ("train", "check"),
        ("evaluate", "check"),
        ("promote", "check"),
        ("publish", "check"),
        ("watch", "check"),
        ("report", "check"),
    ],
)
def test_before_anything_is_stored_a_step_names_the_one_to_run_first(parts, step, first):
    run = plan(parts, UNIVERSE, LAST, NOW)
    arguments = [["AAA"]] if step in TICKER_STEPS else []
    with pytest.raises(NothingStored, match=f"`{first}`"):
        STEPS[step](parts, run, *arguments)
    assert parts.store.load(FINDINGS).empty


@pytest.mark.parametrize("step", ["train", "evaluate"])
def test_before_windows_are_built_a_step_names_that_one(parts, step):
    run = plan(parts, UNIVERSE, LAST, NOW)
    take_steps(parts, run, last="check")
    with pytest.raises(NothingStored, match="`build_windows`"):
        STEPS[step](parts, run, ["AAA"])


def test_the_steps_are_in_the_order_of_the_day():
    assert list(STEPS) == [
        "ingest",
        "check",
        "pretrain",
        "build_windows",
        "train",
        "evaluate",
        "promote",
        "publish",
        "scenarios",
        "score",
        "watch",
        "report",
        "export",
    ]
    assert set(TICKER_STEPS) == {"ingest", "build_windows", "train", "evaluate"}
