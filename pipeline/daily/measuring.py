"""Measuring: networks and baselines on the same windows, the default recipe's on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.daily import statistical_metrics
from pipeline.daily.dataset_files import read_dataset
from pipeline.daily.lineup import DEFAULT_RIVAL, POOLED, Lineup, NetworkEntry
from pipeline.daily.prediction_files import (
    encode_predictions,
    predictions_file,
    predictions_table,
)
from pipeline.decisions import (
    EvaluationSet,
    ModelForecasts,
    SplitForecasts,
    quantiles_of,
    stored_precision,
)
from pipeline.decisions import evaluate as evaluate_models
from pipeline.errors import NothingStored, StockcastError
from pipeline.outcomes import Outcomes
from pipeline.run import Run
from pipeline.training import Job, PredictJob
from pipeline.windows import Dataset, Windows, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts


#: The answer to a `PredictJob`: of each of its windows.
Predictions = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The worth of networks and baselines on a stock's datasets.

    Attributes:
        forecasts: of each network that may be published, the current one first.
        rows: EVALUATIONS.
        predictions: the current network's test predictions; None: there is no network.
    """

    stock: EvaluationSet
    forecasts: tuple[tuple[NetworkEntry, SplitForecasts], ...]
    rows: pd.DataFrame
    predictions: pd.DataFrame | None


#: The forecasts of a ticker's networks, in the order of its lineup.
NetworkForecasts = tuple[tuple[NetworkEntry, ModelForecasts], ...]


def measure(parts: Parts, run: Run, lineups: Sequence[Lineup]) -> Outcomes[Evaluation]:
    """Measure baselines and networks on the same windows, the default recipe's on its own."""
    stocks = {own.ticker: _evaluation_set(parts, own) for own in lineups}
    for stock in stocks.values():
        statistical_metrics.measure_statistical(parts, stock)
    networks = _forecast(parts, run, lineups, stocks)
    measured = [stock for ticker, stock in stocks.items() if ticker not in networks.failures]
    models: list[ModelForecasts] = []
    for stock in measured:
        models += [
            ModelForecasts(stock.dataset, stock.dataset_id, name, forecasts)
            for name, forecasts in stock.baselines.items()
        ]
        models += [made for _, made in networks.results.get(stock.ticker, ())]
    rows, tests = evaluate_models(models)
    calibrated = dict(zip(map(id, models), tests, strict=True))
    by_dataset = {str(name): own for name, own in rows.groupby("dataset")}
    evaluations = {
        stock.ticker: _evaluation(
            parts, stock, networks.results.get(stock.ticker, ()), by_dataset, calibrated
        )
        for stock in measured
    }
    return Outcomes(evaluations, networks.failures)


def _evaluation_set(parts: Parts, own: Lineup) -> EvaluationSet:
    dataset_id = own.training.dataset
    return EvaluationSet(own.ticker, dataset_id, load_dataset(read_dataset(parts, dataset_id)))


def _forecast(
    parts: Parts, run: Run, lineups: Sequence[Lineup], stocks: Mapping[str, EvaluationSet]
) -> Outcomes[NetworkForecasts]:
    """Return the forecasts of all networks, by ticker."""
    jobs: dict[Job[Predictions], tuple[str, NetworkEntry, Dataset]] = {}
    for own in lineups:
        for network in own.networks:
            dataset = _windows_for(parts, stocks[own.ticker], network)
            windows, horizon = (dataset.validation, dataset.test), dataset.spec.horizon
            job = predict_job(parts, run, own.ticker, network, windows, horizon)
            jobs[job] = own.ticker, network, dataset
    made: dict[tuple[str, str], ModelForecasts] = {}
    failures: dict[str, StockcastError] = {}
    for answered, future in parts.workers.run(list(jobs)):
        ticker, network, dataset = jobs[answered]
        try:
            predictions = future.result()
        except StockcastError as error:
            failures[ticker] = error
            continue
        made[ticker, network.role] = _forecasts_of(stocks[ticker], network, dataset, predictions)
    results = {
        own.ticker: tuple((network, made[own.ticker, network.role]) for network in own.networks)
        for own in lineups
        if own.ticker not in failures
    }
    return Outcomes(results, failures)


def _forecasts_of(
    stock: EvaluationSet, network: NetworkEntry, dataset: Dataset, predictions: Predictions
) -> ModelForecasts:
    """Return a network's predictions of validation and test windows as quantiles.

    Args:
        dataset: the windows as the network was given them.
    """
    validation, test = map(
        stored_precision, quantiles_of(dataset.validation, predictions, (dataset.test,))
    )
    measured_on, dataset_id = stock.dataset, stock.dataset_id
    if network.role == DEFAULT_RIVAL:
        measured_on, dataset_id = dataset, network.dataset
    forecasts = SplitForecasts(validation, test)
    return ModelForecasts(measured_on, dataset_id, network.model_id, forecasts)


def _windows_for(parts: Parts, stock: EvaluationSet, network: NetworkEntry) -> Dataset:
    """Return the windows that a network is measured on, normalised as it was trained."""
    if network.role == DEFAULT_RIVAL:
        return load_dataset(read_dataset(parts, network.dataset))
    recipe = parts.recipes.for_price(network.recipe.removesuffix(".pool"))
    is_same = network.dataset == stock.dataset_id or not recipe.normalisation.is_fitted
    if network.role == POOLED or is_same:
        return stock.dataset
    fitted_on = read_dataset(parts, network.dataset)
    return load_dataset(read_dataset(parts, stock.dataset_id), fitted_on)


def _evaluation(
    parts: Parts,
    stock: EvaluationSet,
    networks: NetworkForecasts,
    rows: Mapping[str, pd.DataFrame],
    calibrated: Mapping[int, np.ndarray],
) -> Evaluation:
    """Keep the predictions of the current network, and those of the default recipe's."""
    compared = [(each, made) for each, made in networks if each.role != DEFAULT_RIVAL]
    rivals = [made for each, made in networks if each.role == DEFAULT_RIVAL]
    tables = []
    for made in (*(made for _, made in compared[:1]), *rivals):
        table = predictions_table(made.dataset.test, calibrated[id(made)])
        file = predictions_file(made.dataset_id, made.model)
        if not parts.artifacts.exists(file):
            parts.artifacts.write(file, encode_predictions(table))
        tables.append(table)
    measured_on = dict.fromkeys([stock.dataset_id, *(made.dataset_id for _, made in networks)])
    return Evaluation(
        stock,
        tuple((each, made.forecasts) for each, made in compared),
        pd.concat([rows[dataset] for dataset in measured_on]),
        tables[0] if compared else None,
    )


def predict_job(
    parts: Parts,
    run: Run,
    ticker: str,
    network: NetworkEntry,
    windows: tuple[Windows, ...],
    horizon: int,
) -> PredictJob:
    """Return the job that forecasts windows with a network.

    Raises:
        NothingStored: the network has not been trained.
    """
    if not parts.networks.has(network.model_id):
        step = "pretrain" if network.role == POOLED else "train"
        raise NothingStored(
            f"{ticker} {run.session}: its network {network.model_id} is not there. "
            f"Run `{step}` for this session first."
        )
    return PredictJob(ticker, parts.networks.model(network.model_id), windows, horizon)
