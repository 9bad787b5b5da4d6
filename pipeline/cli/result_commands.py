"""The commands that read what is stored and known: forecasts, scores, universes, recipes."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.flags import FormatFlag, date_flag
from pipeline.cli.printing import print_rows
from pipeline.errors import NothingStored, SettingsError
from pipeline.settings import Settings
from pipeline.universes import REHEARSAL

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.universes import Universe


def forecasts(
    settings: Settings,
    session: Annotated[
        dt.date | None,
        date_flag("--session", "Session after which they were made. Default: the newest."),
    ] = None,
    revisions: Annotated[
        bool,
        typer.Option("--revisions", help="Every publication, also those replaced or withdrawn."),
    ] = False,
    format: FormatFlag = "table",
) -> None:
    """Print the published forecasts."""
    from pipeline.parts import Parts, store_name
    from pipeline.tables import FORECASTS, PUBLICATIONS

    with Parts(settings) as parts:
        filters = _filters(settings, session)
        rows = _without_rehearsals(
            parts.store.load(PUBLICATIONS if revisions else FORECASTS, **filters), filters
        )
        if rows.empty:
            raise NothingStored(
                f"No forecasts are stored for {_filters_text(filters)} in {store_name(settings)}. "
                "`stockcast run` makes them; --home names another folder."
            )
        newest = rows if session else rows[rows["cutoff"] == rows["cutoff"].max()]
        print_rows(newest, format)


def scores(
    settings: Settings,
    session: Annotated[
        dt.date | None,
        date_flag("--session", "Only forecasts that were made after this session."),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="One row per forecast, no means.")] = False,
    format: FormatFlag = "table",
) -> None:
    """Print the scores of past forecasts."""
    from pipeline.measures import metrics
    from pipeline.parts import Parts
    from pipeline.tables import SCORES

    with Parts(settings) as parts:
        filters = _filters(settings, session)
        rows = _without_rehearsals(parts.store.load(SCORES, **filters), filters)
        if rows.empty:
            raise NothingStored(
                f"No forecast for {_filters_text(filters)} has been scored. "
                "Run a session after it first (`stockcast run`)."
            )
        print_rows(rows if each else metrics.realised(rows), format)


def print_universes(settings: Settings, format: FormatFlag = "table") -> None:
    """Print all universes, or one."""
    import pandas as pd

    from pipeline.universes import load_universes

    universes = load_universes(settings.universes)
    name = settings.universe
    if name and name not in universes:
        raise SettingsError(
            f"There is no universe {name!r}. The universes are: {', '.join(universes)}."
        )
    chosen = [universes[name]] if name else list(universes.values())
    rows = pd.DataFrame([_universe_row(universe) for universe in chosen])
    # Only universes of files have a folder.
    print_rows(rows if rows["data"].any() else rows.drop(columns="data"), format)


def print_recipes(settings: Settings, format: FormatFlag = "table") -> None:
    """Print all recipes, or one."""
    import pandas as pd

    from pipeline.models import RECIPES

    chosen = [RECIPES.find(settings.recipe)] if settings.recipe else list(RECIPES)
    rows = [recipe.described() for recipe in chosen]
    if format != "table":
        print_rows(pd.DataFrame(rows), format)
        return
    for row in rows:  # sentences do not fit into columns
        print(row.pop("name"))
        for name, value in row.items():
            if value != "":
                print(f"  {name:<15} {value}")


def _universe_row(universe: Universe) -> dict[str, object]:
    sectors: dict[str, list[str]] = {}
    for ticker, sector in universe.sectors.items():
        sectors.setdefault(sector, []).append(ticker)
    return {
        **dataclasses.asdict(universe),
        "tickers": " ".join(universe.tickers),
        "dag": f"daily_forecast_{universe.name}",
        "sectors": "; ".join(f"{name}: {' '.join(tickers)}" for name, tickers in sectors.items()),
    }


def _filters(settings: Settings, session: dt.date | None) -> dict[str, object]:
    """Return the columns that narrow what is printed: only those that were asked for."""
    filters = {
        "universe": settings.universe,
        "recipe": settings.recipe,
        "target": settings.target,
        "ticker": settings.ticker_list,
        "cutoff": session,
    }
    return {name: value for name, value in filters.items() if value}


def _without_rehearsals(rows: pd.DataFrame, filters: Mapping[str, object]) -> pd.DataFrame:
    """Return what was published, unless a universe, or a rehearsal of one, was asked for."""
    if "universe" in filters:
        return rows
    return rows[~rows["universe"].str.endswith(REHEARSAL)]


def _filters_text(filters: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in filters.items()) or "any session"
