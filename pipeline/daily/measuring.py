"""Measuring: networks and baselines on the same windows, the default recipe's on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
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
from pipeline.daily.regressions import stock_regressions
from pipeline.decisions import (
    EvaluationSet,
    ModelForecasts,
    SplitForecasts,
    quantiles_of,
    stored_precision,
)
from pipeline.decisions import evaluate as evaluate_models
from pipeline.errors import LookAtTheData, NothingStored
from pipeline.models import PriceRecipe, StockHar
from pipeline.outcomes import Outcomes, outcome_of_each, outcome_together
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
    of = {own.ticker: own for own in lineups}
    regressions = stock_regressions(parts, run, lineups)
    stocks = outcome_of_each(
        of, lambda ticker: _evaluation_set(parts, of[ticker], regressions.get(ticker))
    )
    networks = _forecast(parts, run, [of[t] for t in stocks.results], stocks.results)

    def measured(tickers: list[str]) -> dict[str, Evaluation]:
        return _evaluations(parts, [stocks.results[t] for t in tickers], networks.results)

    evaluated = outcome_together(list(networks.results), measured)
    failures = {**stocks.failures, **networks.failures, **evaluated.failures}
    return Outcomes(evaluated.results, failures)


def _evaluation_set(parts: Parts, own: Lineup, har: StockHar | None) -> EvaluationSet:
    """Return a ticker's windows, once the statistical baselines have been measured on them."""
    dataset_id = own.training.dataset
    dataset = load_dataset(read_dataset(parts, dataset_id))
    stock = EvaluationSet(own.ticker, dataset_id, dataset, har)
    statistical_metrics.measure_statistical(parts, stock)
    return stock


def _evaluations(
    parts: Parts, stocks: Sequence[EvaluationSet], networks: Mapping[str, NetworkForecasts]
) -> dict[str, Evaluation]:
    """Measure these stocks' baselines and networks, by ticker."""
    models: list[ModelForecasts] = []
    for stock in stocks:
        models += [
            ModelForecasts(stock.dataset, stock.dataset_id, name, forecasts)
            for name, forecasts in stock.baselines.items()
        ]
        models += [made for _, made in networks[stock.ticker]]
    rows, tests = evaluate_models(models)
    calibrated = dict(zip(map(id, models), tests, strict=True))
    by_dataset = {str(name): own for name, own in rows.groupby("dataset")}
    return {
        stock.ticker: _evaluation(parts, stock, networks[stock.ticker], by_dataset, calibrated)
        for stock in stocks
    }


#: A ticker's network, the job that forecasts with it, and the windows as it is given them.
_Asked = tuple[NetworkEntry, PredictJob, Dataset]


def _forecast(
    parts: Parts, run: Run, lineups: Sequence[Lineup], stocks: Mapping[str, EvaluationSet]
) -> Outcomes[NetworkForecasts]:
    """Return the forecasts of all networks, by ticker."""
    of = {own.ticker: own for own in lineups}

    def ask(ticker: str) -> list[_Asked]:
        asked = []
        for network in of[ticker].networks:
            dataset = _windows_for(parts, stocks[ticker], network)
            windows, horizon = (dataset.validation, dataset.test), dataset.spec.horizon
            job = predict_job(parts, run, ticker, network, windows, horizon)
            asked.append((network, job, dataset))
        return asked

    asked = outcome_of_each(of, ask)
    futures = answers_of(parts, [job for own in asked.results.values() for _, job, _ in own])

    def answered(ticker: str) -> NetworkForecasts:
        return tuple(
            (network, _forecasts_of(stocks[ticker], network, dataset, futures[job].result()))
            for network, job, dataset in asked.results[ticker]
        )

    made = outcome_of_each(asked.results, answered)
    return Outcomes(made.results, {**asked.failures, **made.failures})


def answers_of(
    parts: Parts, jobs: Sequence[PredictJob]
) -> dict[Job[Predictions], Future[Predictions]]:
    """Run jobs; return the finished future of each."""
    return dict(parts.workers.run(list(jobs)))


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
    require_finite(stock.ticker, network, validation, test)
    measured_on, dataset_id = stock.dataset, stock.dataset_id
    if network.role == DEFAULT_RIVAL:
        measured_on, dataset_id = dataset, network.dataset
    forecasts = SplitForecasts(validation, test)
    return ModelForecasts(measured_on, dataset_id, network.model_id, forecasts)


def require_finite(ticker: str, network: NetworkEntry, *quantiles: np.ndarray) -> None:
    """Require that a network forecasts numbers.

    Raises:
        LookAtTheData: one is not finite.
    """
    count = sum(int((~np.isfinite(each)).sum()) for each in quantiles)
    if count:
        raise LookAtTheData(
            f"{ticker}: {count} of {sum(each.size for each in quantiles)} numbers that its network "
            f"{network.model_id} forecasts are not finite. Look at its prices, or name another "
            "recipe (--recipe)."
        )


def _windows_for(parts: Parts, stock: EvaluationSet, network: NetworkEntry) -> Dataset:
    """Return the windows that a network is measured on, normalised as it was trained."""
    if network.role == DEFAULT_RIVAL:
        return load_dataset(read_dataset(parts, network.dataset))
    if network.dataset == stock.dataset_id:
        return stock.dataset
    own = fitted_on(parts, recipe_of(parts, network), network)
    return (
        stock.dataset if own is None else load_dataset(read_dataset(parts, stock.dataset_id), own)
    )


def recipe_of(parts: Parts, network: NetworkEntry) -> PriceRecipe:
    """Return the recipe that a network, or the pooled one that it is, was trained by."""
    return parts.recipes.for_price(network.recipe.removesuffix(".pool"))


def fitted_on(parts: Parts, recipe: PriceRecipe, network: NetworkEntry) -> bytes | None:
    """Return the dataset file that a network's normalisation was fitted on; None: on none."""
    is_fitted = recipe.normalisation.is_fitted and network.role != POOLED
    return read_dataset(parts, network.dataset) if is_fitted else None


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
        if not parts.artifacts.has_derived(file):
            parts.artifacts.write_derived(file, encode_predictions(table))
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
        DamagedFile: its file is not what was written.
    """
    try:
        model = parts.networks.model(network.model_id)
    except NothingStored:
        step = "pretrain" if network.role == POOLED else "train"
        raise NothingStored(
            f"{ticker} {run.session}: its network {network.model_id} is not there. "
            f"Run `{step}` for this session first."
        ) from None
    return PredictJob(ticker, model, windows, horizon)
