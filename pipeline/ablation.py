"""`stockcast ablate`: the FAST-NU report says that more layers reduce the error; its own network with other layers, put to the test."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import charts, records, reporting, study
from pipeline.errors import StockcastError
from pipeline.metrics import root_mean_squared_error
from pipeline.models import find_recipe
from pipeline.models.recipe import Recipe
from pipeline.study import Data, Network, Outcome, Period
from pipeline.tracking import StockRun
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.assembly import Parts

STEP = "ablate"
#: The recipe whose layers are varied.
BASE = "fastnu-default"


def variants(base: Recipe, layers: Sequence[int], units: Sequence[int], epochs: int | None = None) -> list[Recipe]:
    """`base` with each number of layers of each number of units, and, where given, so many epochs."""
    return [
        dataclasses.replace(
            base,
            name=f"{base.name}-{count}x{width}",
            network=dataclasses.replace(base.network, units=(width,) * count),
            epochs=base.epochs if epochs is None else epochs,
        )
        for width in units
        for count in layers
    ]


def ablate(
    parts: Parts,
    universe: Universe,
    base: Recipe,
    layers: Sequence[int],
    units: Sequence[int],
    seeds: int,
    now: dt.datetime,
    epochs: int | None = None,
) -> Outcome:
    """Trains what is missing, measures, and writes table, picture and runs; a ticker that fails does not keep the others.

    Raises the first error when every ticker fails.
    """
    recipes = variants(base, layers, units, epochs)
    target = parts.settings.target or base.targets[0]
    failures: dict[str, StockcastError] = {}
    data: dict[str, Data] = {}
    for ticker in universe.tickers:
        try:
            data[ticker] = study.data_of(study.history_of(parts, universe, ticker, target, Period(), now), base, target, base.split)
        except StockcastError as error:
            failures[ticker] = error
            parts.progress(STEP, ticker, f"failed: {error}")
    networks = [
        Network(recipe, {ticker: cut}, parts.settings.seed + number)
        for ticker, cut in data.items()
        for recipe in recipes
        for number in range(seeds)
    ]
    for name, error in study.train(parts, STEP, networks, universe.sectors).items():
        failures.setdefault(next(network.stock for network in networks if network.name == name), error)
    if len(failures) == len(universe.tickers):
        raise next(iter(failures.values()))
    networks = [network for network in networks if network.stock not in failures]
    rows = pd.DataFrame([_row(parts, network) for network in networks])
    text = _text(base, recipes[0].epochs, target, rows, failures)
    files = _files(base, target, rows, text)
    params = _params(base, target, networks, rows)
    folder = study.folder(STEP, universe, params)
    study.save(parts, folder, files)
    _track(parts, universe, params, networks, rows, files)
    return Outcome(rows, text, failures, folder)


def _row(parts: Parts, network: Network) -> dict:
    test = network.data[network.stock].dataset.test
    rmse, naive = (
        float(root_mean_squared_error(test.actual, prices[:, None])[0])
        for prices in (study.said(parts, network, network.stock), test.last)
    )
    return {
        "ticker": network.stock,
        "layers": len(network.recipe.network.units),
        "units": network.recipe.network.units[0],
        "seed": network.seed,
        "rmse": rmse,
        "naive_rmse": naive,
        "ratio_to_naive": rmse / naive,
        "sessions": len(test),
        "left_out": network.data[network.stock].dataset.left_out["test"],
        "first_session": pd.Timestamp(test.sessions[0, 0]),
        "last_session": pd.Timestamp(test.sessions[-1, 0]),
    }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """layers, units and the ratio to naive over all tickers and seeds: mean, least, greatest."""
    groups = rows.groupby(["layers", "units"])["ratio_to_naive"]
    return groups.agg(mean="mean", least="min", greatest="max").reset_index()


def _text(base: Recipe, epochs: int, target: str, rows: pd.DataFrame, failures: dict[str, StockcastError]) -> str:
    shortened = "" if epochs == base.epochs else f" Shortened to {epochs} epochs of {base.epochs}: not what the report trained."
    tickers, seeds = list(rows["ticker"].unique()), rows["seed"].nunique()
    first, last = rows["first_session"].min().date(), rows["last_session"].max().date()
    tested = rows.groupby("ticker")[["sessions", "left_out"]].first().sum()
    return "\n\n".join(
        [
            reporting.sentences(
                [
                    f"{base.name} with other layers; {target}, one session ahead, RMSE over the naive forecast's; mean (range) over "
                    f"{', '.join(tickers)} and {seeds} seed{'s' * (seeds > 1)}. Tested on {tested['sessions']} sessions from {first} to {last}, "
                    f"{tested['left_out']} left out.{shortened}"
                ]
            ),
            reporting.ablation_table(summary(rows)),
            reporting.sentences(list(verdicts(rows))),
            *([reporting.sentences([f"failed: {error}" for error in failures.values()])] if failures else []),
        ]
    )


def verdicts(rows: pd.DataFrame) -> Iterator[str]:
    """Sentences that say whether more layers reduced the error, and what the seeds alone do to it."""
    fewest, most = int(rows["layers"].min()), int(rows["layers"].max())
    change = 0.0
    if fewest < most:
        means = rows.groupby(["ticker", "units", "layers"])["ratio_to_naive"].mean().unstack("layers")
        reduced = int((means[most] < means[fewest]).sum())
        steps = np.diff(means.to_numpy(), axis=1)
        before, after = means[fewest].mean(), means[most].mean()
        change = abs(after - before)
        answer = {len(means): "reduced the error", 0: "did not reduce the error"}.get(
            reduced, "reduced the error only here and there"
        )
        yield (
            f"More layers {answer}: from {fewest} to {most} layers the ratio went from {before:.3f} to {after:.3f} on average, and fell for "
            f"{reduced} of {len(means)} pairs of ticker and units; {int((steps < 0).sum())} of {steps.size} single steps up were improvements."
        )
    spread = rows.groupby(["ticker", "units", "layers"])["ratio_to_naive"].agg(lambda ratios: ratios.max() - ratios.min())
    if rows["seed"].nunique() > 1:
        more = ": more than the layers do" if spread.mean() > change > 0 else ""
        yield f"The seed alone moves the ratio by {spread.mean():.3f} on average and {spread.max():.3f} at most{more}."
    won = int((rows["ratio_to_naive"] < 1).sum())
    yield f"{won} of {len(rows)} networks beat the naive forecast."


def _files(base: Recipe, target: str, rows: pd.DataFrame, text: str) -> dict[str, bytes]:
    title = f"{base.name} with other layers: {target}, RMSE over the naive forecast's"
    return {
        "results.csv": reporting.rows(rows, "csv").encode(),
        "summary.csv": reporting.rows(summary(rows), "csv").encode(),
        "table.md": f"```\n{text}\n```\n".encode(),
        "layers.png": charts.ablation_plot(title, summary(rows)),
    }


def _params(base: Recipe, target: str, networks: list[Network], rows: pd.DataFrame) -> dict[str, object]:
    return {
        "recipe": base.name,
        "target": target,
        "tickers": " ".join(rows["ticker"].unique()),
        **{name: " ".join(map(str, sorted(rows[name].unique()))) for name in ("layers", "units", "seed")},
        "epochs": networks[0].recipe.epochs,
    }


def _track(
    parts: Parts,
    universe: Universe,
    params: dict[str, object],
    networks: list[Network],
    rows: pd.DataFrame,
    files: dict[str, bytes],
) -> None:
    runs = (
        StockRun(
            ticker=network.stock,
            title=network.title,
            params={**network.recipe.parameters(), "recipe": network.recipe.name, "target": params["target"], "seed": network.seed},
            metrics={
                name: float(row[name])
                for name in ("layers", "units", "rmse", "naive_rmse", "ratio_to_naive", "sessions", "left_out")
            },
            history=study.training_of(parts, network)["history"],
            tags={"study": STEP, "source": network.recipe.source, **records.about_recipe(network.recipe)},
        )
        for network, row in zip(networks, rows.to_dict("records"), strict=True)
    )
    means = {f"ratio_to_naive.{row['layers']}x{row['units']}": float(row["mean"]) for row in summary(rows).to_dict("records")}
    study.record(parts, universe, STEP, params, runs, means, files)


def base_recipe() -> Recipe:
    return find_recipe(BASE)
