"""`stockcast reproduce`: a source's recipes, trained and tested as published, beside everything they should be better than.

Every forecast of a ticker is measured on the same sessions, those that all of its recipes are tested on. No cell is filled: a session
whose price, or the price before it, is missing is left out and counted.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import charts, embedding, records, reporting, study
from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError, StockcastError
from pipeline.metrics import directional_accuracy, root_mean_squared_error
from pipeline.models import DEFAULT, with_modes
from pipeline.models.baselines import linear
from pipeline.models.recipe import Recipe
from pipeline.normalisation import LastClose
from pipeline.splits import Since, Split
from pipeline.study import Data, Network, Outcome, Period
from pipeline.tables import column
from pipeline.tracking import StockRun
from pipeline.universes import Universe
from pipeline.windows import Dataset, Windows

if TYPE_CHECKING:
    from pipeline.assembly import Parts

STEP = "reproduce"
#: How the straight line that recipes are compared with sees a history.
LINE = dataclasses.replace(DEFAULT, name="linear", normalisation=LastClose())
#: How far from the days that a source was tested on its first and last session may be: holidays, a missing price.
NEAR = np.timedelta64(7, "D")


@dataclass(frozen=True)
class Study:
    """What is compared: the recipes of one source, on one target. `left_out`: recipes that this folder is not enough for, and why."""

    name: str
    recipes: tuple[Recipe, ...]
    target: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stock:
    """One ticker of a study.

    Attributes:
        data: datasets by recipe name; the default recipe's is missing where the history is too short for it.
        sessions: datetime64[D] (n,): those that everything is measured on.
        period: how many there are in the test period.
        linear: dollars (n,).
        notes: what the reader must know.
    """

    ticker: str
    data: dict[str, Data]
    sessions: np.ndarray
    period: int
    linear: np.ndarray
    notes: tuple[str, ...]


def names() -> list[str]:
    """The studies that there are, in the order of their recipes."""
    return list(dict.fromkeys(recipe.study for recipe in with_modes() if recipe.study))


def find_study(name: str, universe: Universe, recipe: str = "", target: str = "") -> Study:
    """The study of that name for the tickers of `universe`; `recipe` and `target` narrow it."""
    recipes = [found for found in with_modes() if found.study == name]
    if not recipes or not name:
        raise SettingsError(f"There is no study {name!r}. The studies are: {', '.join(names())}.")
    if recipe:
        if recipe not in [found.name for found in recipes]:
            raise SettingsError(
                f"{recipe!r} is no recipe of the study {name}. Its recipes are: {', '.join(found.name for found in recipes)}."
            )
        recipes = [found for found in recipes if found.name == recipe]
    target = target or recipes[0].targets[0]
    for found in recipes:
        if target not in found.targets:
            raise SettingsError(
                f"{found.name} does not forecast {target}; its targets are {', '.join(found.targets)} (flag --target)."
            )
    return _for(Study(name, tuple(recipes), target), universe.tickers)


def _for(the: Study, tickers: Sequence[str]) -> Study:
    """The study of these tickers: without the networks for many stocks where there is one."""
    alone = [recipe.name for recipe in the.recipes if recipe.pooled and len(tickers) == 1]
    if not alone:
        return the
    if len(alone) == len(the.recipes):
        raise SettingsError(f"{', '.join(alone)} is one network for many stocks, and there is only {tickers[0]}. Name more.")
    return dataclasses.replace(
        the,
        recipes=tuple(recipe for recipe in the.recipes if recipe.name not in alone),
        left_out=(
            *the.left_out,
            *(f"{name} is one network for many stocks, and there is only {tickers[0]}: left out." for name in alone),
        ),
    )


def reproduce(parts: Parts, universe: Universe, the: Study, seeds: int, period: Period, now: dt.datetime) -> Outcome:
    """Trains what is missing, measures, and writes tables, pictures and runs; a ticker that fails does not keep the others.

    Raises the first error when every ticker fails.
    """
    failures: dict[str, StockcastError] = {}
    stocks: dict[str, Stock] = {}
    for ticker in universe.tickers:
        try:
            stocks[ticker] = _stock(parts, universe, the, ticker, period, now)
        except StockcastError as error:
            failures[ticker] = error
            parts.progress(STEP, ticker, f"failed: {error}")
    the = _for(the, list(stocks))
    networks = list(_networks(the, stocks, range(parts.settings.seed, parts.settings.seed + seeds)))
    for name, error in study.train(parts, STEP, networks, universe.sectors).items():
        for ticker in next(network for network in networks if network.name == name).data:
            failures.setdefault(ticker, error)
    if len(failures) == len(universe.tickers):
        raise next(iter(failures.values()))
    stocks = {ticker: stock for ticker, stock in stocks.items() if ticker not in failures}
    forecasts = {ticker: _forecasts(parts, stock, networks) for ticker, stock in stocks.items()}
    rows = pd.DataFrame([row for ticker, stock in stocks.items() for row in _rows(parts, the, stock, networks, forecasts[ticker])])
    unseen = study.look_ahead(parts, STEP, _pictured(the, stocks, networks))
    text = _text(the, rows, stocks, unseen, failures)
    files = _files(parts, the, rows, text, stocks, networks, forecasts) | _placed(parts, universe, networks)
    params = _params(the, period, stocks, networks)
    folder = study.folder(the.name, universe, params)
    study.save(parts, folder, files)
    _track(parts, universe, params, rows, networks, stocks, forecasts, files)
    return Outcome(rows, text, failures, folder)


def _stock(parts: Parts, universe: Universe, the: Study, ticker: str, period: Period, now: dt.datetime) -> Stock:
    history = study.history_of(parts, universe, ticker, the.target, period, now)
    for recipe in the.recipes:
        if recipe.tested:
            history = _until(history, recipe)
    data = {recipe.name: study.data_of(history, recipe, the.target, _split(recipe)) for recipe in the.recipes}
    days = history["session"].to_numpy().astype("datetime64[D]")
    tested = [days[-_test_sessions(each) :] for each in data.values()]
    # The rivals begin to be tested where the first of the recipes does: they are trained on no more than it.
    since = Since(max(tested, key=len)[0].item())
    notes = []
    try:
        data[DEFAULT.name] = study.data_of(history, DEFAULT, the.target, dataclasses.replace(DEFAULT.split, test=since))
    except NotEnoughHistory as error:
        notes.append(f"The default recipe is not compared. {error}")
    straight = study.data_of(history, LINE, the.target, Split(since, min_train_windows=1)).dataset
    together = [each.dataset.test.sessions[:, 0] for each in data.values()] + [straight.test.sessions[:, 0]]
    sessions = reduce(np.intersect1d, together)
    if not len(sessions):
        raise LookAtTheData(
            f"{ticker}: no session of its test period can be forecast by all of {', '.join(data)}. Look at the file."
        )
    period = min(tested, key=len)
    notes = [*_missing(history, the, data, period, len(sessions)), *notes]
    line = linear(straight.train, straight.test)[np.isin(straight.test.sessions[:, 0], sessions), 0]
    return Stock(ticker, data, sessions, len(period), line, tuple(notes))


def _until(history: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The history up to the last day that a source was tested on; an error where it has none of its days."""
    first, last = recipe.tested
    known = history[history["session"] <= pd.Timestamp(last)]
    if not (known["session"] >= pd.Timestamp(first)).any():
        begin, end = (history["session"].iloc[at].date() for at in (0, -1))
        raise LookAtTheData(
            f"{history['ticker'].iloc[0]}: no session from {first} to {last}, on which {recipe.name} is tested; its prices are of {begin} to "
            f"{end}. Give files that reach from years before {first.year} through {last.year}."
        )
    return known


def _split(recipe: Recipe) -> Split:
    """As published: where the source named the days that it tested on, those."""
    return dataclasses.replace(recipe.split, test=Since(recipe.tested[0])) if recipe.tested else recipe.split


def _test_sessions(data: Data) -> int:
    """How many there are, whether or not they can be forecast; they end with the history."""
    return len(data.dataset.test) + data.dataset.left_out["test"]


def _missing(history: pd.DataFrame, the: Study, data: dict[str, Data], period: np.ndarray, tested: int) -> Iterator[str]:
    """Which cells of the test period are missing, and what became of the sessions they touch."""
    ticker, inside = history["ticker"].iloc[0], history.tail(len(period))
    if tested < len(period):
        days = [str(day.date()) for day in inside.loc[column(inside, the.target).isna(), "session"]]
        named = ", ".join(days[:3]) + (f" and {len(days) - 3} more days" if len(days) > 3 else "")
        why = (
            f"the {the.target} of {named} is missing" if days else "what they are forecast from is missing or cannot be divided by"
        )
        yield f"{ticker}: {len(period) - tested} of {len(period)} test sessions are left out, because {why}."
    recipe = the.recipes[0]
    data, test = data[recipe.name], data[recipe.name].dataset.test
    gaps = np.logical_or.reduce([column(history, name).isna().to_numpy() for name in data.dataset.spec.columns])
    seen = np.add.accumulate(np.concatenate([[0], gaps]))
    context = data.dataset.spec.window.context_length
    touched = int((seen[test.position + 1] > seen[np.maximum(test.position + 1 - context, 0)]).sum())
    if touched:
        yield (
            f"{ticker}: in {touched} of the windows tested, {recipe.name} sees the last known price in the place of a missing one, as what came "
            "before, never as what is forecast."
        )


def _networks(the: Study, stocks: dict[str, Stock], seeds: Sequence[int]) -> Iterator[Network]:
    for recipe in (*the.recipes, DEFAULT):
        having = {ticker: stock.data[recipe.name] for ticker, stock in stocks.items() if recipe.name in stock.data}
        groups = [having] if recipe.pooled else [{ticker: data} for ticker, data in having.items()]
        yield from (Network(recipe, group, seed) for group in groups if group for seed in seeds)


def _forecasts(parts: Parts, stock: Stock, networks: list[Network]) -> dict[str, np.ndarray]:
    """By network name: dollars (n,) for `stock.sessions`."""
    return {
        network.name: study.said(parts, network, stock.ticker)[
            np.isin(network.data[stock.ticker].dataset.test.sessions[:, 0], stock.sessions)
        ]
        for network in networks
        if stock.ticker in network.data
    }


def _rows(parts: Parts, the: Study, stock: Stock, networks: list[Network], forecasts: dict[str, np.ndarray]) -> Iterator[dict]:
    own = {(network.recipe.name, network.seed): network for network in networks if stock.ticker in network.data}
    for (name, seed), network in own.items():
        data, recipe = network.data[stock.ticker].dataset, network.recipe
        test = data.test.take(np.isin(data.test.sessions[:, 0], stock.sessions))
        forecast = forecasts[network.name]
        default = own.get((DEFAULT.name, seed))
        rmse, naive, line = (_rmse(test.actual, prices) for prices in (forecast, test.last, stock.linear))
        trained = study.training_of(parts, network)
        yield {
            "study": the.name,
            "ticker": stock.ticker,
            "recipe": name,
            "mode": recipe.mode,
            "target": the.target,
            "seed": seed,
            # A source's figures are of its own column.
            "published_rmse": recipe.published.get(stock.ticker, np.nan) if the.target == recipe.targets[0] else np.nan,
            "published_sessions": _as_published(recipe, stock.sessions),
            "rmse": rmse,
            "naive_rmse": naive,
            "linear_rmse": line,
            "default_rmse": _rmse(test.actual, forecasts[default.name]) if default else np.nan,
            "ratio_to_naive": rmse / naive,
            "directional_accuracy": directional_accuracy(test.actual, forecast[:, None], test.last)[0],
            "spread": records.spread(_shown(stock, name, forecast).assign(horizon=1)),
            **{f"{name}_loss": trained["history"][key][-1] for name, key in (("training", "loss"), ("validation", "val_loss"))},
            **_normalised(data, study.said(parts, network, stock.ticker)),
            "sessions": len(stock.sessions),
            "left_out": stock.period - len(stock.sessions),
            "first_session": pd.Timestamp(stock.sessions[0]),
            "last_session": pd.Timestamp(stock.sessions[-1]),
            "epochs": len(trained["history"]["loss"]) - 1,
            "seconds": trained["seconds"],
        }


def _as_published(recipe: Recipe, sessions: np.ndarray) -> bool:
    """Whether these are the sessions that the source was tested on, from its first to its last."""
    if recipe.tested is None:
        return False
    ends = np.abs(sessions[[0, -1]] - np.array(recipe.tested, "datetime64[D]"))
    return bool((ends <= NEAR).all())


def _rmse(actual: np.ndarray, prices: np.ndarray) -> float:
    return float(root_mean_squared_error(actual, prices[:, None])[0])


def _normalised(data: Dataset, forecast: np.ndarray) -> dict[str, float]:
    """Mean squared errors as the sources give them: on the recipe's own normalised windows, all of its test part and all before it."""

    def squares(part: Windows, prices: np.ndarray) -> np.ndarray:
        return ((prices - part.ahead[:, 0]) / part.scale) ** 2

    # The sources count what they validate on as training.
    before = [squares(part, part.last) for part in (data.train, data.validation)]
    return {
        "normalised_mse": float(squares(data.test, forecast).mean()),
        "naive_normalised_mse": float(squares(data.test, data.test.last).mean()),
        "naive_normalised_mse_train": float(np.concatenate(before).mean()),
    }


def _text(
    the: Study, rows: pd.DataFrame, stocks: dict[str, Stock], unseen: list[StockcastError], failures: dict[str, StockcastError]
) -> str:
    recipes = [recipe.name for recipe in the.recipes]
    notes = [note for stock in stocks.values() for note in stock.notes]
    notes += [f"No look ahead: {error}" for error in unseen]
    leaks = [f"{recipe.name} peeks, as its source did: {recipe.leak}." for recipe in the.recipes if recipe.leak]
    about = (
        f"Study {the.name}: {the.target}, one session ahead; RMSE in dollars on the same test sessions, and (x) as a multiple of the naive "
        "forecast's."
    )
    losses = (
        "On each recipe's own normalised windows, as losses are published; and how widely the changes that it forecasts are spread, beside "
        "those that came."
    )
    return "\n\n".join(
        [
            reporting.sentences([about]),
            reporting.study_table(rows, recipes),
            reporting.sentences([losses]),
            reporting.normalised_table(rows, recipes),
            reporting.sentences([*_losses(the, rows), *reporting.study_verdicts(rows, recipes), *leaks, *notes, *the.left_out]),
            *([reporting.sentences([f"failed: {error}" for error in failures.values()])] if failures else []),
        ]
    )


def _losses(the: Study, rows: pd.DataFrame) -> Iterator[str]:
    """What a source published of its training, beside ours and the naive forecast's."""
    for recipe in the.recipes:
        if not recipe.published_loss:
            continue
        published = ", ".join(f"{part} {loss:.3e}" for part, loss in recipe.published_loss.items())
        for ticker, own in rows[rows["recipe"] == recipe.name].groupby("ticker", sort=False):
            mean = own.mean(numeric_only=True)
            ours = ", ".join(f"{part} {mean[f'{part}_loss']:.3e}" for part in recipe.published_loss)
            yield (
                f"Loss after the last epoch of {recipe.name}: published {published} (on its source's own history); ours on {ticker} {ours}; naive "
                f"{mean['naive_normalised_mse_train']:.3e} before the test sessions and {mean['naive_normalised_mse']:.3e} on them."
            )


def _files(
    parts: Parts,
    the: Study,
    rows: pd.DataFrame,
    text: str,
    stocks: dict[str, Stock],
    networks: list[Network],
    forecasts: dict[str, dict[str, np.ndarray]],
) -> dict[str, bytes]:
    """The study's files by name."""
    files = {"results.csv": reporting.rows(rows, "csv").encode(), "table.md": f"```\n{text}\n```\n".encode()}
    for ticker, stock in stocks.items():
        tables = _predictions(the, stock, networks, forecasts[ticker])
        files |= {f"{ticker}-{name}.csv": _csv(table) for name, table in tables.items()}
        files[f"{ticker}.png"] = charts.study_plot(f"{ticker}, {the.target}", tables)
    for network, ticker in _pictured(the, stocks, networks):
        if parts.artifacts.exists(network.looked_ahead(ticker)):
            look, name = study.looked_ahead(parts, network, ticker), f"look-ahead/{ticker}-{network.recipe.name}"
            files |= {
                f"{name}.csv": _csv(look.table()),
                f"{name}.png": charts.look_ahead_plot(f"{ticker}, {network.recipe.name}", look),
            }
    return files


def _placed(parts: Parts, universe: Universe, networks: list[Network]) -> dict[str, bytes]:
    """Where the first seed's networks for many stocks place them: a picture each."""
    files = {}
    for network in networks:
        if network.recipe.pooled and network.seed == parts.settings.seed:
            symbols, vectors = embedding.vectors(parts.artifacts.read(network.model))
            points = embedding.placed(vectors[1:])  # the first is the unknown stock's
            files[f"{network.recipe.name}-stocks.png"] = charts.embedding_picture(points, symbols, universe.sectors)
    return files


def _predictions(the: Study, stock: Stock, networks: list[Network], forecasts: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    """By recipe: date, actual, prediction, naive and default, as the sources write them; of the first seed."""
    seed = min(network.seed for network in networks)
    said = {
        network.recipe.name: forecasts[network.name] for network in networks if network.seed == seed and network.name in forecasts
    }
    tables = {}
    for recipe in the.recipes:
        table = _shown(stock, recipe.name, said[recipe.name])
        tables[recipe.name] = table.assign(default=said.get(DEFAULT.name, np.nan))
    return tables


def _shown(stock: Stock, recipe: str, forecast: np.ndarray) -> pd.DataFrame:
    test = stock.data[recipe].dataset.test
    test = test.take(np.isin(test.sessions[:, 0], stock.sessions))
    return pd.DataFrame({"date": stock.sessions, "actual": test.actual[:, 0], "prediction": forecast, "naive": test.last})


def _csv(table: pd.DataFrame) -> bytes:
    return reporting.rows(table, "csv").encode()


def _pictured(the: Study, stocks: dict[str, Stock], networks: list[Network]) -> list[tuple[Network, str]]:
    """Whose three ways ahead are shown: the first seed's networks of the study's own recipes."""
    seed = min(network.seed for network in networks)
    first = [network for network in networks if network.seed == seed and network.recipe in the.recipes]
    return [(network, ticker) for network in first for ticker in network.data if ticker in stocks]


def _params(the: Study, period: Period, stocks: dict[str, Stock], networks: list[Network]) -> dict[str, object]:
    return {
        "study": the.name,
        "target": the.target,
        "period": str(period),
        "tickers": " ".join(stocks),
        "recipes": " ".join(dict.fromkeys(network.recipe.name for network in networks)),
        "seeds": " ".join(map(str, sorted({network.seed for network in networks}))),
    }


def _track(
    parts: Parts,
    universe: Universe,
    params: dict[str, object],
    rows: pd.DataFrame,
    networks: list[Network],
    stocks: dict[str, Stock],
    forecasts: dict[str, dict[str, np.ndarray]],
    files: dict[str, bytes],
) -> None:
    runs = [
        _tracked(parts, network, stocks[ticker], row, forecasts[ticker][network.name])
        for network in networks
        for ticker in network.data
        if ticker in stocks
        for row in rows[
            (rows["ticker"] == ticker) & (rows["recipe"] == network.recipe.name) & (rows["seed"] == network.seed)
        ].to_dict("records")
    ]
    means = rows.groupby("recipe")["ratio_to_naive"].mean()
    metrics = {f"ratio_to_naive.{name}": float(value) for name, value in means.items()}
    study.record(parts, universe, f"{STEP} {params['study']}", params, runs, metrics, files)


def _tracked(parts: Parts, network: Network, stock: Stock, row: dict, forecast: np.ndarray) -> StockRun:
    recipe = network.recipe
    return StockRun(
        ticker=stock.ticker,
        title=f"{stock.ticker} {recipe.name} seed {network.seed}",
        params={**recipe.parameters(), "recipe": recipe.name, "target": row["target"], "seed": network.seed},
        metrics={
            name: float(value) for name, value in row.items() if isinstance(value, float | int) and name not in ("seed", "seconds")
        },
        history=study.training_of(parts, network)["history"],
        tags={"study": row["study"], "source": recipe.source, **records.about_recipe(recipe)},
        files={"predictions.csv": _csv(_shown(stock, recipe.name, forecast))},
    )
