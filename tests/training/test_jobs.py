"""Jobs and their results: what a training leaves is kept whole."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np

from pipeline.models import Examples
from pipeline.training import AnswerJob, LookAheadJob, PredictJob, TrainingRecord
from pipeline.training.jobs import FitExamplesJob, FitJob, Trained, TuneJob
from tests.training.made_networks import small

HISTORY = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 1.5, 2.0], "learning_rate": [0.1, 0.1, 0.1]}


def test_a_training_record_is_decoded_as_it_was_encoded():
    record = TrainingRecord(HISTORY, best_epoch=1, seconds=0.5, weights=7, code_version="abc")
    assert TrainingRecord.decode(record.encode()) == record
    # Records of older versions lack what was added later.
    older = b'{"history": {"loss": [2.0, 1.0]}, "best_epoch": 1, "seconds": 0.5}'
    assert TrainingRecord.decode(older).weights == 0


def test_the_entry_before_the_first_epoch_is_no_epoch():
    assert Trained(b"", HISTORY, best_epoch=1, seconds=0.5, weights=7).epochs == 2
    assert TrainingRecord(HISTORY, best_epoch=1, seconds=0.5).epochs == 2


def test_a_job_travels_to_its_worker_as_a_pickle():
    job = pickle.loads(pickle.dumps(FitJob("IBM", small(), {"IBM": b"file"}, seed=7)))
    assert (job.label, job.recipe, job.training_files) == ("IBM", small(), {"IBM": b"file"})


def test_only_what_keras_trains_needs_the_gpu_that_its_recipe_names():
    on_gpu = replace(small(), device="gpu")
    examples = Examples({}, np.zeros((0, 1)))
    assert FitJob("IBM", on_gpu, {}, seed=7).needs_gpu
    assert FitExamplesJob("sine", on_gpu, examples, examples, seed=7).needs_gpu
    assert not FitJob("IBM", small(), {}, seed=7).needs_gpu
    assert not TuneJob("IBM", on_gpu, {}, seed=7).needs_gpu
    assert not AnswerJob("IBM", b"", {}).needs_gpu


def test_only_forecasts_are_quick():
    assert PredictJob.is_quick
    assert not (FitJob.is_quick or AnswerJob.is_quick or LookAheadJob.is_quick)
