"""Tracking: experiments, runs and registered models in MLflow."""

from pipeline.tracking.entries import Origin, TrackedDataset, TrackedModel, TrackedRun
from pipeline.tracking.owners import this_process
from pipeline.tracking.tracker import Tracker

__all__ = [
    "Origin",
    "TrackedDataset",
    "TrackedModel",
    "TrackedRun",
    "Tracker",
    "this_process",
]
