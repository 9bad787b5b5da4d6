"""Forecasts of a recipe's networks on made datasets, which backtests and searches often repeat.

Networks come from the one cache. Their forecasts are kept below `forecasts/`, named by network and
dataset. Whatever is there is read, not made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.decisions import SplitForecasts, quantiles_of
from pipeline.errors import NotEnoughHistory, RunError, StockcastError
from pipeline.models import PriceRecipe
from pipeline.outcomes import Outcomes
from pipeline.storage import content_digest, pack_arrays, unpack_arrays
from pipeline.training import (
    SHARED,
    Job,
    LearntFrom,
    NetworkRequest,
    PredictJob,
    PriceNetworkRequest,
    TrainingRecord,
)
from pipeline.windows import Dataset, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts


def network_forecasts(
    parts: Parts,
    step: str,
    recipe: PriceRecipe,
    files: Mapping[str, bytes],
    seed: int,
    begin: Mapping[str, bytes] | None = None,
) -> Outcomes[SplitForecasts]:
    """Forecast each ticker's validation and test windows with a recipe's networks.

    Args:
        step: the name that progress is reported under.
        files: dataset files by ticker, all of one target and horizon.
        begin: earlier dataset files by ticker: networks are trained on those and only tuned on
            `files` (a warm start, one deep).
    """
    datasets = {ticker: load_dataset(file) for ticker, file in files.items()}
    failures: dict[str, StockcastError] = {
        ticker: NotEnoughHistory(
            f"{ticker}: too little history up to {dataset.spec.cutoff} for {recipe.name}. "
            "Begin later (--from)."
        )
        for ticker, dataset in datasets.items()
        if not dataset.trainable
    }
    trainable = {ticker: file for ticker, file in files.items() if ticker not in failures}
    earlier = {t: file for t, file in (begin or {}).items() if load_dataset(file).trainable}
    networks = _networks(parts, step, recipe, trainable, seed, earlier)
    forecasts = _forecast(parts, recipe, networks.results, files, datasets)
    failures |= {**networks.failures, **forecasts.failures}
    return Outcomes(
        {ticker: forecasts.results[ticker] for ticker in files if ticker in forecasts.results},
        {ticker: failures[ticker] for ticker in files if ticker in failures},
    )


# Networks, by their model_ids


def _networks(
    parts: Parts,
    step: str,
    recipe: PriceRecipe,
    files: Mapping[str, bytes],
    seed: int,
    begin: Mapping[str, bytes],
) -> Outcomes[str]:
    """Train the network for each ticker where it is missing."""
    if not files:
        return Outcomes()
    if recipe.pooled:
        base = ""
        if begin:
            earlier = _networks(parts, step, recipe, begin, seed, {})
            if earlier.failures:
                error = next(iter(earlier.failures.values()))
                return Outcomes(failures=dict.fromkeys(files, error))
            base = next(iter(earlier.results.values()))
        request = _request(recipe, SHARED, files, seed, base)
        return _fit(parts, step, dict.fromkeys(files, request))
    bases = _bases(parts, step, recipe, files, seed, begin)
    requests = {
        ticker: _request(recipe, ticker, {ticker: file}, seed, bases.results.get(ticker, ""))
        for ticker, file in files.items()
        if ticker not in bases.failures
    }
    fitted = _fit(parts, step, requests)
    return Outcomes(fitted.results, {**bases.failures, **fitted.failures})


def _bases(
    parts: Parts,
    step: str,
    recipe: PriceRecipe,
    files: Mapping[str, bytes],
    seed: int,
    begin: Mapping[str, bytes],
) -> Outcomes[str]:
    """Train the network that each ticker's own goes on from, where there is one."""
    if recipe.fine_tuning:
        pool = _request(recipe.pool, SHARED, begin or files, seed, "")
        return _fit(parts, step, dict.fromkeys(files, pool))
    earlier = {ticker: begin[ticker] for ticker in files if ticker in begin}
    return _networks(parts, step, recipe, earlier, seed, {})


def _request(
    recipe: PriceRecipe, label: str, files: Mapping[str, bytes], seed: int, base: str
) -> PriceNetworkRequest:
    learnt_from = {ticker: LearntFrom.of(file, recipe) for ticker, file in files.items()}
    return PriceNetworkRequest(label, label, recipe, learnt_from, seed, base)


def _fit(parts: Parts, step: str, requests: Mapping[str, PriceNetworkRequest]) -> Outcomes[str]:
    """Train the networks that are missing; several tickers may ask for the same one."""

    def report(request: NetworkRequest, record: TrainingRecord, is_new: bool) -> None:
        if is_new:
            training = f"{record.epochs} epochs, {record.seconds:.1f} s"
            parts.progress(step, request.label, f"{request.recipe.name}: {training}")

    by_model = {request.model_id: request for request in requests.values()}
    failures = parts.networks.fit(list(by_model.values()), report).failures
    model_ids = {ticker: request.model_id for ticker, request in requests.items()}
    return Outcomes(
        {ticker: model_id for ticker, model_id in model_ids.items() if model_id not in failures},
        {t: failures[model_id] for t, model_id in model_ids.items() if model_id in failures},
    )


# Forecasts


def _forecast(
    parts: Parts,
    recipe: PriceRecipe,
    networks: Mapping[str, str],
    files: Mapping[str, bytes],
    datasets: Mapping[str, Dataset],
) -> Outcomes[SplitForecasts]:
    """Read or make the forecasts of each ticker that has a network.

    Args:
        networks: model_ids by ticker.
    """
    results: dict[str, SplitForecasts] = {}
    failures: dict[str, StockcastError] = {}
    jobs: dict[Job[tuple[np.ndarray, ...]], str] = {}
    names = {t: _forecasts_file(model_id, files[t]) for t, model_id in networks.items()}
    for ticker, model_id in networks.items():
        kept = parts.artifacts.find_derived(names[ticker])
        if kept is not None:
            _, arrays = unpack_arrays(kept)
            results[ticker] = SplitForecasts(arrays["validation"], arrays["test"])
            continue
        dataset, model = datasets[ticker], parts.networks.model(model_id)
        windows = (dataset.validation, dataset.test)
        jobs[PredictJob(ticker, model, windows, dataset.spec.horizon)] = ticker
    for job, future in parts.workers.run(list(jobs)):
        ticker = jobs[job]
        try:
            predictions = future.result()
        except StockcastError as error:
            failures[ticker] = error
            continue
        if not all(np.isfinite(part).all() for part in predictions):
            failures[ticker] = RunError(
                f"{ticker}: {recipe.name} forecasts no numbers, so its training has diverged. "
                "Name another recipe (--recipe), or another seed (--seed)."
            )
            continue
        dataset = datasets[ticker]
        validation, test = quantiles_of(dataset.validation, predictions, (dataset.test,))
        arrays = {"validation": validation, "test": test}
        parts.artifacts.write_derived(names[ticker], pack_arrays({}, arrays))
        results[ticker] = SplitForecasts(validation, test)
    return Outcomes(results, failures)


def _forecasts_file(model_id: str, dataset: bytes) -> str:
    return f"forecasts/{model_id}-{content_digest(dataset, 16)}.npz"
