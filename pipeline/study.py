"""What `reproduce` and `ablate` share: a ticker's history as its file has it, networks that are trained once, and their runs in MLflow.

A network is known by its recipe, data and seed. Its files lie below `studies/networks`; whatever is there is read, not made again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import assembly, embedding, tensorboard, windows
from pipeline.errors import LookAtTheData, NotEnoughHistory, RunError, StockcastError
from pipeline.lookahead import SEQUENCE_LENGTH, LookAhead
from pipeline.models.recipe import Recipe
from pipeline.prices.adjustment import adjust
from pipeline.prices.source import fetch
from pipeline.quantiles import MEDIAN
from pipeline.spec import Spec
from pipeline.splits import Split
from pipeline.training import SHARED, FitJob, LookAheadJob, PredictJob, Trained
from pipeline.universes import Universe
from pipeline.windows import Dataset

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.settings import Settings
    from pipeline.tracking import StockRun

FOLDER = "studies"
#: Before any price that a file may have.
EARLIEST = dt.date(1800, 1, 1)


@dataclass(frozen=True)
class Period:
    """The sessions of a history that a study looks at; None: from its first, to its last."""

    first: dt.date | None = None
    last: dt.date | None = None

    def __str__(self) -> str:
        return " ".join(f"{word} {day}" for word, day in (("from", self.first), ("to", self.last)) if day) or "all"


@dataclass(frozen=True)
class Data:
    """A dataset file and what it is cut into; `fingerprint` names the content."""

    file: bytes
    dataset: Dataset

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.file).hexdigest()[:16]


@dataclass(frozen=True)
class Network:
    """One network of a study; `data` by ticker, more than one where the stocks share it."""

    recipe: Recipe
    data: dict[str, Data]
    seed: int

    @property
    def stock(self) -> str:
        """Whose it is, for people."""
        return SHARED if self.recipe.pooled else next(iter(self.data))

    @property
    def title(self) -> str:
        return f"{self.stock} {self.recipe.name} seed {self.seed}"

    @cached_property
    def name(self) -> str:
        """What its files begin with."""
        data = {ticker: data.fingerprint for ticker, data in self.data.items()}
        about = [self.recipe.name, self.recipe.config_hash(), sorted(data.items()), self.seed]
        return f"{FOLDER}/networks/{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"

    @property
    def model(self) -> str:
        return f"{self.name}.keras"

    @property
    def training(self) -> str:
        return f"{self.name}.json"

    def said(self, ticker: str) -> str:
        return f"{self.name}-{ticker}.npy"

    def looked_ahead(self, ticker: str) -> str:
        return f"{self.name}-{ticker}-look-ahead.npz"


@dataclass(frozen=True)
class Outcome:
    """A finished study: `rows` one per network and ticker, `text` for people, `failures` by ticker, `folder` of its files."""

    rows: pd.DataFrame
    text: str
    failures: dict[str, StockcastError]
    folder: str


def universe_of(settings: Settings) -> Universe:
    """Whose prices a study looks at: the folder that the settings name, or the sample."""
    # A recipe, target or horizon of the settings is the study's to judge, not the universe's.
    return assembly.universe_of(dataclasses.replace(settings, recipe="", target="", horizon=None))


def history_of(parts: Parts, universe: Universe, ticker: str, target: str, period: Period, now: dt.datetime) -> pd.DataFrame:
    """A ticker's HISTORY, one row per session, nothing masked and nothing filled.

    Before the years that the calendar knows, every day that the source has is a session.
    """
    source, calendar = parts.source(universe), parts.calendar(universe)
    fetched = fetch(source, ticker, period.first or EARLIEST, period.last or now.date(), calendar, now)
    if fetched.prices.empty:
        raise NotEnoughHistory(
            f"{ticker}: no prices{'' if period == Period() else f' {period}'}. Give a folder that has them, or another range."
        )
    last = fetched.prices["session"].max().date()
    history = adjust(fetched.prices, fetched.actions, last)
    if universe.source == "csv" and target == "adj_close":
        history["adj_close"] = history["session"].map(source.adjusted_close(ticker)).astype("float64")
    days = [moment.date() for moment in history["session"]]
    known = calendar.sessions(EARLIEST, last)
    return windows.on_calendar(history, [*(day for day in days if not known or day < known[0]), *known])


def data_of(history: pd.DataFrame, recipe: Recipe, target: str, split: Split) -> Data:
    """The dataset of one ticker for forecasts one session ahead; `NotEnoughHistory` where nothing can be learnt or tested."""
    if target not in recipe.targets:
        raise LookAtTheData(
            f"{recipe.name} does not forecast {target}; its targets are {', '.join(recipe.targets)} (flag --target)."
        )
    ticker, last = history["ticker"].iloc[0], history["session"].iloc[-1].date()
    spec = Spec(ticker, last, target, 1, recipe.window, recipe.normalisation, split, recipe.smoothing)
    known = f"{ticker}: {len(history)} sessions from {history['session'].iloc[0].date()} to {last}"
    needed = (
        f"{recipe.name} needs {spec.window.context_length} as context and {max(split.min_train_windows, 1)} to train on ({split})"
    )
    if len(history) <= spec.window.context_length:
        raise NotEnoughHistory(f"{known} are too few: {needed}. Give files that begin earlier.")
    file = windows.encode(history, spec)
    dataset = windows.load_dataset(file)
    found = (len(dataset.train) + dataset.left_out["train"]) * spec.window.stride
    if found < split.min_train_windows:
        raise NotEnoughHistory(f"{known} leave {found} to train on: {needed}. Give files that begin earlier.")
    if not dataset.trainable:
        raise NotEnoughHistory(
            f"{known}, but so many lack their {target} that {recipe.name} cannot be trained and tested. Look at the file, or choose "
            "another column (flag --target)."
        )
    return Data(file, dataset)


def train(parts: Parts, step: str, networks: Sequence[Network], sectors: Mapping[str, str]) -> dict[str, StockcastError]:
    """Trains what is not there yet, and has each say what it makes of its test windows; by network name, why one failed."""
    missing = [network for network in networks if parts.settings.tensorboard or not parts.artifacts.exists(network.model)]
    if len(networks) > len(missing):
        parts.progress(step, "", f"{len(networks) - len(missing)} of {len(networks)} networks are there already")
    failures = _fit(parts, step, missing, sectors)
    _predict(parts, [network for network in networks if network.name not in failures], failures)
    return failures


def _fit(parts: Parts, step: str, networks: Sequence[Network], sectors: Mapping[str, str]) -> dict[str, StockcastError]:
    failures: dict[str, StockcastError] = {}
    jobs = [
        FitJob(
            network.stock,
            network.recipe,
            {ticker: data.file for ticker, data in network.data.items()},
            network.seed,
            parts.settings.tensorboard and str(Path(parts.settings.tensorboard, network.recipe.name, network.title)),
        )
        for network in networks
    ]
    of = {id(job): network for job, network in zip(jobs, networks, strict=True)}
    for done, (job, outcome) in enumerate(parts.workers.fit_all(jobs) if jobs else (), start=1):
        network, place = of[id(job)], f"{done} of {len(jobs)}: {job.recipe.name}, seed {job.seed}"
        if isinstance(outcome, StockcastError):
            failures[network.name] = outcome
            parts.progress(step, job.ticker, f"{place} failed: {outcome}")
            continue
        _save(parts, network, outcome)
        if job.tensorboard and job.recipe.pooled:
            tensorboard.save_projector(job.tensorboard, *embedding.vectors(outcome.model), sectors)
        parts.progress(step, job.ticker, f"{place}: {len(outcome.history['loss']) - 1} epochs, {outcome.seconds:.1f} s")
    return failures


def _save(parts: Parts, network: Network, trained: Trained) -> None:
    parts.artifacts.write(network.training, trained.about())
    # Last: where the model file is, all the rest is.
    parts.artifacts.write(network.model, trained.model)


def _predict(parts: Parts, networks: Iterable[Network], failures: dict[str, StockcastError]) -> None:
    jobs, of = [], {}
    for network in networks:
        for ticker, data in network.data.items():
            if not parts.artifacts.exists(network.said(ticker)):
                jobs.append(PredictJob(ticker, parts.artifacts.read(network.model), (data.dataset.test,), 1))
                of[id(jobs[-1])] = network
    for job, outcome in parts.workers.predict_all(jobs) if jobs else ():
        network = of[id(job)]
        if isinstance(outcome, StockcastError):
            failures[network.name] = outcome
        elif not np.isfinite(outcome[0]).all():
            failures[network.name] = RunError(
                f"{job.ticker}: {network.recipe.name} with seed {network.seed} forecasts no numbers: its training has diverged. Try another seed."
            )
        else:
            parts.artifacts.write(network.said(job.ticker), _npy(_points(outcome[0][:, 0])))


def _points(said: np.ndarray) -> np.ndarray:
    """(n,): the median, where quantiles (n, Q) were said."""
    return said[:, MEDIAN] if said.ndim == 2 else said


def said(parts: Parts, network: Network, ticker: str) -> np.ndarray:
    """What a network forecast for the test sessions of `network.data[ticker]`, dollars (n,)."""
    return np.load(io.BytesIO(parts.artifacts.read(network.said(ticker))), allow_pickle=False)


def training_of(parts: Parts, network: Network) -> dict:
    """history, best_epoch and seconds of a training."""
    return json.loads(parts.artifacts.read(network.training))


def look_ahead(parts: Parts, step: str, wanted: Sequence[tuple[Network, str]]) -> list[StockcastError]:
    """The three ways ahead of each network over the test sessions of a ticker, made once; why some could not be made."""
    jobs, of, failures = [], {}, []
    for network, ticker in wanted:
        if not parts.artifacts.exists(network.looked_ahead(ticker)):
            test = network.data[ticker].dataset.test
            jobs.append(LookAheadJob(ticker, parts.artifacts.read(network.model), test, SEQUENCE_LENGTH))
            of[id(jobs[-1])] = network
    if jobs:
        parts.progress(step, "", f"looking ahead over the test sessions with {len(jobs)} network{'s' * (len(jobs) > 1)}")
    for job, outcome in parts.workers.look_ahead_all(jobs) if jobs else ():
        if isinstance(outcome, StockcastError):
            failures.append(outcome)
        else:
            parts.artifacts.write(of[id(job)].looked_ahead(job.ticker), _npz(outcome))
    return failures


def looked_ahead(parts: Parts, network: Network, ticker: str) -> LookAhead:
    """What `look_ahead` has left."""
    with np.load(io.BytesIO(parts.artifacts.read(network.looked_ahead(ticker))), allow_pickle=False) as arrays:
        values = dict(arrays)
    return LookAhead(**{**values, "sessions": values["sessions"].astype("datetime64[D]"), "length": int(values["length"])})


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _npz(look: LookAhead) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{**dataclasses.asdict(look), "sessions": look.sessions.astype("datetime64[D]").astype("int32")})
    return file.getvalue()


def folder(name: str, universe: Universe, params: Mapping[str, object]) -> str:
    """Where a study's files lie, below `FOLDER`: one of its own for each set of parameters (`target` among them) and source."""
    return f"{name}-{params['target']}-{_digest(universe, params)[:8]}"


def _digest(universe: Universe, params: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps([universe.source_id, params], sort_keys=True).encode()).hexdigest()[:16]


def save(parts: Parts, place: str, files: Mapping[str, bytes]) -> None:
    """Writes a study's files by name into its `folder`."""
    for name, content in files.items():
        parts.artifacts.write(f"{FOLDER}/{place}/{name}", content)


def record(
    parts: Parts,
    universe: Universe,
    title: str,
    params: dict[str, object],
    runs: Iterable[StockRun],
    metrics: dict[str, float],
    files: dict[str, bytes],
    experiment: str = FOLDER,
) -> None:
    """A parent run with a child for each of `runs`; repeating it changes nothing, and other `params` make other runs."""
    tracked = parts.tracker(experiment)  # all studies are one experiment
    parent = tracked.open_parent(f"{title} {_digest(universe, params)}", title, {"study": title}, params)
    for run in runs:
        tracked.record(parent, run)
    tracked.close_session(parent, metrics, files)
