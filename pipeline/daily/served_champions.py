"""Champions as models to serve: what a publication writes into their folders in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.dataset_files import read_dataset
from pipeline.daily.lineup import POOLED, Lineup, NetworkEntry
from pipeline.daily.table_rows import row_dicts
from pipeline.decisions import ChampionForecast, Publication
from pipeline.errors import StockcastError
from pipeline.models import STANDING, Pinball, PriceRecipe
from pipeline.run import Run
from pipeline.serving import EXAMPLE_FILE, SERVED_FILE, ServedForecast, example_of
from pipeline.tracking import PublishedModel
from pipeline.windows import NewestPart

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "publish"


def published_models(
    parts: Parts, run: Run, promotions: pd.DataFrame, made: Mapping[str, Publication]
) -> dict[str, PublishedModel]:
    """Return the champions of PROMOTIONS rows by ticker, with the files to serve them from.

    Args:
        made: by ticker.
    """
    lineups = lineup.stored(parts, run, list(promotions["ticker"]))
    return {
        row["ticker"]: PublishedModel(
            row["model_id"],
            row["champion"] in STANDING,
            partial(
                _files,
                parts,
                run,
                lineups[row["ticker"]],
                made[row["ticker"]].champions[row["ticker"]],
            ),
        )
        for row in row_dicts(promotions)
    }


def _files(parts: Parts, run: Run, own: Lineup, forecast: ChampionForecast) -> dict[str, bytes]:
    """Return the files of a champion's folder as of a session.

    What is published stands already: a fault of these files is reported, and stops nothing.
    """
    try:
        return _made_files(parts, run, own, forecast)
    except StockcastError as error:
        parts.progress(STEP, own.ticker, f"its model cannot be served: {error}")
        return {}


def _made_files(
    parts: Parts, run: Run, own: Lineup, forecast: ChampionForecast
) -> dict[str, bytes]:
    network, fitted_on = own.network(forecast.model_id), None
    if network is not None:
        if not _is_complete(parts, network, forecast):
            return {}
        fitted_on = _fitted_on(parts, network)
    part = NewestPart.of_file(read_dataset(parts, own.live.dataset), fitted_on)
    served = ServedForecast.of(run.universe.name, run.forecast_sessions, part, forecast)
    return {SERVED_FILE: served.encoded(), EXAMPLE_FILE: example_of(part)}


def _is_complete(parts: Parts, network: NetworkEntry, forecast: ChampionForecast) -> bool:
    """Return whether a network's quantiles can be made again.

    A replay of a version before does not keep the spread of a network that forecasts points.
    """
    return forecast.spread is not None or isinstance(_recipe_of(parts, network).loss, Pinball)


def _fitted_on(parts: Parts, network: NetworkEntry) -> bytes | None:
    is_fitted = _recipe_of(parts, network).normalisation.is_fitted and network.role != POOLED
    return read_dataset(parts, network.dataset) if is_fitted else None


def _recipe_of(parts: Parts, network: NetworkEntry) -> PriceRecipe:
    return parts.recipes.for_price(network.recipe.removesuffix(".pool"))
