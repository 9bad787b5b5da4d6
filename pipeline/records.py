"""What a run leaves for people: its entry in MLflow, put together from what the store and the artifacts hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from pipeline import datasets, networks, reporting
from pipeline.metrics import LEVELS
from pipeline.models.baselines import BASELINES, NAIVE
from pipeline.models.recipe import Recipe
from pipeline.run import Run
from pipeline.tables import EVALUATIONS, MODELS
from pipeline.tracking import StockRun, TrackedModel, Tracker
from pipeline.windows import FEATURES, Dataset

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: What of a run's settings decides its outcome, besides the recipe and the universe.
DECISIVE = ("seed", "promotion_margin", "test_floor", "max_quarantined")


def open_session(parts: Parts, tracker: Tracker, run: Run, recipe: Recipe) -> str:
    """The parent run in MLflow; its run id."""
    universe = run.universe
    params = {
        "session": run.session,
        "training_cutoff": run.training_cutoff,
        "previous_cutoff": run.previous_cutoff,
        "tickers": ",".join(universe.tickers),
        "source": universe.source,
        "calendar": universe.calendar,
        "retrain": universe.retrain,
        "horizon": universe.horizon,
        **{name: getattr(parts.settings, name) for name in DECISIVE},
    }
    return tracker.open_session(run.session, recipe.name, universe.target, {"universe": universe.name}, params)


def stock_run(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> StockRun:
    """What is tracked for one stock; from the store and the artifacts alone, so it is the same however often it is asked for."""
    rows, compared = datasets.by_role(parts, run, ticker), networks.compared(parts, run, recipe, ticker)
    training = rows["training"]["dataset"]
    dataset = datasets.load(parts, training)
    evaluations = parts.store.load(EVALUATIONS, dataset=training)
    params = {
        "ticker": ticker,
        "cutoff": run.session,
        "dataset": training,
        "dataset_cutoff": rows["training"]["dataset_cutoff"].date(),
        "dataset_sessions": rows["training"]["sessions"],
        "train_windows": len(dataset.train),
        "validation_windows": len(dataset.validation),
        "test_windows": len(dataset.test),
        "windows_left_out": sum(dataset.left_out.values()),
        "masked_cells": dataset.masked_cells,
        "seed": parts.settings.seed,
        "source": run.universe.source,
        **{f"recipe.{name}": value for name, value in recipe.parameters().items()},
    }
    tags = {"dataset": training, "cutoff": str(run.session), "source_id": run.universe.source_id}
    if not compared:
        tags["no_network"] = rows["training"]["reason"]
        return StockRun(ticker=ticker, params=params, metrics=_figures(evaluations, NAIVE), tags=tags)
    current = compared[0]
    about = json.loads(parts.artifacts.read(networks.history_file(current.model_id)))
    model = parts.store.load(MODELS, model_id=current.model_id).iloc[0]
    predictions = parts.artifacts.read(networks.predictions_file(training, current.model_id))
    return StockRun(
        ticker=ticker,
        params={**params, "model_id": current.model_id, "training_cutoff": current.training_cutoff},
        metrics={
            **_figures(evaluations, current.model_id),
            "epochs": float(model["epochs"]),
            "best_epoch": float(about["best_epoch"]),
            "training_seconds": about["seconds"],
        },
        history=about["history"],
        tags={
            **tags,
            "model_id": current.model_id,
            "code_version": model["code_version"],
            "training_cutoff": str(current.training_cutoff),
        },
        model=_tracked(parts, current, dataset),
        rivals=tuple(_tracked(parts, network, dataset) for network in compared[1:]),
        files={
            "predictions.csv": predictions,
            "prediction.png": reporting.prediction_plot(ticker, networks.read_predictions(predictions)),
        },
    )


def session_metrics(promotions: pd.DataFrame, checks: pd.DataFrame) -> dict[str, float]:
    """What a session comes to, for its parent run: `skill_mean` is over the stocks that have a network."""
    return {
        "tickers": float(len(checks)),
        "tickers_quarantined": float((checks["verdict"] == "quarantined").sum()),
        "networks_published": float((promotions["champion"] != NAIVE).sum()),
        "naive_published": float((promotions["champion"] == NAIVE).sum()),
        "skill_mean": float(promotions["skill"].mean()),
    }


def headline(metrics: dict[str, float]) -> str:
    """The one line that a person sees per stock: never the network without the naive forecast."""
    naive = metrics["test_rmse_naive"]
    if "epochs" not in metrics:
        return f"test RMSE of naive {naive:.4f}; no network"
    return f"test RMSE {metrics['test_rmse']:.4f}, naive {naive:.4f}, skill {metrics['skill']:+.2%}"


def _figures(evaluations: pd.DataFrame, model: str) -> dict[str, float]:
    """The metrics of one stock: a bounded set of names, the same for every recipe, each beside the naive forecast's."""
    table = evaluations.set_index(["model", "split", "horizon"]).sort_index()
    first = {name: table.loc[(name, "test", 1)] for name in dict.fromkeys((model, *BASELINES))}
    ours, naive = first[model], first[NAIVE]
    figures = {
        "test_rmse": ours["rmse"],
        **{f"test_rmse_{name}": first[name]["rmse"] for name in BASELINES},
        "skill": 1 - ours["rmse"] / naive["rmse"],
        "test_mae": ours["mae"],
        "test_mae_naive": naive["mae"],
        "test_mase": ours["mase"],
        "test_mase_naive": naive["mase"],
        "test_directional_accuracy": ours["directional_accuracy"],
        **{f"coverage_{level}": ours[f"coverage_{level}"] for level in LEVELS},
        "val_rmse": table.loc[(model, "validation", 1), "rmse"],
        "val_rmse_naive": table.loc[(NAIVE, "validation", 1), "rmse"],
    }
    for horizon in sorted(set(evaluations["horizon"])):
        figures[f"test_rmse_h{horizon}"] = table.loc[(model, "test", horizon), "rmse"]
        figures[f"test_rmse_naive_h{horizon}"] = table.loc[(NAIVE, "test", horizon), "rmse"]
    return {name: float(value) for name, value in figures.items()}


def _tracked(parts: Parts, network: object, dataset: Dataset) -> TrackedModel:
    return TrackedModel(
        model_id=network.model_id,
        training_cutoff=network.training_cutoff,
        content=parts.artifacts.read(networks.model_file(network.model_id)),
        context_length=dataset.spec.context_length,
        features=FEATURES,
        horizon=dataset.spec.horizon,
    )
