"""`stockcast reproduce`: a source's recipes, trained and tested as published.

It leaves a text for people, tables, pictures, and runs in MLflow.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.daily import recipe_tags
from pipeline.errors import StockcastError
from pipeline.models import DEFAULT
from pipeline.reporting import charts, sentences
from pipeline.research.reproduction_plan import StudyPlan
from pipeline.research.reproduction_rows import STEP, Reproduction, measure_reproduction
from pipeline.research.study import (
    Period,
    StudyReport,
    csv_file,
    page_of,
    record_runs,
    save_files,
    study_folder,
    text_file,
)
from pipeline.research.study_networks import StudyNetwork, look_ahead_of, make_look_aheads
from pipeline.research.study_tables import normalised_table, study_table, study_verdicts
from pipeline.tracking import TrackedRun
from pipeline.training import embedding
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts


def reproduce(
    parts: Parts, universe: Universe, plan: StudyPlan, seeds: int, period: Period, now: dt.datetime
) -> StudyReport:
    """Train what is missing, measure, and write tables, pictures and runs.

    A ticker that fails does not stop the others.

    Args:
        seeds: how many networks of each recipe are trained.
        now: the moment whose prices are asked for.

    Raises:
        StockcastError: every ticker failed; it is the first one's error.
    """
    measured = measure_reproduction(parts, universe, plan, seeds, period, now)
    unseen = make_look_aheads(parts, STEP, measured.looking_ahead)
    text = _text(measured, unseen)
    files = _files(parts, measured, text) | _stock_pictures(parts, universe, measured)
    params = _params(measured, period)
    folder = study_folder(plan.name, universe, params)
    save_files(parts, folder, files)
    metrics = {
        f"ratio_to_naive.{name}": float(mean)
        for name, mean in measured.rows.groupby("recipe")["ratio_to_naive"].mean().items()
    }
    record_runs(
        parts, universe, f"{STEP} {plan.name}", params, _runs(parts, measured), metrics, files
    )
    return StudyReport(measured.rows, text, measured.failures, folder)


# Text


def _text(measured: Reproduction, unseen: Sequence[StockcastError]) -> str:
    plan, rows = measured.plan, measured.rows
    recipes = [recipe.name for recipe in plan.recipes]
    about = (
        f"Study {plan.name}: {plan.target}, one session ahead; RMSE in the prices' currency on "
        "the same test sessions, and (x) as a multiple of the naive forecast's."
    )
    losses = (
        "On each recipe's own normalised windows, as losses are published. The spread of changes "
        "is that of the forecast changes over that of the actual ones."
    )
    leaks = [
        f"{recipe.name} peeks, as its source did: {recipe.leak}."
        for recipe in plan.recipes
        if recipe.leak
    ]
    notes = [note for ticker in measured.tickers.values() for note in ticker.notes]
    notes += [f"No look ahead: {error}" for error in unseen]
    verdicts = [*_losses(plan, rows), *study_verdicts(rows, recipes)]
    blocks = [
        sentences([about]),
        study_table(rows, recipes),
        sentences([losses]),
        normalised_table(rows, recipes),
        sentences([*verdicts, *leaks, *notes, *plan.left_out]),
    ]
    return page_of(blocks, measured.failures.values())


def _losses(plan: StudyPlan, rows: pd.DataFrame) -> Iterator[str]:
    """Yield a source's published losses, next to ours and the naive forecast's."""
    for recipe in plan.recipes:
        if not recipe.published_loss:
            continue
        published = ", ".join(f"{part} {loss:.3e}" for part, loss in recipe.published_loss.items())
        for ticker, by_seed in rows[rows["recipe"] == recipe.name].groupby("ticker", sort=False):
            mean = by_seed.mean(numeric_only=True)
            ours = ", ".join(f"{part} {mean[f'{part}_loss']:.3e}" for part in recipe.published_loss)
            yield (
                f"Loss after the last epoch of {recipe.name}: published {published} (on its "
                f"source's own history); ours on {ticker} {ours}; naive "
                f"{mean['naive_normalised_mse_train']:.3e} before the test sessions and "
                f"{mean['naive_normalised_mse']:.3e} on them."
            )


# Files


def _files(parts: Parts, measured: Reproduction, text: str) -> dict[str, bytes]:
    """Return the study's files by name."""
    files = {"results.csv": csv_file(measured.rows), "table.md": text_file(text)}
    for ticker in measured.tickers:
        tables = _predictions(measured, ticker)
        files |= {f"{ticker}-{name}.csv": csv_file(table) for name, table in tables.items()}
        files[f"{ticker}.png"] = charts.study_plot(f"{ticker}, {measured.plan.target}", tables)
    for network, ticker in measured.looking_ahead:
        if parts.artifacts.has_derived(network.look_ahead_file(ticker)):
            look, recipe = look_ahead_of(parts, network, ticker), network.recipe.name
            picture = charts.look_ahead_plot(f"{ticker}, {recipe}", look)
            files[f"look-ahead/{ticker}-{recipe}.csv"] = csv_file(look.table())
            files[f"look-ahead/{ticker}-{recipe}.png"] = picture
    return files


def _predictions(measured: Reproduction, ticker: str) -> dict[str, pd.DataFrame]:
    """Return the first seed's predictions by recipe, next to the default recipe's.

    Columns: date, actual, prediction, naive and default, as the sources write their results.
    """
    studied, seed = measured.tickers[ticker], measured.first_seed
    default = measured.forecasts.get((ticker, DEFAULT.name, seed), np.nan)
    return {
        recipe.name: studied.predictions(
            recipe.name, measured.forecasts[ticker, recipe.name, seed]
        ).assign(default=default)
        for recipe in measured.plan.recipes
    }


def _stock_pictures(parts: Parts, universe: Universe, measured: Reproduction) -> dict[str, bytes]:
    """Return a picture of the stocks' vectors for each first seed's network of many stocks."""
    files = {}
    for network in measured.networks:
        if network.recipe.pooled and network.seed == measured.first_seed:
            symbols, vectors = embedding.vectors(parts.networks.model(network.model_id))
            points = embedding.placed(vectors[1:])  # the first is the unknown stock's
            picture = charts.embedding_picture(points, symbols, universe.sectors)
            files[f"{network.recipe.name}-stocks.png"] = picture
    return files


# Runs


def _params(measured: Reproduction, period: Period) -> dict[str, object]:
    networks = measured.networks
    return {
        "study": measured.plan.name,
        "target": measured.plan.target,
        "period": str(period),
        "tickers": " ".join(measured.tickers),
        "recipes": " ".join(dict.fromkeys(network.recipe.name for network in networks)),
        "seeds": " ".join(map(str, sorted({network.seed for network in networks}))),
    }


def _runs(parts: Parts, measured: Reproduction) -> Iterator[TrackedRun]:
    """Yield the run of each network and ticker."""
    rows = {
        (row["ticker"], row["recipe"], row["seed"]): row for row in measured.rows.to_dict("records")
    }
    for network in measured.networks:
        for ticker in network.data:
            if ticker in measured.tickers:
                row = rows[ticker, network.recipe.name, network.seed]
                yield _run(parts, measured, network, ticker, row)


def _run(
    parts: Parts,
    measured: Reproduction,
    network: StudyNetwork,
    ticker: str,
    row: Mapping[Hashable, object],
) -> TrackedRun:
    recipe = network.recipe
    forecast = measured.forecasts[ticker, recipe.name, network.seed]
    return TrackedRun(
        ticker=ticker,
        title=f"{ticker} {recipe.name} seed {network.seed}",
        params={
            **recipe.parameters(),
            "recipe": recipe.name,
            "target": measured.plan.target,
            "seed": network.seed,
        },
        metrics={
            str(name): float(value)
            for name, value in row.items()
            if isinstance(value, float | int) and name not in ("seed", "seconds")
        },
        history=parts.networks.training(network.model_id).history,
        tags={"study": measured.plan.name, "source": recipe.source, **recipe_tags(recipe)},
        files={
            "predictions.csv": csv_file(measured.tickers[ticker].predictions(recipe.name, forecast))
        },
    )
