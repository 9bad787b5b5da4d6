"""Statistical baselines that a day is asked for are measured once per dataset."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.daily.dataset_files import write_dataset
from pipeline.daily.statistical_metrics import are_missing, measure_statistical, statistical_metrics
from pipeline.decisions import EvaluationSet
from pipeline.models import statistical
from pipeline.parts import Parts
from pipeline.quantiles import losses
from pipeline.settings import Settings
from pipeline.windows import Newest, Split, Windowing, encode, load_dataset
from tests.made_windows import spec_of, walk


def test_they_are_measured_on_every_21st_test_session_next_to_ewma(tmp_path):
    history = walk(500)
    split = Split(Newest(100), Newest(100), min_train_windows=50)
    file = encode(history, spec_of(history, Windowing(10), horizon=2, split=split))
    settings = Settings(
        home=tmp_path, store_url=f"sqlite:///{tmp_path}/s.db", baselines="drift, random_walk"
    )
    lines = []
    with Parts(settings, progress=lambda *line: lines.append(line)) as parts:
        stock = EvaluationSet("IBM", write_dataset(parts, file), load_dataset(file))
        assert are_missing(parts, stock.dataset_id)
        measure_statistical(parts, stock)
        assert not are_missing(parts, stock.dataset_id)
        measure_statistical(parts, stock)
        metrics = statistical_metrics(parts, stock.dataset_id)
    assert len(lines) == 2  # once per dataset and baseline
    close, test = history["close"].to_numpy(), stock.dataset.test
    rows = np.array([15, 36, 57, 78, 99])
    assert len(test) == 100
    measured = test.take(rows)
    for name in ("drift", "random_walk"):
        quantiles = np.stack(
            [
                statistical.forecast(name, close[: test.position[row] + 1], 2).quantiles
                for row in rows
            ]
        )
        loss = losses(measured.actual, quantiles, measured.last).mean()
        assert metrics[f"test/pinball_{name}"] == pytest.approx(loss)
    ewma = losses(measured.actual, stock.baselines["ewma"].test[rows], measured.last).mean()
    assert metrics["test/pinball_ewma_every_21"] == pytest.approx(ewma)
    assert metrics["test/sessions_every_21"] == 5
