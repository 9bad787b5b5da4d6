"""Tracking: experiments, runs and registered models in MLflow."""

from pipeline.tracking.entries import (
    Origin,
    PublishedModel,
    TrackedDataset,
    TrackedModel,
    TrackedRun,
)
from pipeline.tracking.mlflow_pruning import MlflowDeleted, MlflowPruning
from pipeline.tracking.moved_artifacts import follow_moved_artifacts
from pipeline.tracking.owners import this_process
from pipeline.tracking.tracker import Tracker

__all__ = [
    "MlflowDeleted",
    "MlflowPruning",
    "Origin",
    "PublishedModel",
    "TrackedDataset",
    "TrackedModel",
    "TrackedRun",
    "Tracker",
    "follow_moved_artifacts",
    "this_process",
]
