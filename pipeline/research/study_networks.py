"""The networks of `reproduce` and `ablate`, their test predictions and their ways ahead.

Networks come from the one cache; what they predict lies below `studies/predictions`, named by
network and dataset. A file that is there is read, not made again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import RunError, StockcastError
from pipeline.models import PriceRecipe
from pipeline.quantiles import MEDIAN
from pipeline.reporting import counted
from pipeline.research.study import STUDIES, StudyData
from pipeline.storage import pack_arrays, unpack_arrays
from pipeline.training import (
    SHARED,
    Job,
    LearntFrom,
    LookAheadJob,
    NetworkRequest,
    PredictJob,
    PriceNetworkRequest,
    TrainingRecord,
)
from pipeline.windows import SEQUENCE_LENGTH, LookAhead

if TYPE_CHECKING:
    from pipeline.parts import Parts


@dataclass(frozen=True, eq=False)
class StudyNetwork:
    """One network of a study; `data` by ticker, more than one where the stocks share it."""

    recipe: PriceRecipe
    data: Mapping[str, StudyData]
    seed: int

    @property
    def label(self) -> str:
        """Its ticker, or `SHARED`."""
        return SHARED if self.recipe.pooled else next(iter(self.data))

    @property
    def title(self) -> str:
        """Its name in MLflow and TensorBoard."""
        return f"{self.label} {self.recipe.name} seed {self.seed}"

    @cached_property
    def request(self) -> PriceNetworkRequest:
        """The request that it is trained by."""
        learnt_from = {
            ticker: LearntFrom.of(data.file, self.recipe) for ticker, data in self.data.items()
        }
        return PriceNetworkRequest(self.label, self.title, self.recipe, learnt_from, self.seed)

    @property
    def model_id(self) -> str:
        """Its identity in the cache of networks."""
        return self.request.model_id

    def predictions_file(self, ticker: str) -> str:
        """Return the artifact with its predictions of a ticker's test windows."""
        return f"{self._prefix(ticker)}.npz"

    def look_ahead_file(self, ticker: str) -> str:
        """Return the artifact with its three ways ahead."""
        return f"{self._prefix(ticker)}-look-ahead.npz"

    def _prefix(self, ticker: str) -> str:
        return f"{STUDIES}/predictions/{self.model_id}-{self.data[ticker].digest}"


def train_networks(
    parts: Parts, step: str, networks: Sequence[StudyNetwork], sectors: Mapping[str, str]
) -> dict[str, StockcastError]:
    """Train what is missing, and predict all test windows.

    With TensorBoard, networks that are there are trained again.

    Args:
        step: the name that progress is reported under.
        sectors: by ticker, for TensorBoard's projector.

    Returns:
        What failed, by ticker: all tickers of a network that failed have its error.
    """
    again = bool(parts.settings.tensorboard)
    missing = {
        network.model_id: network
        for network in networks
        if again or not parts.networks.has(network.model_id)
    }
    there = sum(network.model_id not in missing for network in networks)
    if there:
        parts.progress(step, "", f"{there} of {len(networks)} networks are there already")
    failed = _fit(parts, step, missing, sectors)
    failed |= _predict_tests(parts, [each for each in networks if each.model_id not in failed])
    failures: dict[str, StockcastError] = {}
    for network in networks:
        if network.model_id in failed:
            for ticker in network.data:
                failures.setdefault(ticker, failed[network.model_id])
    return failures


def _fit(
    parts: Parts, step: str, missing: Mapping[str, StudyNetwork], sectors: Mapping[str, str]
) -> dict[str, StockcastError]:
    """Train these networks by model_id; return what failed, by model_id."""
    done = 0

    def report(request: NetworkRequest, record: TrainingRecord, is_new: bool) -> None:
        nonlocal done
        done += 1
        place = f"{done} of {len(missing)}: {_name(missing[request.model_id])}"
        training = f"{counted(record.epochs, 'epoch')}, {record.seconds:.1f} s"
        parts.progress(step, request.label, f"{place}: {training}")

    if missing:
        networks = counted(len(missing), "network")
        epochs = sum(network.recipe.epochs for network in missing.values())
        parts.progress(step, "", f"training {networks}, {counted(epochs, 'epoch')} at most")
    requests = [network.request for network in missing.values()]
    failures = dict(parts.networks.fit(requests, report, sectors).failures)
    for model_id, error in failures.items():
        network = missing[model_id]
        parts.progress(step, network.label, f"{_name(network)} failed: {error}")
    return failures


def _name(network: StudyNetwork) -> str:
    return f"{network.recipe.name}, seed {network.seed}"


def _predict_tests(parts: Parts, networks: Iterable[StudyNetwork]) -> dict[str, StockcastError]:
    """Predict the test windows that have no predictions yet; return what failed, by model_id."""
    jobs: dict[Job[tuple[np.ndarray, ...]], StudyNetwork] = {}
    for network in networks:
        for ticker, data in network.data.items():
            if not parts.artifacts.has_derived(network.predictions_file(ticker)):
                model = parts.networks.model(network.model_id)
                jobs[PredictJob(ticker, model, (data.dataset.test,), 1)] = network
    failures: dict[str, StockcastError] = {}
    for job, future in parts.workers.run(list(jobs)):
        network = jobs[job]
        try:
            (predictions,) = future.result()
        except StockcastError as error:
            failures[network.model_id] = error
            continue
        if not np.isfinite(predictions).all():
            failures[network.model_id] = RunError(
                f"{job.label}: {network.recipe.name} with seed {network.seed} forecasts no "
                "numbers, so its training has diverged. Try another seed (--seed)."
            )
            continue
        points = predictions[:, 0]
        points = points[:, MEDIAN] if points.ndim == 2 else points
        file = pack_arrays({}, {"predictions": points})
        parts.artifacts.write_derived(network.predictions_file(job.label), file)
    return failures


def predictions_of(parts: Parts, network: StudyNetwork, ticker: str) -> np.ndarray:
    """Return a network's predictions of a ticker's test windows, prices (n,)."""
    file = parts.artifacts.read_derived(network.predictions_file(ticker))
    return unpack_arrays(file)[1]["predictions"]


def make_look_aheads(
    parts: Parts, step: str, wanted: Sequence[tuple[StudyNetwork, str]]
) -> list[StockcastError]:
    """Look ahead over a ticker's test windows with each network, once; return what failed."""
    jobs: dict[Job[LookAhead], StudyNetwork] = {}
    for network, ticker in wanted:
        if not parts.artifacts.has_derived(network.look_ahead_file(ticker)):
            model, test = parts.networks.model(network.model_id), network.data[ticker].dataset.test
            jobs[LookAheadJob(ticker, model, test, SEQUENCE_LENGTH)] = network
    if jobs:
        networks = counted(len(jobs), "network")
        parts.progress(step, "", f"looking ahead over the test sessions with {networks}")
    failures: list[StockcastError] = []
    for job, future in parts.workers.run(list(jobs)):
        try:
            look = future.result()
        except StockcastError as error:
            failures.append(error)
            continue
        file = jobs[job].look_ahead_file(job.label)
        parts.artifacts.write_derived(file, _encode_look_ahead(look))
    return failures


def look_ahead_of(parts: Parts, network: StudyNetwork, ticker: str) -> LookAhead:
    """Return what `make_look_aheads` has kept."""
    about, arrays = unpack_arrays(parts.artifacts.read_derived(network.look_ahead_file(ticker)))
    arrays["sessions"] = arrays["sessions"].astype("datetime64[D]")
    return LookAhead(**arrays, length=about["length"])


def _encode_look_ahead(look: LookAhead) -> bytes:
    sessions = look.sessions.astype("datetime64[D]").astype("int32")
    arrays = {**dataclasses.asdict(look), "sessions": sessions}
    length = arrays.pop("length")
    return pack_arrays({"length": length}, arrays)
