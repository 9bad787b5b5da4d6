"""Planning: cutoffs and blocks, what is refused, and a plan that is read again."""

import dataclasses
import datetime as dt
import json

import pytest

from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError
from pipeline.research.backtest_plan import read_backtest_plan
from tests.made_backtests import FIRST_CUTOFF, NAIVE_REQUEST, BacktestParts, bars_of


@pytest.fixture
def parts(tmp_path):
    return BacktestParts(tmp_path, tmp_path / "prices", {"IBM": bars_of(0)})


def test_a_plan_is_read_as_it_was_written(parts):
    request = dataclasses.replace(NAIVE_REQUEST, recipes=["default", "window_average"], seeds=2)
    plan = parts.plan(request)
    assert read_backtest_plan(parts, plan.digest) == plan
    names = ["default seed 7", "default seed 8", "window_average", "naive", "ewma"]
    assert [forecaster.name for forecaster in plan.forecasters] == names


def test_a_plan_whose_recipe_has_changed_since_is_refused(parts):
    plan = parts.plan(dataclasses.replace(NAIVE_REQUEST, recipes=["default"]))
    file = parts.settings.home / "artifacts" / plan.folder / "plan.json"
    values = json.loads(file.read_text())
    values["embargo"] += 1
    file.write_text(json.dumps(values))
    with pytest.raises(LookAtTheData, match=f"{plan.digest} was planned.* Plan it again"):
        read_backtest_plan(parts, plan.digest)


def test_everything_that_decides_forecasts_names_the_files(parts):
    changes = [{}, {"recipes": ["ema"]}, {"step": 11}, {"refit": 7}, {"embargo": 3}]
    changes += [{"warm_start": True}, {"first": dt.date(2016, 6, 2)}]
    digests = [parts.plan(dataclasses.replace(NAIVE_REQUEST, **each)).digest for each in changes]
    assert len(set(digests)) == len(digests)
    assert parts.plan(NAIVE_REQUEST).digest == digests[0]


def test_refitting_never_makes_one_block_that_ends_with_its_last_actual(parts):
    [block] = parts.plan(dataclasses.replace(NAIVE_REQUEST, refit=0)).blocks
    assert (len(block.cutoffs), block.cutoffs[0]) == (15, FIRST_CUTOFF)
    assert block.after == dt.date(2016, 6, 2)
    assert (block.cutoffs[-1], block.end) == (dt.date(2016, 12, 19), dt.date(2016, 12, 21))


def test_cutoffs_without_all_actuals_are_left_out(parts):
    first, last = dt.date(2017, 1, 24), dt.date(2017, 3, 1)
    plan = parts.plan(dataclasses.replace(NAIVE_REQUEST, first=first, last=last, step=1))
    # Prices end on the 31st, two sessions after the last of these.
    assert plan.cutoffs == [dt.date(2017, 1, day) for day in (24, 25, 26, 27)]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"recipes": ["nonesuch"]}, SettingsError, "There is no forecaster 'nonesuch'"),
        ({"baselines": ["ewma"]}, SettingsError, "There is no statistical baseline 'ewma'"),
        (
            {"first": dt.date(2016, 12, 24), "last": dt.date(2016, 12, 26)},
            SettingsError,
            "no session of XNYS",
        ),
        (
            {"first": dt.date(2014, 9, 2)},
            NotEnoughHistory,
            "IBM: .* sessions up to 2014-09-02 leave 0 windows .* Give a later --from",
        ),
        (
            {"first": dt.date(2017, 1, 30), "last": dt.date(2017, 1, 31)},
            NotEnoughHistory,
            "prices end on 2017-01-31",
        ),
        (
            {"first": dt.date(2018, 1, 30), "last": dt.date(2018, 1, 31)},
            NotEnoughHistory,
            "prices end on 2017-01-31",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(parts, changes, error, message):
    with pytest.raises(error, match=message):
        parts.plan(dataclasses.replace(NAIVE_REQUEST, **changes))
    assert not list((parts.settings.home / "artifacts").rglob("plan.json"))
    assert parts.jobs == []
