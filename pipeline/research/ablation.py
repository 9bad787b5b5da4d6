"""`stockcast ablate`: a network with other numbers of layers and units, to test a claim.

The FAST-NU report says that more layers reduce the error. It is tested on the report's own network.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.daily import recipe_tags
from pipeline.errors import SettingsError
from pipeline.measures import root_mean_squared_error
from pipeline.models import PriceRecipe, Stack
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.reporting import charts
from pipeline.research.ablation_text import ablation_summary, ablation_text
from pipeline.research.study import (
    Period,
    StudyData,
    StudyReport,
    csv_file,
    data_of,
    history_of,
    record_runs,
    save_files,
    study_folder,
    text_file,
)
from pipeline.research.study_networks import StudyNetwork, predictions_of, train_networks
from pipeline.tracking import TrackedRun
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "ablate"
#: The recipe with other layers.
ABLATED_RECIPE = "fastnu-default"
#: The figures of a network that are metrics of its run.
ABLATION_METRICS = (
    "layers",
    "units",
    "rmse",
    "naive_rmse",
    "ratio_to_naive",
    "sessions",
    "left_out",
)


@dataclass(frozen=True)
class AblationPlan:
    """The networks that are compared.

    Attributes:
        layers, units: each number of layers is trained with each number of units.
        seeds: how many networks of each are trained.
        epochs: of each training; None: as published.
    """

    layers: tuple[int, ...]
    units: tuple[int, ...]
    seeds: int = 1
    epochs: int | None = None

    def variants(self, base: PriceRecipe) -> dict[tuple[int, int], PriceRecipe]:
        """Return `base` with other layers, by (layers, units).

        Raises:
            SettingsError: its network is no stack of layers.
        """
        if not isinstance(base.network, Stack):
            raise SettingsError(f"{base.name} is no stack of layers, but {base.network}.")
        return {
            (layers, units): dataclasses.replace(
                base,
                name=f"{base.name}-{layers}x{units}",
                network=dataclasses.replace(base.network, units=(units,) * layers),
                epochs=base.epochs if self.epochs is None else self.epochs,
            )
            for units in self.units
            for layers in self.layers
        }


@dataclass(frozen=True, eq=False)
class _Variant:
    """A network of a ticker with its numbers of layers and units."""

    ticker: str
    layers: int
    units: int
    network: StudyNetwork


def ablate(parts: Parts, universe: Universe, plan: AblationPlan, now: dt.datetime) -> StudyReport:
    """Train what is missing, measure, and write table, picture and runs.

    A ticker that fails does not stop the others.

    Args:
        now: the moment whose prices are asked for.

    Raises:
        StockcastError: every ticker failed; it is the first one's error.
    """
    base = parts.recipes.for_price(ABLATED_RECIPE)
    epochs = base.epochs if plan.epochs is None else plan.epochs
    target = parts.settings.target or base.targets[0]
    data = _data(parts, universe, base, target, now)
    failures = dict(data.failures)
    variants = _variants(plan, base, data.results, parts.settings.seed)
    networks = [variant.network for variant in variants]
    for ticker, error in train_networks(parts, STEP, networks, universe.sectors).items():
        failures.setdefault(ticker, error)
    if len(failures) == len(universe.tickers):
        raise next(iter(failures.values()))
    variants = [variant for variant in variants if variant.ticker not in failures]
    rows = pd.DataFrame([_row(parts, variant) for variant in variants])
    text = ablation_text(base, epochs, target, rows, failures.values())
    files = _files(base, target, rows, text)
    params = _params(base, epochs, target, rows)
    folder = study_folder(STEP, universe, params)
    save_files(parts, folder, files)
    means = {
        f"ratio_to_naive.{row['layers']}x{row['units']}": float(row["mean"])
        for row in ablation_summary(rows).to_dict("records")
    }
    runs = _runs(parts, target, variants, rows)
    record_runs(parts, universe, STEP, params, runs, means, files)
    return StudyReport(rows, text, failures, folder)


def _data(
    parts: Parts, universe: Universe, base: PriceRecipe, target: str, now: dt.datetime
) -> Outcomes[StudyData]:
    def data_of_ticker(ticker: str) -> StudyData:
        history = history_of(parts, universe, ticker, target, Period(), now)
        return data_of(history, base, target, base.split)

    return outcome_of_each(
        universe.tickers,
        data_of_ticker,
        lambda ticker, error: parts.progress(STEP, ticker, f"failed: {error}"),
    )


def _variants(
    plan: AblationPlan, base: PriceRecipe, data: Mapping[str, StudyData], first_seed: int
) -> list[_Variant]:
    """Return the networks of all tickers, layers, units and seeds."""
    return [
        _Variant(
            ticker, layers, units, StudyNetwork(recipe, {ticker: studied}, first_seed + number)
        )
        for ticker, studied in data.items()
        for (layers, units), recipe in plan.variants(base).items()
        for number in range(plan.seeds)
    ]


def _row(parts: Parts, variant: _Variant) -> dict[str, object]:
    """Return what a network is worth on its test sessions."""
    network, ticker = variant.network, variant.ticker
    dataset = network.data[ticker].dataset
    test = dataset.test
    rmse, naive = (
        float(root_mean_squared_error(test.actual, prices[:, None])[0])
        for prices in (predictions_of(parts, network, ticker), test.last)
    )
    return {
        "ticker": ticker,
        "layers": variant.layers,
        "units": variant.units,
        "seed": network.seed,
        "rmse": rmse,
        "naive_rmse": naive,
        "ratio_to_naive": rmse / naive,
        "sessions": len(test),
        "left_out": dataset.left_out["test"],
        "first_session": pd.Timestamp(test.sessions[0, 0]),
        "last_session": pd.Timestamp(test.sessions[-1, 0]),
    }


# Files and runs


def _files(base: PriceRecipe, target: str, rows: pd.DataFrame, text: str) -> dict[str, bytes]:
    """Return the study's files by name."""
    title = f"{base.name} with other layers: {target}, RMSE over the naive forecast's"
    summary = ablation_summary(rows)
    return {
        "results.csv": csv_file(rows),
        "summary.csv": csv_file(summary),
        "table.md": text_file(text),
        "layers.png": charts.ablation_plot(title, summary),
    }


def _params(base: PriceRecipe, epochs: int, target: str, rows: pd.DataFrame) -> dict[str, object]:
    def listed(name: str) -> str:
        return " ".join(map(str, sorted(rows[name].unique())))

    return {
        "recipe": base.name,
        "target": target,
        "tickers": " ".join(rows["ticker"].unique()),
        **{name: listed(name) for name in ("layers", "units", "seed")},
        "epochs": epochs,
    }


def _runs(
    parts: Parts, target: str, variants: Sequence[_Variant], rows: pd.DataFrame
) -> Iterator[TrackedRun]:
    """Yield the run of each network; `rows` are in the order of `variants`."""
    records: list[dict[Any, Any]] = rows.to_dict("records")
    for variant, row in zip(variants, records, strict=True):
        network = variant.network
        recipe = network.recipe
        yield TrackedRun(
            ticker=variant.ticker,
            title=network.title,
            params={
                **recipe.parameters(),
                "recipe": recipe.name,
                "target": target,
                "seed": network.seed,
            },
            metrics={name: float(row[name]) for name in ABLATION_METRICS},
            history=parts.networks.training(network.model_id).history,
            tags={"study": STEP, "source": recipe.source, **recipe_tags(recipe)},
        )
