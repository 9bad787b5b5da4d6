"""Training: networks are fitted and asked in worker processes, and kept as plain Keras files."""

from pipeline.training import embedding
from pipeline.training.jobs import (
    SHARED,
    AnswerJob,
    Job,
    LookAheadJob,
    PredictJob,
    Trained,
    TrainingRecord,
    WriteJob,
)
from pipeline.training.network_cache import (
    ExampleNetworkRequest,
    Fitted,
    LearntFrom,
    NetworkRequest,
    Networks,
    PriceNetworkRequest,
    training_digest,
)
from pipeline.training.numpy_networks import window_digests
from pipeline.training.tensorboard import BOARD_FILES
from pipeline.training.workers import (
    WORKER_ENVIRONMENT,
    Workers,
    answers_by_label,
    shared_workers,
)

__all__ = [
    "BOARD_FILES",
    "SHARED",
    "WORKER_ENVIRONMENT",
    "AnswerJob",
    "ExampleNetworkRequest",
    "Fitted",
    "Job",
    "LearntFrom",
    "LookAheadJob",
    "NetworkRequest",
    "Networks",
    "PredictJob",
    "PriceNetworkRequest",
    "Trained",
    "TrainingRecord",
    "Workers",
    "WriteJob",
    "answers_by_label",
    "embedding",
    "shared_workers",
    "training_digest",
    "window_digests",
]
