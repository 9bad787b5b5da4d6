"""The regression of all stocks in the day: fitted once, the same however the day is divided."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.daily import STEPS, lineup, plan, regressions
from pipeline.daily.dataset_files import read_dataset
from pipeline.decisions import decode_choice, decode_replay
from pipeline.errors import NothingStored
from pipeline.storage import pack_arrays
from pipeline.tables import CHECKS, DATASETS, EVALUATIONS, LINEUPS, PREDICTIONS
from pipeline.training import SHARED
from pipeline.windows import decode, load_dataset, load_replay
from tests.daily.quick_days import QuickParts, quick_day, take_steps
from tests.made_days import NOW, TRAINED, made_source
from tests.made_prices import LAST

pytestmark = pytest.mark.integration


def messages(parts):
    return [text for step, _, text in parts.messages if step == "pretrain" and "har" in text]


def test_it_is_fitted_before_the_sessions_that_measure_the_networks(done):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    dataset = load_dataset(read_dataset(parts, own.training.dataset))
    regression = regressions.read_regression(parts, run, own.har)
    assert regression.tickers == TRAINED.tickers
    last = dataset.train.sessions.max()
    take_steps(parts, run, "pretrain", "pretrain")
    assert f"har, 4 tickers up to {last}: is there already" in messages(parts)
    assert last == dataset.validation.origins[0], "the first that it is measured from"
    assert regression.sessions[-1] == np.datetime64(run.training_cutoff)


def test_it_is_measured_beside_the_other_baselines_and_forecasts_the_session(done):
    parts, run = done
    for own in lineup.load(parts, run, TRAINED.tickers).values():
        rows = parts.store.load(EVALUATIONS, dataset=[own.training.dataset], model="har")
        assert sorted(rows["split"].unique()) == ["test", "validation"]
        assert np.isfinite(rows["pinball"]).all()
        stored = parts.store.load(PREDICTIONS, dataset=[own.live.dataset])
        stored = stored[stored["model"].str.startswith("har ")]
        windows = load_replay(read_dataset(parts, own.live.dataset))
        har = regressions.stock_regressions(parts, run, [own], live=True)[own.ticker]
        expected = har(windows.take(slice(-1, None)))[0]
        np.testing.assert_allclose(stored.filter(like="q").to_numpy(), expected)


def test_choice_and_replay_keep_what_it_forecasts_of_their_windows(done):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    choice = decode_choice(parts.artifacts.read_derived(own.choice_file))
    replay = decode_replay(parts.artifacts.read_derived(own.replay_file))
    measured, live = (
        regressions.stock_regressions(parts, run, [own], live=live)["OLD"] for live in (False, True)
    )
    for name in ("validation", "test"):
        expected = measured(getattr(choice, name))
        assert np.array_equal(getattr(choice.baseline("har"), name), expected)
    assert np.array_equal(replay.har(replay.observed), live(replay.observed))


def test_the_next_session_goes_on_with_what_was_fitted(done):
    parts, run = done
    later = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, later, "pretrain", "pretrain")
    assert messages(parts)[-1].endswith("is there already")
    assert lineup.shared(parts, later).har == lineup.load(parts, run, ["OLD"])["OLD"].har


def test_a_young_stock_is_measured_up_to_the_session(done):
    parts, run = done
    lineups = lineup.load(parts, run, TRAINED.tickers)
    shared = lineup.stored(parts, run, [SHARED])[SHARED]
    assert {own.har for own in lineups.values() if not own.training.reason} == {shared.har}
    assert lineups["AAA"].training.cutoff == run.session
    assert lineups["AAA"].har == (
        shared.har if run.session == run.training_cutoff else shared.live_har
    )


def test_shards_and_their_order_change_nothing(done, tmp_path):
    parts, run = done
    (tmp_path / "other").mkdir()
    with QuickParts(tmp_path / "other", made_source(signalled=True)) as other:
        again = plan(other, TRAINED, LAST, NOW)
        take_steps(other, again, last="pretrain")
        for tickers in (["AAA", "YNG"], ["TWO", "OLD"]):
            for name in ("build_windows", "train", "evaluate"):
                STEPS[name](other, again, tickers)
        for ticker in TRAINED.tickers:
            one, two = (lineup.load(each, run, [ticker])[ticker] for each in (parts, other))
            assert one == two
            for file in (one.choice_file, one.replay_file):
                assert parts.artifacts.read(file) == other.artifacts.read(file)


def test_a_quarantined_ticker_is_not_asked_and_is_no_part_of_the_market(parts):
    parts.gate.broken = {"TWO": "a jump"}
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="pretrain")
    shared = lineup.shared(parts, run)
    assert "TWO" in regressions.read_regression(parts, run, shared.har).tickers
    live = regressions.read_regression(parts, run, shared.live_har)
    assert live.tickers == ("OLD", "YNG", "AAA")


def test_a_ticker_that_a_later_step_holds_back_stays_a_part_of_the_market(done):
    parts, run = done
    before = lineup.shared(parts, run)
    parts.store.save(*held_back(parts, run, "TWO"))
    take_steps(parts, run, "pretrain", "pretrain")
    assert lineup.shared(parts, run) == before


def held_back(parts, run, ticker):
    rows = parts.rows(CHECKS, run, [ticker])
    return CHECKS, rows.assign(verdict="quarantined", reasons="evaluate: its network is no number")


def test_without_enough_history_nothing_is_fitted_and_the_day_goes_on(parts):
    universe = dataclasses.replace(TRAINED, tickers=("AAA", "YNG"))
    run = quick_day(parts, universe=universe, last="publish")
    assert messages(parts)[-1].startswith("har is not fitted: too little history")
    own = lineup.load(parts, run, ["AAA"])["AAA"]
    assert (own.har, own.live_har) == ("", "")
    assert decode_choice(parts.artifacts.read_derived(own.choice_file)).har is None


@pytest.mark.parametrize("live", [False, True])
def test_a_lost_file_is_made_again_by_pretrain(done, live):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    name = own.live_har if live else own.har
    file = parts.settings.home / "artifacts" / regressions.regression_file(name)
    before = file.read_bytes()
    file.unlink()
    with pytest.raises(regressions.NothingStored, match="Run `pretrain` for this session first"):
        regressions.stock_regressions(parts, run, [own], live=live)
    take_steps(parts, run, "pretrain", "pretrain")
    assert file.read_bytes() == before


def test_what_an_earlier_version_drew_up_is_read_as_before(done):
    parts, run = done
    rows = parts.rows(LINEUPS, run, ["OLD"])
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    text = rows["lineup"].iloc[0]
    for name in ("har", "live_har"):
        text = text.replace(f',"{name}":"{getattr(own, name)}"', "")
    parts.store.save(LINEUPS, rows.assign(lineup=text))
    assert lineup.load(parts, run, ["OLD"])["OLD"] == dataclasses.replace(own, har="", live_har="")


def test_a_file_of_a_version_without_lines_is_read_and_moves_nothing(done):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    whole = regressions.read_regression(parts, run, own.har)
    about = {"tickers": whole.tickers, "with_market": whole.with_market}
    known = {name: each for name, each in vars(whole).items() if name not in about}
    before = {name: each for name, each in known.items() if name not in ("lines", "centres")}
    parts.artifacts.write_derived(regressions.regression_file("before"), pack_arrays(about, before))
    read = regressions.read_regression(parts, run, "before")
    assert np.array_equal(read.deviations, whole.deviations, equal_nan=True)
    assert not read.lines.any() and not read.of("OLD").centres.any()


def test_every_dataset_of_a_network_has_what_har_forecasts_and_its_quantiles(done):
    parts, run = done
    pools = lineup.shared(parts, run)
    rows = parts.rows(DATASETS, run, ["OLD"])
    assert set(rows["role"]) == {"training", "live", "previous", "pool", "previous_pool"}
    for role, dataset in zip(rows["role"], rows["dataset"], strict=True):
        spec, history = decode(read_dataset(parts, dataset))
        har = regressions.read_regression(parts, run, dict(pools.anchors)[role]).of("OLD")
        assert np.array_equal(np.array(spec.anchor), har.shape)
        days = history["session"].to_numpy("datetime64[D]")
        _, deviations = har.at(days)
        kept = history[[f"deviation_{ahead}" for ahead in range(1, 6)]].to_numpy()
        assert np.array_equal(kept, deviations, equal_nan=True)
        assert np.isfinite(kept[-1]).all()
    anchors = dict(pools.anchors)
    assert (anchors["training"], anchors["live"]) == (pools.har, pools.live_har)


def test_a_young_stock_is_anchored_up_to_the_session(done):
    parts, run = done
    own = lineup.load(parts, run, ["YNG"])["YNG"]
    spec, _ = decode(read_dataset(parts, own.training.dataset))
    live = regressions.read_regression(parts, run, own.live_har).of("YNG")
    assert np.array_equal(np.array(spec.anchor), live.shape)


def test_windows_are_not_cut_before_what_all_stocks_fit_is_there(parts):
    run = plan(parts, TRAINED, LAST, NOW)
    take_steps(parts, run, last="check")
    with pytest.raises(NothingStored, match="Run `pretrain` for this session first"):
        STEPS["build_windows"](parts, run, list(TRAINED.tickers))
