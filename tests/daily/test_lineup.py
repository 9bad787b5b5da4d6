"""The lineup: written once by `train`, and read by every later step."""

import dataclasses

import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.daily import STEPS, lineup, lineup_drawing, plan
from pipeline.daily.lineup_drawing import draw_up
from pipeline.errors import NothingStored
from pipeline.tables import DATASETS, FORECASTS, LINEUPS
from pipeline.training import SHARED
from tests.daily.quick_days import take_steps
from tests.made_days import NOW, TRAINED
from tests.made_prices import LAST

OLD_ONLY = dataclasses.replace(TRAINED, tickers=("OLD",))


def test_a_lineup_names_what_is_compared_the_current_network_first(done):
    parts, run = done
    lineups = lineup.load(parts, run, run.universe.tickers)
    assert list(lineups) == list(run.universe.tickers)
    roles = {ticker: [network.role for network in own.networks] for ticker, own in lineups.items()}
    assert roles == {
        "OLD": ["lstm", "previous"],
        "TWO": ["lstm", "previous"],
        "YNG": ["pooled"],
        "AAA": [],
    }
    old = lineups["OLD"]
    assert {entry.role for entry in old.datasets} == {"training", "live", "previous"}
    assert old.training.cutoff == run.training_cutoff and old.live.cutoff == run.session
    assert all(parts.networks.has(network.model_id) for network in old.networks)
    assert old.network(old.networks[1].model_id) == old.networks[1]
    assert old.network("nobody's") is None


def test_the_pooled_networks_are_the_lineup_of_all_stocks_and_the_base_of_their_own(done):
    parts, run = done
    [pool] = lineup.shared(parts, run).networks
    lineups = lineup.load(parts, run, ["OLD", "YNG"])
    assert (pool.label, pool.members, pool.training_cutoff) == (SHARED, 2, run.pool_cutoff)
    assert {network.base for network in lineups["OLD"].networks} == {pool.model_id}
    assert lineups["YNG"].networks == (dataclasses.replace(pool, role="pooled"),)


def test_drawing_up_again_gives_the_stored_lineups(done):
    parts, run = done
    stored = lineup.stored(parts, run, run.universe.tickers)
    assert draw_up(parts, run, run.universe.tickers).results == stored


@pytest.mark.parametrize("step", ["evaluate", "promote", "publish", "watch"])
def test_later_steps_read_the_lineup_and_do_not_draw_it_up_again(done, monkeypatch, step):
    parts, run = done
    for drawing in ("draw_up", "draw_up_pools", "_networks_of"):
        monkeypatch.setattr(lineup_drawing, drawing, lambda *_: 1 / 0)
    before = parts.store.load(LINEUPS)
    take_steps(parts, run, step, step)
    pd.testing.assert_frame_equal(parts.store.load(LINEUPS), before)
    parts.store.replace(LINEUPS, LINEUPS.empty(), **run.key)
    missing = r"(it has|no ticker has) (not )?been evaluated|nothing has been promoted"
    with pytest.raises(NothingStored, match=missing):
        take_steps(parts, run, step, step)


def test_a_lineup_decides_what_is_published_whatever_the_datasets_are_called_now(done):
    """Its own names are used: another dataset of the same role changes nothing after `train`."""
    parts, run = done
    published = parts.rows(FORECASTS, run)
    rows = parts.rows(DATASETS, run)
    parts.store.replace(DATASETS, rows.assign(dataset="0" * 32), **run.key)
    take_steps(parts, run, "promote")
    pd.testing.assert_frame_equal(parts.rows(FORECASTS, run), published)


def test_another_floor_or_dataset_makes_another_choice(done):
    parts, run = done
    [before] = draw_up(parts, run, ["OLD"]).results.values()
    parts.settings = parts.settings.replaced(test_floor=0.1)
    [floored] = draw_up(parts, run, ["OLD"]).results.values()
    assert (floored.networks, floored.choice == before.choice) == (before.networks, False)
    assert before.choice in before.choice_file and before.choice in before.tracked_file
    assert before.live.dataset in before.replay_file


def test_datasets_of_a_version_that_kept_no_training_part_are_built_again(done):
    parts, run = done
    published = parts.rows(FORECASTS, run)
    rows = parts.rows(DATASETS, run)
    with sa.create_engine(parts.settings.store_url).begin() as connection:
        connection.execute(sa.text("UPDATE datasets SET learnt = NULL"))
    with pytest.raises(NothingStored, match=r"OLD 2013-03-01: no windows .* Run `build_w"):
        STEPS["train"](parts, run, ["OLD"])
    take_steps(parts, run, "pretrain")
    pd.testing.assert_frame_equal(parts.rows(DATASETS, run), rows)
    pd.testing.assert_frame_equal(parts.rows(FORECASTS, run), published)
    assert parts.fits == []


def test_without_the_pooled_lineup_no_stock_is_drawn_up_and_the_step_to_run_is_named(parts):
    run = plan(parts, OLD_ONLY, LAST, NOW)
    take_steps(parts, run, last="build_windows")
    parts.store.replace(LINEUPS, LINEUPS.empty(), **run.key, ticker=[SHARED])
    fitted = list(parts.fits)
    with pytest.raises(NothingStored, match=r"are not there\. Run `pretrain` for this session"):
        STEPS["train"](parts, run, ["OLD"])
    assert parts.store.load(LINEUPS).empty and parts.fits == fitted


def test_a_ticker_without_a_lineup_names_the_steps_to_run_first(parts):
    run = plan(parts, OLD_ONLY, LAST, NOW)
    take_steps(parts, run, last="check")
    with pytest.raises(NothingStored, match=r"OLD 2013-03-01: no windows .* Run `build_windows`"):
        lineup.load(parts, run, ["OLD"])
    take_steps(parts, run, "pretrain", "build_windows")
    with pytest.raises(NothingStored, match=r"OLD 2013-03-01: it has not .* `train` and `evaluat"):
        lineup.load(parts, run, ["OLD"])
    assert lineup.stored(parts, run, ["OLD"]) == {}
