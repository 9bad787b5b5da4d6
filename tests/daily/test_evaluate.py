"""Evaluation: measured, chosen and tracked once between two trainings, replayed each session."""

import dataclasses
import datetime as dt
import shutil
from functools import partial
from pathlib import Path

import pytest

from pipeline.daily import STEPS, lineup
from pipeline.daily.replaying import baseline_model
from pipeline.decisions import decode_replay, encode_replay
from pipeline.errors import LookAtTheData, NothingStored
from pipeline.models import STANDING
from pipeline.tables import CHECKS, EVALUATIONS, PREDICTIONS, PROMOTIONS
from pipeline.training import PredictJob
from tests.daily.quick_days import answer, made_network, quick_day, take_steps
from tests.made_days import TRAINED

pytestmark = pytest.mark.integration

#: One ticker with networks of its own, one with the pooled one, one with none.
FEWER = dataclasses.replace(TRAINED, tickers=("OLD", "YNG", "AAA"))


def cut(file):
    """Leave the first half of a file, as a full disk might."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def tracked_below(parts):
    """Return the tickers that were tracked, by parent."""
    parents = {}
    for parent, ticker in parts.tracked.records:
        parents.setdefault(parent, []).append(ticker)
    return parents


def test_between_trainings_nothing_is_measured_again_but_what_ends_at_the_session(parts):
    quick_day(parts, dt.date(2013, 2, 27), FEWER, last="evaluate")
    parts.tracked.records.clear()
    parts.workers.jobs.clear()
    quick_day(parts, dt.date(2013, 2, 28), FEWER, last="evaluate")
    assert tracked_below(parts) == {"parent 2013-02-28": ["YNG", "AAA"]}
    # YNG is measured with the pooled network; the choices of OLD and YNG are replayed.
    assert parts.predictions == ["YNG", "OLD", "YNG"]


def windows_asked(parts):
    """Return how many windows the networks were asked about, job by job."""
    jobs = [job for job in parts.workers.jobs if isinstance(job, PredictJob)]
    return [tuple(map(len, job.windows)) for job in jobs]


def test_the_replay_of_the_session_before_is_continued_by_the_same_choice_alone(parts):
    # No such file is left to Keras, which would be asked about all windows.
    parts.workers.answer = partial(answer, network=str.encode)
    quick_day(parts, dt.date(2013, 2, 26), FEWER, last="evaluate")
    parts.workers.jobs.clear()
    run = quick_day(parts, dt.date(2013, 2, 27), FEWER, last="evaluate")
    measured, old, young = windows_asked(parts)
    # YNG has been measured and chosen again.
    assert old == (1,) and young[0] > 1 < measured[0]
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    replay = decode_replay(parts.artifacts.read_derived(own.replay_file))
    assert len(replay.forecasts) == len(replay.window_digests) == len(replay.observed.last) > 500
    parts.workers.jobs.clear()
    quick_day(parts, dt.date(2013, 2, 28), FEWER, last="train")
    # As a version before this kept it.
    older = encode_replay(dataclasses.replace(replay, window_digests=None))
    parts.artifacts.write_derived(own.replay_file, older)
    quick_day(parts, dt.date(2013, 2, 28), FEWER, last="evaluate")
    assert windows_asked(parts)[1] == (len(replay.forecasts),)


def test_the_same_session_again_asks_no_network(done):
    parts, run = done
    take_steps(parts, run, "evaluate", "evaluate")
    assert parts.workers.jobs == [] and parts.tracked.records == {}


def test_another_mlflow_is_filled_from_new_measurements(done):
    """A choice is complete where it is tracked below the parent that there is."""
    parts, run = done
    parts.tracked.open_session = parts.tracked.ensure_session = lambda *_: "elsewhere"
    take_steps(parts, run, "evaluate", "evaluate")
    assert tracked_below(parts) == {"elsewhere": ["OLD", "TWO", "YNG", "AAA"]}
    parts.tracked.records.clear()
    take_steps(parts, run, "evaluate", "evaluate")
    assert parts.tracked.records == {}


@pytest.mark.parametrize("harm", [Path.unlink, cut], ids=["gone", "cut"])
@pytest.mark.parametrize("part", ["choice_file", "tracked_file"])
def test_a_choice_without_one_of_its_files_is_made_again(done, part, harm):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    file = parts.settings.home / "artifacts" / getattr(own, part)
    before = file.read_bytes()
    harm(file)
    take_steps(parts, run, "evaluate", "evaluate")
    assert tracked_below(parts) == {"parent 2013-03-01": ["OLD"]}
    assert file.read_bytes() == before


@pytest.mark.parametrize("harm", [Path.unlink, cut], ids=["gone", "cut"])
def test_a_lost_replay_is_made_again_without_measuring(done, harm):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    file = parts.settings.home / "artifacts" / own.replay_file
    before = file.read_bytes()
    harm(file)
    take_steps(parts, run, "evaluate", "evaluate")
    assert (parts.predictions, parts.tracked.records) == (["OLD"], {})
    assert file.read_bytes() == before


def test_all_forecasters_of_a_stock_are_measured_on_the_same_sessions(done):
    parts, run = done
    rows = parts.store.load(EVALUATIONS)
    lineups = lineup.load(parts, run, TRAINED.tickers)
    models = rows.groupby("dataset")["model"].nunique()
    # Four baselines and har for all; two networks for OLD and TWO, the pooled one for YNG.
    assert {t: int(models[own.training.dataset]) for t, own in lineups.items()} == {
        "OLD": 7,
        "TWO": 7,
        "YNG": 6,
        "AAA": 5,
    }
    assert (rows.groupby(["dataset", "split", "horizon"])["sessions"].nunique() == 1).all()


def test_forecasts_of_the_choice_and_the_baselines_at_the_session_are_kept(done):
    parts, run = done
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    rows = parts.store.load(PREDICTIONS, dataset=[own.live.dataset])
    models = set(rows["model"])
    networks = models & {network.model_id for network in own.networks}
    baselines = {baseline_model(name, own.training.dataset) for name in STANDING}
    assert models == baselines | networks and len(networks) == 1, "the chosen network alone"
    assert rows.groupby("model")["horizon"].apply(list).tolist() == [[1, 2, 3, 4, 5]] * len(models)


@pytest.fixture
def unevaluated(done):
    """The quick day before its evaluation."""
    parts, run = done
    for folder in ("choices", "replays"):
        shutil.rmtree(parts.settings.home / "artifacts" / folder)
    return parts, run


def test_a_stock_s_run_holds_its_network_its_rivals_and_their_figures(unevaluated):
    parts, run = unevaluated
    take_steps(parts, run, "evaluate", "evaluate")
    old = parts.tracked.records["parent 2013-03-01", "OLD"]
    assert old.model.content == made_network("OLD")
    own = lineup.load(parts, run, ["OLD"])["OLD"]
    assert [model.model_id for model in old.models] == [each.model_id for each in own.networks]
    assert old.metrics["training/epochs"] == 1.0
    assert old.metrics["skill/rmse"] == pytest.approx(0.5, abs=0.02), "it knows half"
    assert sorted(old.files) == ["predictions.csv", "results.csv"]
    assert list(old.pictures) == ["prediction.png"]
    assert old.description.startswith("**OLD: the distribution is ")
    young = parts.tracked.records["parent 2013-03-01", "AAA"]
    assert (young.model, young.files) == (None, {})
    assert young.tags["no_network"].startswith("no network of its own: 120 sessions")
    assert young.metrics["test/rmse"] == young.metrics["test/rmse_naive"]


def test_statistical_baselines_asked_for_later_are_measured_then(done):
    parts, run = done
    parts.settings = parts.settings.replaced(baselines="drift")
    STEPS["evaluate"](parts, run, ["AAA"])
    metrics = parts.tracked.records["parent 2013-03-01", "AAA"].metrics
    assert metrics["test/pinball_drift"] > 0 and metrics["test/sessions_every_21"] > 0
    assert any("drift: pinball loss" in message for _, _, message in parts.messages)


def test_a_network_that_fails_does_not_stop_the_others(unevaluated):
    def answer_but_for_old(job):
        if isinstance(job, PredictJob) and job.label == "OLD":
            raise LookAtTheData("OLD: plain Keras cannot load its file.")
        return answer(job)

    parts, run = unevaluated
    parts.workers.answer = answer_but_for_old
    STEPS["evaluate"](parts, run, list(TRAINED.tickers))
    [reason] = parts.rows(CHECKS, run, ["OLD"])["reasons"]
    assert reason == "evaluate: OLD: plain Keras cannot load its file."
    assert tracked_below(parts) == {"parent 2013-03-01": ["TWO", "YNG", "AAA"]}
    take_steps(parts, run, "promote", "publish")
    assert parts.rows(PROMOTIONS, run)["ticker"].tolist() == ["AAA", "TWO", "YNG"]


@pytest.mark.parametrize(("ticker", "step"), [("OLD", "train"), ("YNG", "pretrain")])
def test_a_network_that_is_gone_names_the_step_that_trains_it(unevaluated, ticker, step):
    parts, run = unevaluated
    shutil.rmtree(parts.settings.home / "artifacts" / "models")
    with pytest.raises(NothingStored, match=rf"{ticker} 2013-03-01: its network \w+ .* `{step}`"):
        STEPS["evaluate"](parts, run, [ticker])
