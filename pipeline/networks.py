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

from pipeline import datasets, evaluation, forecasters
from pipeline.assembly import code_version
from pipeline.errors import NothingStored, SettingsError, StockcastError
from pipeline.evaluation import Measurable
from pipeline.forecasters import Said, Stock
from pipeline.lookahead import LookAhead
from pipeline.models import DEFAULT
from pipeline.models.baselines import BASELINES
from pipeline.models.optimisation import Pinball
from pipeline.models.recipe import Recipe
from pipeline.quantiles import INTERVALS, MEDIAN
from pipeline.run import Run
from pipeline.tables import DATASETS, MODELS
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


def predictions_table(test: Windows, quantiles: np.ndarray) -> pd.DataFrame:
    """Test sessions as people and spreadsheets read them: cutoff, session, horizon, actual, prediction, naive, intervals; dollars.

    Args:
        quantiles: calibrated, in dollars (n, horizon, Q).
    """
    count, horizons = quantiles.shape[:2]
    return pd.DataFrame(
        {
            "cutoff": np.tile(test.origins, horizons),
            "session": test.sessions.T.ravel(),
            "horizon": np.repeat(np.arange(1, horizons + 1), count),
            "actual": test.actual.T.ravel(),
            "prediction": quantiles[:, :, MEDIAN].T.ravel(),
            "naive": np.tile(test.last, horizons),
            **{
                f"{side}_{level}": quantiles[:, :, bound].T.ravel()
                for level, bounds in INTERVALS.items()
                for side, bound in zip(("lower", "upper"), bounds, strict=True)
            },
        }
    )


def predictions_csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, date_format="%Y-%m-%d").encode()


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


def compared(wanted: list[Network]) -> list[Network]:
    """Of a ticker's `wanted` networks those that may be published, the current one first; none where there is too little history for any."""
    return [network for network in wanted if network.role != "default"]


def wanted(
    parts: Parts, run: Run, recipe: Recipe, rows: dict[str, dict[str, dict]], shared: list[Network] | None = None
) -> dict[str, list[Network]]:
    """All networks that a run needs, by ticker: those compared, and the default recipe's beside another.

    Where a recipe is tuned per stock, a ticker with too little history for a network of its own has the pooled one.

    Args:
        rows: what `datasets.by_ticker` gives for the tickers.
        shared: what `pools` gives, where it is known.
    """
    everyone = datasets.by_ticker(parts, run, datasets.passed(parts, run)) if recipe.pooled or DEFAULT.pooled else {}
    shared = pools(parts, run, recipe) if shared is None else shared
    return {ticker: _wanted(parts, run, recipe, ticker, own, shared, everyone) for ticker, own in rows.items()}


def _wanted(
    parts: Parts, run: Run, recipe: Recipe, ticker: str, own: dict[str, dict], shared: list[Network], everyone: dict
) -> list[Network]:
    found = [
        _network(parts, of, ticker, role, own[name], _base(parts, run, of, own[name], shared), everyone)
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


def _network(parts: Parts, recipe: Recipe, ticker: str, role: str, row: dict, base: Network | None, everyone: dict) -> Network:
    pool = {ticker: row["dataset"]}
    if recipe.pooled:
        members = {member: roles[row["role"]] for member, roles in everyone.items() if row["role"] in roles}
        pool = {member: own["dataset"] for member, own in members.items() if not own["reason"]}
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


def with_vectors(parts: Parts, run: Run, recipe: Recipe) -> Network | None:
    """The run's network that has learnt a vector for each of several stocks; None where there is no such network."""
    shared = pools(parts, run, recipe)
    if recipe.pooled:
        every = wanted(parts, run, recipe, datasets.by_ticker(parts, run, datasets.passed(parts, run)), shared)
        shared = [network for own in every.values() for network in compared(own)[:1]]
    return next((network for network in shared[:1] if len(network.pool) > 1 and parts.artifacts.exists(network.file)), None)


@dataclass(frozen=True, eq=False)
class Measured:
    """What networks and baselines are worth on a stock's datasets; the predictions of its current network are among the artifacts.

    Attributes:
        said: what each network that may be published says, the current one first.
        evaluations: EVALUATIONS rows.
        predictions: of the current network's test windows, as `predictions_csv` has them; None where there is no network.
    """

    the: Stock
    said: list[tuple[Network, Said]]
    evaluations: pd.DataFrame
    predictions: pd.DataFrame | None


def measure(parts: Parts, run: Run, stocks: list[tuple[Stock, list[Network]]]) -> dict[str, Measured | StockcastError]:
    """Measures baselines and networks (those `wanted` of each stock) on the same windows, the default recipe's on its own; by ticker."""
    jobs: dict[PredictJob, tuple[Stock, Network, Dataset]] = {}
    for the, every in stocks:
        for network in every:
            seen = _seen_by(parts, the, network)
            jobs[_predict_job(parts, run, network, (seen.validation, seen.test), seen.spec.horizon)] = the, network, seen
    said: dict[tuple[str, str], Measurable] = {}
    measured: dict[str, Measured | StockcastError] = {}
    for job, outcome in parts.workers.predict_all(list(jobs)) if jobs else ():
        the, network, seen = jobs[job]
        if isinstance(outcome, StockcastError):
            measured[the.ticker] = outcome
            continue
        quantiles = map(forecasters.stored, evaluation.quantiles_of(seen.validation, outcome, (seen.test,)))
        on = (seen, network.dataset) if network.role == "default" else (the.dataset, the.training)
        said[the.ticker, network.role] = Measurable(*on, network.model_id, *quantiles)
    good = [(the, every, [said[the.ticker, each.role] for each in every]) for the, every in stocks if the.ticker not in measured]
    beside = [
        Measurable(the.dataset, the.training, name, each.validation, each.test)
        for the, *_ in good
        for name, each in the.baselines.items()
    ]
    measurable = [*beside, *(each for *_, own in good for each in own)]
    rows, tests = evaluation.evaluate(measurable)
    calibrated, by_dataset = dict(zip(measurable, tests, strict=True)), dict(list(rows.groupby("dataset")))
    for the, every, own in good:
        measured[the.ticker] = _measured(parts, the, list(zip(every, own, strict=True)), by_dataset, calibrated)
    return measured


def _seen_by(parts: Parts, the: Stock, network: Network) -> Dataset:
    """The windows that a network is measured on, as it sees them."""
    if network.role == "default":
        return datasets.load(parts, network.dataset)
    as_they_are = network.role == "pooled" or network.dataset == the.training or not network.recipe.normalisation.is_fitted
    return the.dataset if as_they_are else datasets.load(parts, the.training, network.dataset)


def _measured(
    parts: Parts,
    the: Stock,
    own: list[tuple[Network, Measurable]],
    rows: dict[str, pd.DataFrame],
    calibrated: dict[Measurable, np.ndarray],
) -> Measured:
    """What is kept of a stock's networks: the current one's predictions as a file, and those of the default recipe beside another."""
    of_interest = [(network, each) for network, each in own if network.role != "default"]
    predictions = []
    for _, each in (*of_interest[:1], *((network, each) for network, each in own if network.role == "default")):
        predictions.append(predictions_table(each.dataset.test, calibrated[each]))
        name = predictions_file(each.name, each.model)
        if not parts.artifacts.exists(name):
            parts.artifacts.write(name, predictions_csv(predictions[-1]))
    return Measured(
        the,
        [(network, Said(each.validation, each.test)) for network, each in of_interest],
        pd.concat([rows[name] for name in dict.fromkeys([the.training, *(each.name for _, each in own)])]),
        predictions[0] if of_interest else None,
    )


def replay(
    parts: Parts, run: Run, wanted: dict[str, tuple[dict[str, dict], Network | None]]
) -> dict[str, tuple[Windows, np.ndarray | None] | StockcastError]:
    """The windows of the sessions before the cutoff, and what a network says about them, by ticker.

    Args:
        wanted: by ticker its datasets by role, and the network; None: only the windows are.
    """
    jobs: dict[PredictJob, tuple[Windows, ...]] = {}
    found: dict[str, tuple[Windows, np.ndarray | None] | StockcastError] = {}
    for ticker, (rows, network) in wanted.items():
        live = rows["live"]["dataset"]
        if network is None:
            found[ticker] = datasets.load_replay(parts, live), None
            continue
        fitted_on = network.dataset if network.role != "pooled" else None
        windows = (datasets.load_replay(parts, live, fitted_on),)
        if not isinstance(network.recipe.loss, Pinball):  # its distribution is that of its errors on validation
            windows = (datasets.load(parts, rows["training"]["dataset"], fitted_on).validation, *windows)
        jobs[_predict_job(parts, run, network, windows, run.universe.horizon)] = windows
    for job, outcome in parts.workers.predict_all(list(jobs)) if jobs else ():
        windows = jobs[job]
        if isinstance(outcome, StockcastError):
            found[job.ticker] = outcome
        else:
            found[job.ticker] = windows[-1], forecasters.stored(evaluation.quantiles_of(windows[0], outcome, windows[1:])[-1])
    return found


def _predict_job(parts: Parts, run: Run, network: Network, windows: tuple[Windows, ...], horizon: int) -> PredictJob:
    if not parts.artifacts.exists(network.file):
        step = "pretrain" if network.role == "pooled" else "train"
        raise NothingStored(
            f"{network.ticker} {run.session}: its network {network.model_id} is not there. Run `{step}` for this session first."
        )
    return PredictJob(
        ticker=network.ticker,
        model=parts.artifacts.read(network.file),
        windows=windows,
        horizon=horizon,
    )


def look_ahead(parts: Parts, run: Run, recipe: Recipe, tickers: list[str], length: int) -> dict[str, LookAhead | StockcastError]:
    """What the current network of each ticker says about the test sessions in the three ways of `lookahead`, by ticker."""
    jobs, outcomes, every = [], {}, wanted(parts, run, recipe, datasets.by_ticker(parts, run, tickers))
    for ticker in tickers:
        current = next(iter(compared(every.get(ticker, []))), None)
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


def predicted_by(model: str, training: str) -> str:
    """The `model` of a PREDICTIONS row: a baseline's shape is learnt from a training dataset, which is part of its name."""
    return f"{model} {training[:12]}" if model in BASELINES else model
