"""A stock in MLflow: the run that says what its networks are worth on its training dataset."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.currencies import price_currency
from pipeline.daily.dataset_files import dataset_file
from pipeline.daily.lineup import Lineup, NetworkEntry
from pipeline.daily.measuring import recipe_of
from pipeline.daily.prediction_files import (
    picture_file,
    predictions_file,
    results_csv,
    spread_of_changes,
)
from pipeline.daily.statistical_metrics import statistical_metrics
from pipeline.daily.tracked_stock_metrics import (
    default_rival_figures,
    distribution_figures,
    stock_description,
    stock_figures,
)
from pipeline.models import NAIVE, Pinball, PriceRecipe
from pipeline.quantiles import QUANTILE_COUNT
from pipeline.reporting import charts
from pipeline.run import Run
from pipeline.tracking import TrackedDataset, TrackedModel, TrackedRun
from pipeline.windows import Dataset

if TYPE_CHECKING:
    from pipeline.daily.measuring import Evaluation
    from pipeline.parts import Parts

#: Stocks up to which each has a picture in MLflow: it takes as long to draw as all the rest of its
#: run takes. `predictions.csv` is always there.
PICTURED = 50


def stock_run(
    parts: Parts, run: Run, recipe: PriceRecipe, own: Lineup, evaluation: Evaluation
) -> TrackedRun:
    """Return the run of one stock.

    Its current network comes first, and the baselines alone where there is none.
    """
    dataset = evaluation.stock.dataset
    currency = price_currency(parts, run, own.ticker)
    about = TrackedRun(
        ticker=own.ticker,
        params=_params(parts, run, recipe, own, dataset),
        metrics={},
        tags={
            "dataset": own.training.dataset,
            "source_id": run.universe.source_id,
            **({"currency": currency} if currency else {}),
            **recipe_tags(recipe),
        },
        datasets=(_tracked_dataset(parts, own, dataset),),
    )
    tracked = _with_network(parts, run, own, evaluation, about)
    description = stock_description(own, recipe, tracked.metrics, len(dataset.test))
    return replace(tracked, description=description)


def _with_network(
    parts: Parts, run: Run, own: Lineup, evaluation: Evaluation, about: TrackedRun
) -> TrackedRun:
    """Return the run with the stock's networks and their figures, or with why there is none."""
    table = evaluation.predictions
    if not own.compared or table is None:
        return replace(
            about,
            metrics=_metrics(parts, own, evaluation, NAIVE),
            tags={**about.tags, "no_network": own.training.reason},
        )
    dataset = evaluation.stock.dataset
    current, *rivals = own.compared
    record = parts.networks.training(current.model_id)
    model_id, cutoff = current.model_id, current.training_cutoff
    return replace(
        about,
        params={**about.params, "model_id": model_id, "training_cutoff": cutoff},
        metrics={
            **_metrics(parts, own, evaluation, model_id),
            **distribution_figures(table),
            "test/spread": spread_of_changes(table),
            **default_rival_figures(parts, table, own.default_rival),
            "training/epochs": float(record.epochs),
            "training/best_epoch": float(record.best_epoch),
            "training/seconds": record.seconds,
        },
        history={f"training/{name}": values for name, values in record.history.items()},
        tags={
            **about.tags,
            "model_id": model_id,
            "code_version": record.code_version,
            "training_cutoff": str(cutoff),
        },
        model=_tracked_model(parts, current, dataset),
        rivals=tuple(_tracked_model(parts, each, dataset) for each in rivals),
        files=_files(parts, own, current, table),
        pictures=_pictures(parts, run, own, current, table, about.tags.get("currency", "")),
    )


def recipe_tags(recipe: PriceRecipe) -> dict[str, str]:
    """Return tags that say where a network comes from, and how its protocol peeks, if it does."""
    leak = {"leak": recipe.leak} if recipe.leak else {}
    return {"mode": recipe.mode, "recipe_source": recipe.source, **leak}


def _params(
    parts: Parts, run: Run, recipe: PriceRecipe, own: Lineup, dataset: Dataset
) -> dict[str, object]:
    training = own.training
    return {
        "ticker": own.ticker,
        "dataset": training.dataset,
        "dataset_cutoff": training.cutoff,
        "dataset_sessions": training.sessions,
        "train_windows": len(dataset.train),
        "validation_windows": len(dataset.validation),
        "test_windows": len(dataset.test),
        "windows_left_out": sum(dataset.left_out.values()),
        "masked_cells": dataset.masked_cells,
        "seed": parts.settings.seed,
        "source": run.universe.source,
        **{f"recipe.{name}": value for name, value in recipe.parameters().items()},
    }


def _metrics(parts: Parts, own: Lineup, evaluation: Evaluation, model: str) -> dict[str, float]:
    training, rows = own.training.dataset, evaluation.rows
    figures = stock_figures(rows[rows["dataset"] == training], model)
    return figures | statistical_metrics(parts, training)


def _files(
    parts: Parts, own: Lineup, current: NetworkEntry, predictions: pd.DataFrame
) -> dict[str, bytes]:
    file = predictions_file(own.training.dataset, current.model_id)
    return {
        "predictions.csv": parts.artifacts.read_derived(file),
        "results.csv": results_csv(predictions),
    }


def _pictures(
    parts: Parts,
    run: Run,
    own: Lineup,
    current: NetworkEntry,
    predictions: pd.DataFrame,
    currency: str,
) -> dict[str, partial[bytes]]:
    if len(run.universe.tickers) > PICTURED:
        return {}
    name = picture_file(own.training.dataset, current.model_id, currency)
    return {"prediction.png": partial(_picture, parts, name, own.ticker, predictions, currency)}


def _picture(
    parts: Parts, name: str, ticker: str, predictions: pd.DataFrame, currency: str
) -> bytes:
    """Return the picture of test predictions, kept for all sessions between two trainings."""
    picture = parts.artifacts.find_derived(name)
    if picture is None:
        picture = charts.prediction_plot(ticker, predictions, currency)
        parts.artifacts.write_derived(name, picture)
    return picture


def _tracked_dataset(parts: Parts, own: Lineup, dataset: Dataset) -> TrackedDataset:
    training = own.training
    return TrackedDataset(
        name=f"{own.ticker} up to {training.cutoff}",
        digest=training.dataset[:36],
        url=parts.artifacts.url(dataset_file(training.dataset)),
        columns=tuple(dataset.spec.columns),
        rows=training.sessions,
        context="training, validation, test",
    )


def _tracked_model(parts: Parts, network: NetworkEntry, dataset: Dataset) -> TrackedModel:
    recipe = recipe_of(parts, network)
    quantiles = isinstance(recipe.loss, Pinball)
    spec = dataset.spec
    features = getattr(spec.normalisation, "features", len(spec.columns))
    inputs: dict[str, tuple[int, ...]] = {"past": (spec.window.steps, spec.window.block * features)}
    if recipe.knows_symbols:
        inputs["symbol"] = (1,)
    seven = " (seven quantiles a session)" if quantiles else ""
    return TrackedModel(
        model_id=network.model_id,
        training_cutoff=network.training_cutoff,
        content=parts.networks.model(network.model_id),
        inputs=inputs,
        outputs=spec.outputs * (QUANTILE_COUNT if quantiles else 1),
        columns=spec.columns,
        output_is=f"the target, normalised: {spec.normalisation}{seven}",
    )
