"""Champions as models to serve: what a publication writes into their folders in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.dataset_files import read_dataset
from pipeline.daily.lineup import Lineup
from pipeline.daily.measuring import fitted_on, recipe_of
from pipeline.daily.table_rows import row_dicts
from pipeline.decisions import ChampionForecast, Publication
from pipeline.errors import StockcastError
from pipeline.models import STANDING, Pinball
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
    network, its_own = own.network(forecast.model_id), None
    if network is not None:
        recipe = recipe_of(parts, network)
        # A replay of a version before does not keep the spread of a network that forecasts points.
        if forecast.spread is None and not isinstance(recipe.loss, Pinball):
            return {}
        its_own = fitted_on(parts, recipe, network)
    part = NewestPart.of_file(read_dataset(parts, own.live.dataset), its_own)
    served = ServedForecast.of(run.universe.name, run.forecast_sessions, part, forecast)
    return {SERVED_FILE: served.encoded(), EXAMPLE_FILE: example_of(part)}
