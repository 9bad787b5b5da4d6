"""The networks that a run compares, and the baselines beside them: which they are, where their files are, measuring each once."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import datasets, embedding, evaluation
from pipeline.assembly import code_version
from pipeline.errors import NothingStored, SettingsError, StockcastError
from pipeline.lookahead import LookAhead
from pipeline.metrics import LEVELS
from pipeline.models import DEFAULT
from pipeline.models.baselines import BASELINES, NAIVE
from pipeline.models.recipe import Recipe
from pipeline.run import Run
from pipeline.tables import DATASETS, EVALUATIONS, MODELS, PREDICTIONS
from pipeline.training import SHARED, FitJob, LookAheadJob, PredictJob, Trained
from pipeline.windows import Dataset, Windows

if TYPE_CHECKING:
    from pipeline.assembly import Parts


def model_file(model_id: str) -> str:
    return f"models/{model_id}.keras"


def history_file(model_id: str) -> str:
    return f"models/{model_id}.json"


def predictions_file(dataset: str, model: str) -> str:
    return f"predictions/{dataset}-{model}.csv"


def predictions_csv(test: Windows, prices: np.ndarray, evaluations: pd.DataFrame) -> bytes:
    """Test sessions as people and spreadsheets read them: cutoff, session, horizon, actual, prediction, naive, intervals; dollars.

    Args:
        prices: forecast, in dollars (n, horizon).
        evaluations: EVALUATIONS rows of this model and dataset, for the intervals' widths.
    """
    actual = test.actual
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
                "naive": test.last,
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
    """A network that a run looks at.

    Attributes:
        role: lstm (of the current training cutoff), previous (of the one before), or default: the default recipe's, which another recipe is
            measured beside, on the same test sessions.
        pool: the datasets that it learns from, by ticker; more than its own ticker's when all share one network.
    """

    role: str
    ticker: str
    recipe: Recipe
    model_id: str
    dataset: str
    training_cutoff: dt.date
    pool: dict[str, str]

    @property
    def file(self) -> str:
        return model_file(self.model_id)

    @property
    def stock(self) -> str:
        """Whose network it is, for people and in the store."""
        return SHARED if self.recipe.pooled else self.ticker


def compared(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> list[Network]:
    """The networks that may be published for a ticker, the current one first; none where there is too little history."""
    return [network for network in wanted(parts, run, recipe, ticker) if network.role != "default"]


def wanted(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> list[Network]:
    """All networks that a run needs for a ticker: those compared, and the default recipe's beside another."""
    own = datasets.by_role(parts, run, ticker)
    everyone = parts.rows(DATASETS, run, datasets.passed(parts, run)) if recipe.pooled else None
    found = []
    for role, name, of in (("lstm", "training", recipe), ("previous", "previous", recipe), ("default", "default", DEFAULT)):
        if name not in own or own[name]["reason"]:
            continue
        pool = {ticker: own[name]["dataset"]}
        if of.pooled:
            members = everyone[(everyone["role"] == name) & (everyone["reason"] == "")]
            pool = dict(zip(members["ticker"], members["dataset"], strict=True))
        found.append(
            Network(
                role=role,
                ticker=ticker,
                recipe=of,
                model_id=_model_id(of, pool, parts.settings.seed),
                dataset=own[name]["dataset"],
                training_cutoff=own[name]["dataset_cutoff"].date(),
                pool=pool,
            )
        )
    return found


def _model_id(recipe: Recipe, pool: dict[str, str], seed: int) -> str:
    """What identifies a network: recipe and configuration, tickers, datasets (and with them cutoff, target and horizon), seed."""
    return _digest([recipe.name, recipe.config_hash(), sorted(pool.items()), seed])


def _digest(values: list) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def fit_job(parts: Parts, run: Run, network: Network) -> FitJob:
    """What a worker needs to train a network."""
    folder = parts.settings.tensorboard
    return FitJob(
        ticker=network.ticker,
        recipe=network.recipe,
        datasets={ticker: datasets.read(parts, dataset) for ticker, dataset in network.pool.items()},
        seed=parts.settings.seed,
        tensorboard=folder
        and str(Path(folder, network.recipe.name, f"{network.stock} {network.training_cutoff} {network.model_id}")),
    )


def save(parts: Parts, run: Run, network: Network, trained: Trained) -> None:
    parts.artifacts.write(history_file(network.model_id), trained.about())
    row = {
        "model_id": network.model_id,
        "recipe": network.recipe.name,
        "target": run.universe.target,
        "ticker": network.stock,
        "training_cutoff": network.training_cutoff,
        "dataset": network.dataset if len(network.pool) == 1 else _digest(sorted(network.pool.items())),
        "config_hash": network.recipe.config_hash(),
        "epochs": len(trained.history["loss"]) - 1,
        "best_epoch": trained.best_epoch,
        "code_version": code_version(),
    }
    parts.store.save(MODELS, pd.DataFrame([row]))
    # Last: where the model file is, all the rest is.
    parts.artifacts.write(network.file, trained.model)


def symbol_vectors(parts: Parts, run: Run, recipe: Recipe) -> tuple[tuple[str, ...], np.ndarray] | None:
    """(stocks, their vectors) that the run's pooled network has learnt, as `embedding.vectors` has them; None where there is no such network."""
    for ticker in datasets.passed(parts, run) if recipe.pooled else ():
        for network in compared(parts, run, recipe, ticker)[:1]:
            return embedding.vectors(parts.artifacts.read(network.file))
    return None


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
            evaluation.predict(live, name, baseline(window, horizon)),
        )


def evaluate(parts: Parts, run: Run, recipe: Recipe, tickers: list[str]) -> dict[str, StockcastError]:
    """Evaluates the current and the previous network on the current dataset and forecasts with them; the default recipe's on its own."""
    tasks = {}
    for ticker in tickers:
        rows = datasets.by_role(parts, run, ticker)
        training, live = rows["training"]["dataset"], rows["live"]["dataset"]
        for network in wanted(parts, run, recipe, ticker):
            task = _Task(network, network.dataset, None) if network.role == "default" else _Task(network, training, live)
            if not task.done(parts):
                dataset = datasets.load(parts, task.training, network.dataset)
                tasks[task.job(parts, run, dataset)] = task, dataset
    failures = {}
    for job, outcome in parts.workers.predict_all(list(tasks)) if tasks else ():
        if isinstance(outcome, StockcastError):
            failures[job.ticker] = outcome
        else:
            task, dataset = tasks[job]
            task.save(parts, dataset, outcome)
    return failures


@dataclass(frozen=True)
class _Task:
    """Measuring a network on a dataset and, where a live one is named, forecasting from that."""

    network: Network
    training: str
    live: str | None

    def done(self, parts: Parts) -> bool:
        model = self.network.model_id
        if self.live is None:
            return len(parts.store.load(EVALUATIONS, dataset=self.training, model=model)) > 0
        return _has(parts, self.training, self.live, model)

    def job(self, parts: Parts, run: Run, dataset: Dataset) -> PredictJob:
        network = self.network
        if not parts.artifacts.exists(network.file):
            raise NothingStored(
                f"{network.ticker} {run.session}: its network {network.model_id} is not there. Run `train` for this session first."
            )
        live = [] if self.live is None else [datasets.load_live(parts, self.live, network.dataset)]
        return PredictJob(
            ticker=network.ticker,
            model=parts.artifacts.read(network.file),
            windows=(dataset.validation, dataset.test, *live),
            horizon=dataset.spec.horizon,
        )

    def save(self, parts: Parts, dataset: Dataset, said: tuple[np.ndarray, ...]) -> None:
        model = self.network.model_id
        splits = {id(dataset.validation): said[0], id(dataset.test): said[1]}
        evaluations = evaluation.evaluate(dataset, self.training, model, lambda part: splits[id(part)])
        parts.artifacts.write(predictions_file(self.training, model), predictions_csv(dataset.test, said[1], evaluations))
        if self.live is None:
            parts.store.save(EVALUATIONS, evaluations)
        else:
            _save_evaluation(parts, evaluations, evaluation.predict(self.live, model, said[2]))


def look_ahead(parts: Parts, run: Run, recipe: Recipe, tickers: list[str], length: int) -> dict[str, LookAhead | StockcastError]:
    """What the current network of each ticker says about the test sessions in the three ways of `lookahead`, by ticker."""
    jobs, outcomes = [], {}
    for ticker in tickers:
        current = next(iter(compared(parts, run, recipe, ticker)), None)
        if current is None or not parts.artifacts.exists(current.file):
            outcomes[ticker] = NothingStored(
                f"{ticker} {run.session}: there is no network of {recipe.name}. `stockcast run` trains it."
            )
            continue
        test = datasets.load(parts, current.dataset).test
        if test.cut.target is None:
            outcomes[ticker] = SettingsError(
                f"{ticker}: {recipe.name} does not see the {run.universe.target} that it forecasts, so it cannot go on from its own forecasts. "
                "Choose a target among the columns that it sees."
            )
            continue
        jobs.append(LookAheadJob(ticker, parts.artifacts.read(current.file), test, length))
    for job, outcome in parts.workers.look_ahead_all(jobs) if jobs else ():
        outcomes[job.ticker] = outcome
    return outcomes


def _save_evaluation(parts: Parts, evaluations: pd.DataFrame, predictions: pd.DataFrame) -> None:
    parts.store.save(EVALUATIONS, evaluations)
    # Last: where the predictions are, the evaluations are.
    parts.store.save(PREDICTIONS, predictions)


def _has(parts: Parts, training: str, live: str, model: str) -> bool:
    evaluated = parts.store.load(EVALUATIONS, dataset=training, model=model)
    return len(evaluated) > 0 and len(parts.store.load(PREDICTIONS, dataset=live, model=model)) > 0
