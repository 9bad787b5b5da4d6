"""A recipe trained on made datasets and asked about their validation and test windows: what backtests and searches repeat many times.

Networks and what they said are kept under `fits/`, named by everything that decides them; whatever is there is read, not made again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline import evaluation
from pipeline.errors import NotEnoughHistory, RunError, StockcastError
from pipeline.models.recipe import Recipe
from pipeline.training import SHARED, FitJob, PredictJob
from pipeline.windows import load_dataset

if TYPE_CHECKING:
    from pipeline.assembly import Parts

FOLDER = "fits"
#: (validation, test), each quantiles in dollars (n, H, Q), not calibrated.
Forecasts = tuple[np.ndarray, np.ndarray]


def forecasts(
    parts: Parts, step: str, recipe: Recipe, files: Mapping[str, bytes], seed: int, begin: Mapping[str, bytes] | None = None
) -> dict[str, Forecasts | StockcastError]:
    """What a recipe's networks say about each ticker's validation and test windows, by ticker; or why one says nothing.

    Args:
        step: what progress is told as.
        files: dataset files of `windows.encode`, by ticker, all of one target and horizon.
        begin: earlier dataset files, by ticker: networks are trained on those, and only tuned on `files` (a warm start, one deep).
    """
    datasets = {ticker: load_dataset(file) for ticker, file in files.items()}
    fitted = {ticker: file for ticker, file in files.items() if datasets[ticker].trainable}
    outcomes: dict[str, Forecasts | StockcastError] = {
        ticker: NotEnoughHistory(f"{ticker}: too little history up to {dataset.spec.cutoff} for {recipe.name}. Begin later.")
        for ticker, dataset in datasets.items()
        if ticker not in fitted
    }
    begin = {ticker: file for ticker, file in (begin or {}).items() if load_dataset(file).trainable}
    names = _trained(parts, step, recipe, fitted, seed, begin)
    jobs, of = [], {}
    for ticker, name in names.items():
        if isinstance(name, StockcastError):
            outcomes[ticker] = name
        elif parts.artifacts.exists(_said(name, files[ticker])):
            outcomes[ticker] = _read(parts, _said(name, files[ticker]))
        else:
            dataset = datasets[ticker]
            windows = (dataset.validation, dataset.test)
            jobs.append(PredictJob(ticker, parts.artifacts.read(f"{name}.keras"), windows, dataset.spec.horizon))
            of[id(jobs[-1])] = name
    for job, outcome in parts.workers.predict_all(jobs) if jobs else ():
        if isinstance(outcome, StockcastError):
            outcomes[job.ticker] = outcome
        elif not all(np.isfinite(said).all() for said in outcome):
            outcomes[job.ticker] = RunError(
                f"{job.ticker}: {recipe.name} forecasts no numbers, so its training has diverged. Name another recipe."
            )
        else:
            dataset = datasets[job.ticker]
            said = evaluation.quantiles_of(dataset.validation, outcome, (dataset.test,))
            _write(parts, _said(of[id(job)], files[job.ticker]), said)
            outcomes[job.ticker] = said
    return {ticker: outcomes[ticker] for ticker in files}


def _trained(
    parts: Parts, step: str, recipe: Recipe, files: Mapping[str, bytes], seed: int, begin: Mapping[str, bytes] | None
) -> dict[str, str | StockcastError]:
    """The artifact name, without its ending, of the network for each ticker."""
    if recipe.pooled:
        base = _trained(parts, step, recipe, begin, seed, None) if begin else {}
        first = next(iter(base.values()), None)
        if isinstance(first, StockcastError):
            return dict.fromkeys(files, first)
        job, name = _job(recipe, SHARED, files, seed, (parts, first) if first else None)
        failures = _fit(parts, step, {name: job})
        return {ticker: failures.get(name, name) for ticker in files}
    bases: Mapping[str, str | StockcastError] = {}
    if recipe.fine_tuning:
        pool, name = _job(recipe.pool, SHARED, begin or files, seed, None)
        failure = _fit(parts, step, {name: pool}).get(name)
        bases = dict.fromkeys(files, failure or name)
    elif begin:
        bases = _trained(parts, step, recipe, {ticker: begin[ticker] for ticker in files if ticker in begin}, seed, None)
    jobs, names = {}, {}
    for ticker, file in files.items():
        base = bases.get(ticker)
        if isinstance(base, StockcastError):
            names[ticker] = base
            continue
        job, names[ticker] = _job(recipe, ticker, {ticker: file}, seed, (parts, base) if base else None)
        jobs[names[ticker]] = job
    failures = _fit(parts, step, jobs)
    return {ticker: failures.get(name, name) if isinstance(name, str) else name for ticker, name in names.items()}


def _job(recipe: Recipe, ticker: str, files: Mapping[str, bytes], seed: int, base: tuple[Parts, str] | None) -> tuple[FitJob, str]:
    prints = sorted((name, hashlib.sha256(file).hexdigest()) for name, file in files.items())
    about = [recipe.name, recipe.config_hash(), prints, seed, base[1] if base else ""]
    name = f"{FOLDER}/{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]}"
    content = base[0].artifacts.read(f"{base[1]}.keras") if base else None
    return FitJob(ticker, recipe, dict(files), seed, base=content), name


def _fit(parts: Parts, step: str, jobs: Mapping[str, FitJob]) -> dict[str, StockcastError]:
    """Trains what is not there yet; why some could not be, by artifact name."""
    failures: dict[str, StockcastError] = {}
    missing = {id(job): name for name, job in jobs.items() if not parts.artifacts.exists(f"{name}.keras")}
    todo: Sequence[FitJob] = [job for job in jobs.values() if id(job) in missing]
    for job, outcome in parts.workers.fit_all(todo) if todo else ():
        name = missing[id(job)]
        if isinstance(outcome, StockcastError):
            failures[name] = outcome
            continue
        parts.artifacts.write(f"{name}.json", outcome.about())
        parts.artifacts.write(f"{name}.keras", outcome.model)
        parts.progress(step, job.ticker, f"{job.recipe.name}: {len(outcome.history['loss']) - 1} epochs, {outcome.seconds:.1f} s")
    return failures


def _said(name: str, file: bytes) -> str:
    return f"{name}-{hashlib.sha256(file).hexdigest()[:16]}.npz"


def _write(parts: Parts, name: str, said: Forecasts) -> None:
    file = io.BytesIO()
    np.savez(file, validation=said[0], test=said[1])
    parts.artifacts.write(name, file.getvalue())


def _read(parts: Parts, name: str) -> Forecasts:
    with np.load(io.BytesIO(parts.artifacts.read(name)), allow_pickle=False) as arrays:
        return arrays["validation"], arrays["test"]
