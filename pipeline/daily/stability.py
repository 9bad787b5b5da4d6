"""Stability of inputs: those that a network learnt from and those of now; see `measures.drift`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np

from pipeline.daily.dataset_files import read_dataset
from pipeline.daily.lineup import Lineup
from pipeline.decisions import decode_replay
from pipeline.measures import drift
from pipeline.windows import Dataset, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts


def stability_reference(
    parts: Parts, dataset_id: str, dataset: Dataset | None = None
) -> drift.Reference:
    """Return the reference of a dataset's training inputs, kept until the next training.

    Args:
        dataset: its windows; None: they are read where the reference is not kept yet.
    """
    name = f"stability/{dataset_id}.json"
    kept = parts.artifacts.find_derived(name)
    if kept is not None:
        return drift.Reference(**json.loads(kept))
    train = (dataset or load_dataset(read_dataset(parts, dataset_id))).train
    reference = drift.Reference.of(train.past[:, -1] if len(train) else np.empty((0, 0)))
    content = json.dumps(dataclasses.asdict(reference)).encode()
    parts.artifacts.write_derived(name, content)
    return reference


def stability_of(parts: Parts, own: Lineup) -> float:
    """Return the population stability index of a ticker's newest inputs; NaN: too few windows."""
    reference = stability_reference(parts, own.training.dataset)
    if reference.windows < drift.FEWEST_STABILITY_WINDOWS:
        return float("nan")
    inputs = decode_replay(parts.artifacts.read_derived(own.replay_file)).inputs
    if inputs is None:
        return float("nan")
    return drift.population_stability(reference, inputs)
