"""The networks that a run compares, and the baselines beside them: which they are, where their files are, measuring each once."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import datasets, evaluation
from pipeline.assembly import code_version
from pipeline.errors import NothingStored, StockcastError
from pipeline.metrics import LEVELS
from pipeline.models.baselines import BASELINES, NAIVE
from pipeline.models.recipe import Recipe
from pipeline.run import Run
from pipeline.tables import EVALUATIONS, MODELS, PREDICTIONS
from pipeline.training import PredictJob, Trained
from pipeline.windows import Windows

if TYPE_CHECKING:
    from pipeline.assembly import Parts


def model_file(model_id: str) -> str:
    return f"models/{model_id}.keras"


def history_file(model_id: str) -> str:
    return f"models/{model_id}.json"


def predictions_file(dataset: str, model: str) -> str:
    return f"predictions/{dataset}-{model}.csv"


def predictions_csv(test: Windows, prediction: np.ndarray, evaluations: pd.DataFrame) -> bytes:
    """Test sessions as people and spreadsheets read them: cutoff, session, horizon, actual, prediction, naive, intervals; dollars.

    Args:
        prediction: relative, (n, horizon).
        evaluations: EVALUATIONS rows of this model and dataset, for the intervals' widths.
    """
    prices, actual = test.to_prices(prediction), test.actual
    widths = evaluations[evaluations["split"] == "test"].sort_values("horizon")
    bands = {level: evaluation.interval(prices, test.unit, widths[f"half_width_{level}"].to_numpy()) for level in LEVELS}
    tables = [
        pd.DataFrame(
            {
                "cutoff": test.origins,
                "session": test.sessions[:, step],
                "horizon": step + 1,
                "actual": actual[:, step],
                "prediction": prices[:, step],
                "naive": test.base,
                **{f"{side}_{level}": bands[level][at][:, step] for level in LEVELS for at, side in enumerate(("lower", "upper"))},
            }
        )
        for step in range(prices.shape[1])
    ]
    return pd.concat(tables).to_csv(index=False, date_format="%Y-%m-%d").encode()


def read_predictions(data: bytes) -> pd.DataFrame:
    """What `predictions_csv` wrote."""
    return pd.read_csv(io.BytesIO(data), parse_dates=["cutoff", "session"])


@dataclass(frozen=True)
class Network:
    """A network that a run compares; `role` is lstm (of the current training cutoff) or previous."""

    role: str
    ticker: str
    model_id: str
    dataset: str
    training_cutoff: dt.date

    @property
    def file(self) -> str:
        return model_file(self.model_id)


def compared(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> list[Network]:
    """The networks that this run compares for a ticker, the current one first; none where there is too little history."""
    rows = datasets.by_role(parts, run, ticker)
    return [
        Network(
            role=role,
            ticker=ticker,
            model_id=_model_id(recipe, ticker, rows[name]["dataset"], parts.settings.seed),
            dataset=rows[name]["dataset"],
            training_cutoff=rows[name]["dataset_cutoff"].date(),
        )
        for role, name in (("lstm", "training"), ("previous", "previous"))
        if name in rows and not rows[name]["reason"]
    ]


def _model_id(recipe: Recipe, ticker: str, dataset: str, seed: int) -> str:
    """What identifies a network: recipe and configuration, ticker, dataset (and with it cutoff, target and horizon), seed."""
    return hashlib.sha256(json.dumps([recipe.name, recipe.config_hash(), ticker, dataset, seed]).encode()).hexdigest()[:16]


def save(parts: Parts, run: Run, recipe: Recipe, network: Network, trained: Trained) -> None:
    about = {"history": trained.history, "best_epoch": trained.best_epoch, "seconds": trained.seconds}
    parts.artifacts.write(history_file(network.model_id), json.dumps(about, sort_keys=True).encode())
    row = {
        "model_id": network.model_id,
        "recipe": recipe.name,
        "target": run.universe.target,
        "ticker": network.ticker,
        "training_cutoff": network.training_cutoff,
        "dataset": network.dataset,
        "config_hash": recipe.config_hash(),
        "epochs": len(trained.history["loss"]) - 1,
        "best_epoch": trained.best_epoch,
        "code_version": code_version(),
    }
    parts.store.save(MODELS, pd.DataFrame([row]))
    # Last: where the model file is, all the rest is.
    parts.artifacts.write(network.file, trained.model)


def evaluate_baselines(parts: Parts, run: Run, ticker: str) -> None:
    """Evaluates and forecasts with every baseline, once per dataset."""
    rows = datasets.by_role(parts, run, ticker)
    training, live = rows["training"]["dataset"], rows["live"]["dataset"]
    if _has(parts, training, live, NAIVE):
        return
    dataset, window = datasets.load(parts, training), datasets.load_live(parts, live)
    horizon = run.universe.horizon
    for name, baseline in BASELINES.items():
        _save_evaluation(
            parts,
            evaluation.evaluate(dataset, training, name, lambda part, baseline=baseline: baseline(part, horizon)),
            evaluation.predict(window, live, name, baseline(window, horizon)),
        )


def evaluate(parts: Parts, run: Run, recipe: Recipe, tickers: list[str]) -> dict[str, StockcastError]:
    """Evaluates and forecasts with the current and the previous network, both on the current dataset."""
    jobs, context = [], []
    for ticker in tickers:
        rows = datasets.by_role(parts, run, ticker)
        training, live = rows["training"]["dataset"], rows["live"]["dataset"]
        for network in compared(parts, run, recipe, ticker):
            if _has(parts, training, live, network.model_id):
                continue
            if not parts.artifacts.exists(network.file):
                raise NothingStored(
                    f"{ticker} {run.session}: its network {network.model_id} is not there. Run `train` for this session first."
                )
            dataset, window = datasets.load(parts, training), datasets.load_live(parts, live)
            past = np.concatenate([dataset.validation.past, dataset.test.past, window.past])
            jobs.append(PredictJob(ticker=ticker, model=parts.artifacts.read(network.file), past=past))
            context.append((network, training, live, dataset, window))
    failures = {}
    found = {id(job): place for job, place in zip(jobs, context, strict=True)}
    for job, outcome in parts.workers.predict_all(jobs) if jobs else ():
        if isinstance(outcome, StockcastError):
            failures[job.ticker] = outcome
            continue
        network, training, live, dataset, window = found[id(job)]
        validation, test, ahead = np.split(outcome, [len(dataset.validation), len(dataset.validation) + len(dataset.test)])
        said = {id(dataset.validation): validation, id(dataset.test): test}
        evaluations = evaluation.evaluate(dataset, training, network.model_id, lambda part, said=said: said[id(part)])
        table = predictions_csv(dataset.test, test, evaluations)
        parts.artifacts.write(predictions_file(training, network.model_id), table)
        _save_evaluation(parts, evaluations, evaluation.predict(window, live, network.model_id, ahead))
    return failures


def _save_evaluation(parts: Parts, evaluations: pd.DataFrame, predictions: pd.DataFrame) -> None:
    parts.store.save(EVALUATIONS, evaluations)
    # Last: where the predictions are, the evaluations are.
    parts.store.save(PREDICTIONS, predictions)


def _has(parts: Parts, training: str, live: str, model: str) -> bool:
    evaluated = parts.store.load(EVALUATIONS, dataset=training, model=model)
    return len(evaluated) > 0 and len(parts.store.load(PREDICTIONS, dataset=live, model=model)) > 0
