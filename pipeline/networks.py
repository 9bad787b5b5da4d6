"""The networks that a run compares, and the baselines beside them: which they are, where their files are, measuring each once."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import datasets, embedding, evaluation, forecasters
from pipeline.assembly import code_version
from pipeline.errors import NothingStored, SettingsError, StockcastError
from pipeline.forecasters import Said, Stock
from pipeline.lookahead import LookAhead
from pipeline.models import DEFAULT
from pipeline.models.baselines import BASELINES
from pipeline.models.recipe import Recipe
from pipeline.quantiles import INTERVALS, MEDIAN
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


def picture_file(dataset: str, model: str) -> str:
    return f"predictions/{dataset}-{model}.png"


def predictions_csv(test: Windows, quantiles: np.ndarray) -> bytes:
    """Test sessions as people and spreadsheets read them: cutoff, session, horizon, actual, prediction, naive, intervals; dollars.

    Args:
        quantiles: calibrated, in dollars (n, horizon, Q).
    """
    tables = [
        pd.DataFrame(
            {
                "cutoff": test.origins,
                "session": test.sessions[:, step],
                "horizon": step + 1,
                "actual": test.actual[:, step],
                "prediction": quantiles[:, step, MEDIAN],
                "naive": test.last,
                **{
                    f"{side}_{level}": quantiles[:, step, bound]
                    for level, bounds in INTERVALS.items()
                    for side, bound in zip(("lower", "upper"), bounds, strict=True)
                },
            }
        )
        for step in range(quantiles.shape[1])
    ]
    return pd.concat(tables).to_csv(index=False, date_format="%Y-%m-%d").encode()


def read_predictions(data: bytes) -> pd.DataFrame:
    """What `predictions_csv` wrote."""
    return pd.read_csv(io.BytesIO(data), parse_dates=["cutoff", "session"])


@dataclass(frozen=True)
class Network:
    """A network that a run looks at.

    Attributes:
        role: lstm (of the current training cutoff), previous (of the one before), pooled (the one that all stocks train together), or
            default: the default recipe's, which another recipe is measured beside, on the same test sessions.
        pool: the datasets that it learns from, by ticker; more than its own ticker's when all share one network.
        base: the model_id of the pooled network that it goes on from; "": it begins anew.
    """

    role: str
    ticker: str
    recipe: Recipe
    model_id: str
    dataset: str
    training_cutoff: dt.date
    pool: dict[str, str]
    base: str = ""

    @property
    def file(self) -> str:
        return model_file(self.model_id)

    @property
    def stock(self) -> str:
        """Whose network it is, for people and in the store."""
        return SHARED if self.recipe.pooled else self.ticker


def compared(parts: Parts, run: Run, recipe: Recipe, ticker: str, shared: list[Network] | None = None) -> list[Network]:
    """The networks that may be published for a ticker, the current one first; none where there is too little history for any."""
    return [network for network in wanted(parts, run, recipe, ticker, shared) if network.role != "default"]


def wanted(parts: Parts, run: Run, recipe: Recipe, ticker: str, shared: list[Network] | None = None) -> list[Network]:
    """All networks that a run needs for a ticker: those compared, and the default recipe's beside another.

    Where a recipe is tuned per stock, a ticker with too little history for a network of its own has the pooled one.

    Args:
        shared: what `pools` gives, for who asks for many tickers: it is of all of them.
    """
    own = datasets.by_role(parts, run, ticker)
    shared = pools(parts, run, recipe) if shared is None else shared
    found = [
        _network(parts, run, of, ticker, role, own[name], _base(parts, run, of, own[name], shared))
        for role, name, of in (("lstm", "training", recipe), ("previous", "previous", recipe), ("default", "default", DEFAULT))
        if name in own and not own[name]["reason"]
    ]
    if not found and recipe.fine_tuning and datasets.keeps_its_window(parts, own["training"], recipe):
        return [replace(network, ticker=ticker, role="pooled") for network in shared[:1]]
    return found


def pools(parts: Parts, run: Run, recipe: Recipe) -> list[Network]:
    """The networks that all stocks train together and the stocks' own go on from: of the current and the previous pool cutoff, each once.

    Whether the default recipe stands beside another makes no difference to these; its networks there begin anew, as the other's do.
    """
    if not recipe.fine_tuning:
        return []
    rows = parts.store.load(DATASETS, **run.key, role=list(datasets.POOLS))
    rows = rows[rows["ticker"].isin(run.universe.tickers)]
    found = {}
    for role, name in datasets.POOLS.items():
        members = rows[rows["role"] == role]
        pool = dict(zip(members["ticker"], members["dataset"], strict=True))
        if pool:
            model_id = _model_id(recipe.pool, pool, parts.settings.seed)
            dataset = _digest(sorted(pool.items()))
            found.setdefault(model_id, Network(role, SHARED, recipe.pool, model_id, dataset, getattr(run, name), pool))
    return list(found.values())


def _base(parts: Parts, run: Run, recipe: Recipe, row: dict, shared: list[Network]) -> Network | None:
    """The one of the `shared` networks that a stock's own of this dataset goes on from; None where no stock's history reached up to one."""
    if not recipe.fine_tuning or recipe.name != run.universe.recipe:
        return None
    cutoff = run.pool_cutoff if row["role"] == "training" else run.previous_pool_cutoff
    base = next((network for network in shared if network.training_cutoff == cutoff), None)
    if base is None and datasets.share(parts, run, recipe, datasets.known(parts, run, [row["ticker"]]), row["ticker"], cutoff):
        raise NothingStored(
            f"{row['ticker']} {run.session}: the pooled network up to {cutoff} that it goes on from is not there. Run `pretrain` first."
        )
    return base


def _network(parts: Parts, run: Run, recipe: Recipe, ticker: str, role: str, row: dict, base: Network | None) -> Network:
    pool = {ticker: row["dataset"]}
    if recipe.pooled:
        everyone = parts.rows(DATASETS, run, datasets.passed(parts, run))
        members = everyone[(everyone["role"] == row["role"]) & (everyone["reason"] == "")]
        pool = dict(zip(members["ticker"], members["dataset"], strict=True))
    return Network(
        role=role,
        ticker=ticker,
        recipe=recipe,
        model_id=_model_id(recipe, pool, parts.settings.seed, base.model_id if base else ""),
        dataset=row["dataset"],
        training_cutoff=row["dataset_cutoff"].date(),
        pool=pool,
        base=base.model_id if base else "",
    )


def _model_id(recipe: Recipe, pool: dict[str, str], seed: int, base: str = "") -> str:
    """What identifies a network: recipe and configuration, tickers, datasets (and with them cutoff, target and horizon), seed, its beginning."""
    return _digest([recipe.name, recipe.config_hash(), sorted(pool.items()), seed, *([base] if base else [])])


def _digest(values: list) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def fit_job(parts: Parts, run: Run, network: Network) -> FitJob:
    """What a worker needs to train a network."""
    folder = parts.settings.tensorboard
    if network.base and not parts.artifacts.exists(model_file(network.base)):
        raise NothingStored(
            f"{network.stock} {run.session}: the pooled network {network.base} that it goes on from is not there. Run `pretrain` first."
        )
    return FitJob(
        ticker=network.ticker,
        recipe=network.recipe,
        datasets={ticker: datasets.read(parts, dataset) for ticker, dataset in network.pool.items()},
        seed=parts.settings.seed,
        base=parts.artifacts.read(model_file(network.base)) if network.base else None,
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
    shared = pools(parts, run, recipe)
    if recipe.pooled:
        shared = [network for ticker in datasets.passed(parts, run) for network in compared(parts, run, recipe, ticker)[:1]]
    for network in shared[:1]:
        if len(network.pool) > 1 and parts.artifacts.exists(network.file):
            return embedding.vectors(parts.artifacts.read(network.file))
    return None


def evaluate_baselines(parts: Parts, the: Stock) -> None:
    """Evaluates and forecasts with every baseline, once per dataset."""
    if all(_has(parts, the.training, the.live, name) for name in BASELINES):
        return
    for name, said in the.baselines.items():
        _save_evaluation(parts, the, name, said)


def evaluate(parts: Parts, run: Run, recipe: Recipe, stocks: list[Stock], shared: list[Network]) -> dict[str, StockcastError]:
    """Evaluates the current and the previous network on the current dataset and forecasts with them; the default recipe's on its own.

    Args:
        shared: what `pools` gives.
    """
    tasks: dict[PredictJob, tuple[Network, Stock | None, Dataset]] = {}
    for the in stocks:
        for network in wanted(parts, run, recipe, the.ticker, shared):
            if network.role == "default":
                if not _evaluated(parts, network.dataset, network.model_id):
                    dataset = datasets.load(parts, network.dataset)
                    tasks[_predict_job(parts, run, network, dataset, ())] = network, None, dataset
            elif not _done(parts, the, network.model_id):
                fitted_on = network.dataset if network.role != "pooled" else None
                dataset = datasets.load(parts, the.training, fitted_on)
                replayed = datasets.load_replay(parts, the.live, fitted_on)
                tasks[_predict_job(parts, run, network, dataset, (replayed,))] = network, the, dataset
    failures = {}
    for job, outcome in parts.workers.predict_all(list(tasks)) if tasks else ():
        network, the, dataset = tasks[job]
        if isinstance(outcome, StockcastError):
            failures[job.ticker] = outcome
        elif the is None:
            _save_default(parts, network, dataset, outcome)
        else:
            said = the.distribution(outcome)
            forecasters.save(parts, the, network.model_id, said)
            _save_predictions(parts, the.dataset, the.training, network.model_id, said.validation, said.test)
            _save_evaluation(parts, the, network.model_id, said)
    return failures


def _predict_job(parts: Parts, run: Run, network: Network, dataset: Dataset, more: tuple[Windows, ...]) -> PredictJob:
    if not parts.artifacts.exists(network.file):
        step = "pretrain" if network.role == "pooled" else "train"
        raise NothingStored(
            f"{network.ticker} {run.session}: its network {network.model_id} is not there. Run `{step}` for this session first."
        )
    return PredictJob(
        ticker=network.ticker,
        model=parts.artifacts.read(network.file),
        windows=(dataset.validation, dataset.test, *more),
        horizon=dataset.spec.horizon,
    )


def _save_default(parts: Parts, network: Network, dataset: Dataset, said: tuple[np.ndarray, ...]) -> None:
    parts.store.save(EVALUATIONS, evaluation.evaluate(dataset, network.dataset, network.model_id, *said))
    _save_predictions(parts, dataset, network.dataset, network.model_id, *said)


def _save_predictions(parts: Parts, dataset: Dataset, name: str, model: str, validation: np.ndarray, test: np.ndarray) -> None:
    if not parts.artifacts.exists(predictions_file(name, model)):
        quantiles = evaluation.calibrated_test(dataset, validation, test)
        parts.artifacts.write(predictions_file(name, model), predictions_csv(dataset.test, quantiles))


def look_ahead(parts: Parts, run: Run, recipe: Recipe, tickers: list[str], length: int) -> dict[str, LookAhead | StockcastError]:
    """What the current network of each ticker says about the test sessions in the three ways of `lookahead`, by ticker."""
    jobs, outcomes, shared = [], {}, pools(parts, run, recipe)
    for ticker in tickers:
        current = next(iter(compared(parts, run, recipe, ticker, shared)), None)
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


def _save_evaluation(parts: Parts, the: Stock, model: str, said: Said) -> None:
    if not _evaluated(parts, the.training, model):  # once for all sessions between two trainings
        parts.store.save(EVALUATIONS, evaluation.evaluate(the.dataset, the.training, model, said.validation, said.test))
    # Last: where the predictions are, the evaluations are.
    parts.store.save(PREDICTIONS, evaluation.predict(the.live, predicted_by(model, the.training), said.replay[-1]))


def _done(parts: Parts, the: Stock, model: str) -> bool:
    return parts.artifacts.exists(forecasters.file_of(the.training, the.live, model)) and _has(parts, the.training, the.live, model)


def _has(parts: Parts, training: str, live: str, model: str) -> bool:
    return (
        _evaluated(parts, training, model)
        and len(parts.store.load(PREDICTIONS, dataset=live, model=predicted_by(model, training))) > 0
    )


def _evaluated(parts: Parts, dataset: str, model: str) -> bool:
    return len(parts.store.load(EVALUATIONS, dataset=dataset, model=model)) > 0


def predicted_by(model: str, training: str) -> str:
    """The `model` of a PREDICTIONS row: a baseline's shape is learnt from a training dataset, which is part of its name."""
    return f"{model} {training[:12]}" if model in BASELINES else model
