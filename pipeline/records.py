"""What a run leaves for people: its entry in MLflow, put together from what the store and the artifacts hold."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import charts, datasets, embedding, forecasters, networks, reporting
from pipeline.assembly import code_version
from pipeline.lookahead import LookAhead
from pipeline.metrics import root_mean_squared_error
from pipeline.models.baselines import BASELINES, EWMA, NAIVE
from pipeline.models.optimisation import Pinball
from pipeline.models.recipe import Recipe
from pipeline.quantiles import COUNT, INTERVALS
from pipeline.run import Run
from pipeline.tables import MODELS, RUNS
from pipeline.tracking import StockRun, TrackedDataset, TrackedModel, Tracker
from pipeline.windows import Dataset

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: Stocks up to which each has a picture in MLflow: it takes as long to draw as all the rest of its run. `predictions.csv` is always there.
PICTURED = 50
#: What of a run's settings decides its outcome, besides the recipe and the universe.
DECISIVE = ("seed", "pool", "test_floor", "max_quarantined")


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


def stock_run(
    parts: Parts, run: Run, recipe: Recipe, rows: Mapping[str, Mapping], wanted: list[networks.Network], measured: networks.Measured
) -> StockRun:
    """What is tracked for one stock: what its networks are worth on the dataset of a training cutoff.

    Args:
        rows: its datasets by role.
        wanted: what `networks.wanted` gives for it.
    """
    compared = networks.compared(wanted)
    ticker, training, dataset = measured.the.ticker, measured.the.training, measured.the.dataset
    evaluations = measured.evaluations[measured.evaluations["dataset"] == training]
    params = {
        "ticker": ticker,
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
    tags = {"dataset": training, "source_id": run.universe.source_id, **about_recipe(recipe)}
    statistical = forecasters.statistical_figures(parts, training)
    learnt = (_tracked_dataset(parts, ticker, rows["training"], dataset),)
    if not compared:
        tags["no_network"] = rows["training"]["reason"]
        metrics = _figures(evaluations, NAIVE) | statistical
        told = _description(ticker, recipe, metrics, len(dataset.test), rows["training"])
        return StockRun(ticker=ticker, params=params, metrics=metrics, tags=tags, description=told, datasets=learnt)
    current = compared[0]
    about = json.loads(parts.artifacts.read(networks.history_file(current.model_id)))
    model = parts.store.load(MODELS, model_id=current.model_id).iloc[0]
    predictions, table = parts.artifacts.read(networks.predictions_file(training, current.model_id)), measured.predictions
    beside = [network for network in wanted if network.role == "default"]
    metrics = {
        **_figures(evaluations, current.model_id),
        "test/spread": spread(table),
        **(_beside_default(parts, table, beside[0]) if beside else {}),
        "training/epochs": float(model["epochs"]),
        "training/best_epoch": float(about["best_epoch"]),
        "training/seconds": about["seconds"],
        **statistical,
    }
    return StockRun(
        ticker=ticker,
        params={**params, "model_id": current.model_id, "training_cutoff": current.training_cutoff},
        metrics=metrics,
        history={f"training/{name}": values for name, values in about["history"].items()},
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
            "results.csv": results_csv(table),
        },
        pictures={"prediction.png": partial(_picture, parts, networks.picture_file(training, current.model_id), ticker, table)}
        if len(run.universe.tickers) <= PICTURED
        else {},
        description=_description(ticker, recipe, metrics, len(dataset.test), rows["training"]),
        datasets=learnt,
    )


def _description(ticker: str, recipe: Recipe, metrics: Mapping[str, float], sessions: int, training: Mapping[str, Any]) -> str:
    """Of a stock's run, in Markdown: whether the network is worth anything, the figures beside the baselines', what it has learnt from."""

    def row(name: str, *cells: str) -> str:
        return f"| {name} | {' | '.join(cells)} |"

    def error(name: str) -> str:
        return f"{metrics[name]:.4f}" if name in metrics else ""

    def loss(name: str) -> str:
        return f"{metrics[name]:.3%}"

    whose = f"dataset `{training['dataset']}`, {training['sessions']} sessions up to {training['dataset_cutoff'].date()}"
    if "training/epochs" not in metrics:
        verdict = f"**{ticker} has no network: {training['reason']}** The figures are the naive forecast's."
    else:
        skills = (("distribution", "skill/pinball", EWMA), ("median, one session ahead,", "skill/rmse", NAIVE))
        verdict = (
            f"**{ticker}: " + "; ".join(_compared(f"the {what}", metrics[name], rival) for what, name, rival in skills) + ".**"
        )
    rows = [
        f"| on {sessions} test sessions | {recipe.name} | {EWMA} | {NAIVE} |",
        "|---|---|---|---|",
        row("mean pinball loss, of the price", loss("test/pinball"), loss("test/pinball_ewma"), ""),
        row("RMSE one session ahead", *(error(name) for name in ("test/rmse", "test/rmse_ewma", "test/rmse_naive"))),
        row("MAE one session ahead", error("test/mae"), "", error("test/mae_naive")),
        row("inside the 80 % interval", f"{metrics['test/coverage_80']:.1%}", "", ""),
    ]
    table = "\n".join(rows)
    leak = f"\n\nThis protocol peeks: {recipe.leak}. Nothing of it is published." if recipe.leak else ""
    return f"{verdict}\n\n{table}\n\nRecipe `{recipe.name}`, {whose}.{leak} What is published is decided by `promote`."


def _compared(what: str, skill: float, rival: str) -> str:
    if math.isnan(skill):
        return f"{what} cannot be compared with {rival}'s"
    return (
        f"{what} is {abs(skill):.2%} {'better' if skill > 0 else 'worse'} than {rival}'s" if skill else f"{what} equals {rival}'s"
    )


def _tracked_dataset(parts: Parts, ticker: str, training: Mapping[str, Any], dataset: Dataset) -> TrackedDataset:
    identity = training["dataset"]
    return TrackedDataset(
        name=f"{ticker} up to {training['dataset_cutoff'].date()}",
        digest=identity[:36],
        url=parts.artifacts.url(datasets.file(identity)),
        columns=tuple(dataset.spec.columns),
        rows=int(training["sessions"]),
        context="training, validation, test",
    )


def _picture(parts: Parts, name: str, ticker: str, predictions: pd.DataFrame) -> bytes:
    """Drawn once, and kept for all sessions between two trainings."""
    if not parts.artifacts.exists(name):
        parts.artifacts.write(name, charts.prediction_plot(ticker, predictions))
    return parts.artifacts.read(name)


def runs(parts: Parts, run: Run, tickers: list[str]) -> pd.DataFrame:
    """RUNS rows of these tickers: the same, whenever the same run is repeated on the same prices with the same program."""
    universe = run.universe
    row = {
        **run.key,
        "source_id": universe.source_id,
        "known_at": parts.store.newest_revision(universe.source_id, list(universe.tickers), run.session, run.known_at),
        "request": json.dumps(run.to_json()["universe"], sort_keys=True),
        "settings": json.dumps({name: getattr(parts.settings, name) for name in DECISIVE}, sort_keys=True),
        "code_version": code_version(),
        "libraries": json.dumps(libraries(), sort_keys=True),
    }
    return RUNS.conform(pd.DataFrame([{**row, "ticker": ticker} for ticker in tickers]))


def libraries() -> dict[str, str]:
    """The versions of what the numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("keras", "numpy", "pandas", "tensorflow")}}


def about_recipe(recipe: Recipe) -> dict[str, str]:
    """Tags that say where a network comes from, and how its protocol peeks, if it does."""
    return {"mode": recipe.mode, "recipe_source": recipe.source, **({"leak": recipe.leak} if recipe.leak else {})}


def results_csv(predictions: pd.DataFrame) -> bytes:
    """date, actual, prediction, one session ahead, as the sources write their results."""
    first = predictions[predictions["horizon"] == 1].rename(columns={"session": "date"})
    return first[["date", "actual", "prediction"]].to_csv(index=False, date_format="%Y-%m-%d").encode()


def spread(predictions: pd.DataFrame) -> float:
    """Standard deviation of the changes that are forecast one session ahead over that of those that came.

    Far below 1: the forecasts have shrunk towards the last price, as L. Weng saw hers do. NaN where nothing moves.
    """
    first = predictions[predictions["horizon"] == 1]
    came = float((first["actual"] - first["naive"]).std(ddof=0))
    return float((first["prediction"] - first["naive"]).std(ddof=0)) / came if came > 0 else float("nan")


def _beside_default(parts: Parts, predictions: pd.DataFrame, default: networks.Network) -> dict[str, float]:
    """Errors one session ahead of the default recipe, and of this one, on the test sessions that both have."""
    theirs = networks.read_predictions(parts.artifacts.read(networks.predictions_file(default.dataset, default.model_id)))
    both = predictions.merge(theirs, on=["session", "horizon"], suffixes=("", "_default"))
    both = both[both["horizon"] == 1]
    ours, default_rmse, naive = (
        float(root_mean_squared_error(both[["actual"]].to_numpy(), both[[name]].to_numpy())[0])
        for name in ("prediction", "prediction_default", "naive")
    )
    return {
        "test/rmse_default_recipe": default_rmse,
        "skill/rmse_of_default_recipe": 1 - default_rmse / naive if naive > 0 else float("nan"),
        "skill/rmse_over_default_recipe": 1 - ours / default_rmse if default_rmse > 0 else float("nan"),
        "test/sessions_shared": float(len(both)),
    }


def save_look_ahead(parts: Parts, run: Run, seen: dict[str, LookAhead]) -> list[str]:
    """Writes a CSV and a picture for every ticker; where they are."""
    files = []
    for ticker, ahead in sorted(seen.items()):
        name = f"look_ahead/{run.universe.name}/{run.session}-{run.universe.recipe}-{run.universe.target}/{ticker}"
        title = f"{ticker}, {run.universe.recipe}"
        parts.artifacts.write(f"{name}.csv", ahead.table().to_csv(index=False, date_format="%Y-%m-%d").encode())
        parts.artifacts.write(f"{name}.png", charts.look_ahead_plot(title, ahead))
        files += [parts.artifacts.url(f"{name}.{kind}") for kind in ("csv", "png")]
    return files


def session_files(
    parts: Parts, run: Run, recipe: Recipe, day: reporting.Day, page: bytes, pictures: Mapping[str, bytes]
) -> dict[str, bytes]:
    """What a session's parent run shows, by name: its day's page, a table of its stocks, the pictures of all of them together."""
    return {
        "report.html": page,
        "summary.csv": reporting.rows(reporting.day_summary(day), "csv").encode(),
        "skill.png": charts.skill_chart(day.promotions),
        **{f"{name}.png": picture for name, picture in pictures.items()},
        **_embedding(parts, run, recipe),
    }


def _embedding(parts: Parts, run: Run, recipe: Recipe) -> dict[str, bytes]:
    """Where the stocks share a network that knows them apart, how it has placed them."""
    network = networks.with_vectors(parts, run, recipe)
    if network is None:
        return {}
    name = networks.picture_file("symbols", network.model_id)
    if not parts.artifacts.exists(name):
        symbols, vectors = embedding.vectors(parts.artifacts.read(network.file))
        points = embedding.placed(vectors[1:])  # without the unknown one
        parts.artifacts.write(name, charts.embedding_picture(points, symbols, run.universe.sectors))
    return {"symbol_embedding.png": parts.artifacts.read(name)}


def session_metrics(day: reporting.Day) -> dict[str, float]:
    """What a session comes to, for its parent run: `skill/..._mean` are over the stocks that have a network; of `drift`, what can be judged."""
    promotions, checks, drift = day.promotions, day.checks, day.drift
    watched = {f"drift/{name}_mean": drift[name].mean() for name in ("coverage_80", "coverage_95", "pinball_skill", "psi")}
    return {
        "day/tickers": float(len(checks)),
        "day/tickers_quarantined": float((checks["verdict"] == "quarantined").sum()),
        "day/networks_published": float((~promotions["champion"].isin(list(BASELINES))).sum()),
        "day/baselines_published": float(promotions["champion"].isin(list(BASELINES)).sum()),
        "skill/rmse_mean": float(promotions["skill"].mean()),
        "skill/pinball_mean": float(promotions["pinball_skill"].mean()),
        "day/weight_mean": float(promotions["weight"].mean()),
        "day/tickers_drifted": float((drift["warnings"] != "").sum()),
        **{name: float(mean) for name, mean in watched.items() if pd.notna(mean)},
    }


def promoted(row: Mapping[str, Any]) -> str:
    """A PROMOTIONS row in one line: who is published, with how much of it, and what it was worth on test."""
    network = row["champion"] not in BASELINES
    if pd.isna(row["test_rmse"]):
        return f"{row['champion']}; no network"
    rmse = f"RMSE skill {row['skill']:+.2%} against {NAIVE}"
    whose = "" if network else "the network's "
    if pd.isna(row["pinball_skill"]):  # promoted before forecasts were distributions
        return f"{row['champion']}: {whose}test {rmse}"
    weight = f", {row['weight']:.0%} of it and the rest of {row['baseline']}" if network else ""
    return f"{row['champion']}{weight}: {whose}test pinball skill {row['pinball_skill']:+.2%} against {EWMA}, {rmse}"


def headline(metrics: dict[str, float]) -> str:
    """The one line that a person sees per stock: never the network without the naive forecast."""
    naive = metrics["test/rmse_naive"]
    if "training/epochs" not in metrics:
        return f"test RMSE of naive {naive:.4f}; no network"
    default = f", default recipe {metrics['test/rmse_default_recipe']:.4f}" if "test/rmse_default_recipe" in metrics else ""
    return f"test RMSE {metrics['test/rmse']:.4f}, naive {naive:.4f}{default}, skill {metrics['skill/rmse']:+.2%}"


def _figures(evaluations: pd.DataFrame, model: str) -> dict[str, float]:
    """The metrics of one stock: a bounded set of names, the same for every recipe, each beside the naive forecast's."""
    table = evaluations.set_index(["model", "split", "horizon"]).sort_index()
    first = {name: table.loc[(name, "test", 1)] for name in dict.fromkeys((model, *BASELINES))}
    ours, naive = first[model], first[NAIVE]
    pinball, ewma = (float(table.loc[(name, "test"), "pinball"].mean()) for name in (model, EWMA))
    figures = {
        "test/rmse": ours["rmse"],
        **{f"test/rmse_{name}": first[name]["rmse"] for name in BASELINES},
        "skill/rmse": 1 - ours["rmse"] / naive["rmse"],
        "test/mae": ours["mae"],
        "test/mae_naive": naive["mae"],
        "test/mase": ours["mase"],
        "test/mase_naive": naive["mase"],
        "test/directional_accuracy": ours["directional_accuracy"],
        "test/pinball": pinball,
        "test/pinball_ewma": ewma,
        "skill/pinball": 1 - pinball / ewma if ewma > 0 else float("nan"),
        **{f"test/coverage_{level}": ours[f"coverage_{level}"] for level in INTERVALS},
        "validation/rmse": table.loc[(model, "validation", 1), "rmse"],
        "validation/rmse_naive": table.loc[(NAIVE, "validation", 1), "rmse"],
    }
    for horizon in sorted(set(evaluations["horizon"])):
        figures[f"test_by_horizon/rmse_h{horizon:02d}"] = table.loc[(model, "test", horizon), "rmse"]
        figures[f"test_by_horizon/rmse_naive_h{horizon:02d}"] = table.loc[(NAIVE, "test", horizon), "rmse"]
    return {name: float(value) for name, value in figures.items()}


def _tracked(parts: Parts, network: networks.Network, dataset: Dataset) -> TrackedModel:
    return TrackedModel(
        model_id=network.model_id,
        training_cutoff=network.training_cutoff,
        content=parts.artifacts.read(networks.model_file(network.model_id)),
        inputs=_inputs(network, dataset),
        outputs=dataset.spec.outputs * (COUNT if isinstance(network.recipe.loss, Pinball) else 1),
        columns=dataset.spec.columns,
        told=f"the target, normalised: {dataset.spec.normalisation}"
        + (" (seven quantiles a session)" if isinstance(network.recipe.loss, Pinball) else ""),
        example=_example(network, dataset),
    )


def _example(network: networks.Network, dataset: Dataset) -> dict[str, np.ndarray]:
    """The newest window that the dataset has, as the network takes it."""
    newest = next((part.past[-1:] for part in (dataset.test, dataset.validation, dataset.train) if len(part)), None)
    if newest is None:
        return {}
    symbol = {"symbol": np.array([[network.ticker]], dtype=object)} if network.recipe.knows_symbols else {}
    return {"past": newest.astype(np.float32), **symbol}


def _inputs(network: networks.Network, dataset: Dataset) -> dict[str, tuple[int, ...]]:
    steps, block = dataset.spec.window.steps, dataset.spec.window.block
    symbol = {"symbol": (1,)} if network.recipe.knows_symbols else {}
    features = getattr(dataset.spec.normalisation, "features", len(dataset.spec.columns))
    return {"past": (steps, block * features), **symbol}
