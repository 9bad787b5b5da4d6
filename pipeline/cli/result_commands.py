"""The commands that read what is stored and known: forecasts, scores, universes, recipes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.flags import FormatFlag, date_flag
from pipeline.cli.printing import print_rows
from pipeline.errors import NothingStored, SettingsError
from pipeline.members import members_on
from pipeline.settings import Settings
from pipeline.tables import SERIES
from pipeline.universes import AMENDING, OMITTED_WHEN_EMPTY, REHEARSAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from pipeline.parts import Parts
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
    from pipeline.daily import with_currency, with_events
    from pipeline.parts import Parts, store_name
    from pipeline.tables import FORECASTS, PUBLICATIONS

    table = PUBLICATIONS if revisions else FORECASTS
    with Parts(settings) as parts:
        asked = _asked(parts, session)
        newest = [parts.store.greatest(table, "cutoff", **filters) for filters in asked]
        cutoff = max((each for each in newest if each is not None), default=None)
        if cutoff is None:
            raise NothingStored(
                f"No forecasts are stored for {_filters_text(settings, session)} in "
                f"{store_name(settings)}. `stockcast run` makes them; --home names another folder."
            )
        keys = [{**filters, "cutoff": cutoff} for filters in asked]
        tables = [parts.store.load(table, **key) for key in keys]
        rows = [
            with_events(parts.store, with_currency(parts.store, each, **key), **key)
            for each, key in zip(tables, keys, strict=True)
        ]
        print_rows(_together(rows, list(table.key)), format)


def scores(
    settings: Settings,
    session: Annotated[
        dt.date | None,
        date_flag("--session", "Only forecasts that were made after this session."),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="One row per forecast, no means.")] = False,
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals",
            help="CRPS, width and coverage of the intervals, with the tests of Kupiec and "
            "Christoffersen.",
        ),
    ] = False,
    format: FormatFlag = "table",
) -> None:
    """Print the scores of past forecasts."""
    from pipeline.daily import page_tables, with_currency
    from pipeline.measures import interval_record, realised
    from pipeline.parts import Parts
    from pipeline.tables import SCORES

    groups = page_tables.RECORD_GROUPS
    if each and intervals:
        raise SettingsError("--each and --intervals exclude one another. Give one of them.")
    with Parts(settings) as parts:

        def table_of(filters: Mapping[str, object]) -> pd.DataFrame:
            if each:
                return with_currency(parts.store, parts.store.load(SCORES, **filters), **filters)
            if intervals:
                return interval_record(parts.store.interval_sums(groups, **filters), groups)
            return realised(parts.store.score_sums(groups, **filters))

        tables = [table_of(filters) for filters in _asked(parts, session)]
        if not sum(map(len, tables)):
            raise NothingStored(
                f"No forecast for {_filters_text(settings, session)} has been scored. "
                "Run a session after it first (`stockcast run`)."
            )
        print_rows(_together(tables, list(SCORES.key if each else groups)), format)


def export_results(
    settings: Settings,
    session: Annotated[dt.date | None, date_flag("--session", "Only this session.")] = None,
    first: Annotated[
        dt.date | None, date_flag("--from", "First session. Default: the first of all.")
    ] = None,
    last: Annotated[dt.date | None, date_flag("--to", "Last session. Default: the newest.")] = None,
) -> None:
    """Write what has been published as files for others to read."""
    from pipeline.daily import export_sessions, sessions_to_export
    from pipeline.parts import Parts, store_name
    from pipeline.reporting import counted

    if session and (first or last):
        raise SettingsError("--session excludes --from and --to. Give one session, or a range.")
    first, last = session or first, session or last
    with Parts(settings) as parts:
        exports, done = parts.exports, 0
        exports.require()
        for filters in _asked(parts, None):
            series = {name: str(filters[name]) for name in SERIES}
            if series["universe"].endswith(REHEARSAL):
                continue
            sessions = sessions_to_export(parts, series, first, last)
            export_sessions(parts, series, sessions)
            done += len(sessions)
            if sessions:
                print(f"{', '.join(series.values())}: {counted(len(sessions), 'session')}")
        if not done:
            raise NothingStored(
                f"Nothing is published for {_filters_text(settings, session)} in "
                f"{store_name(settings)}. `stockcast run` publishes; --home names another folder."
            )
        print(f"Export    {exports.url('')}")


def print_universes(
    settings: Settings,
    template: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Write the members by date of an index (dow30, nifty50, sp500) to NAME.csv here, "
            "and print the entry that goes into your file of universes.",
        ),
    ] = "",
    format: FormatFlag = "table",
) -> None:
    """Print all universes, or one; or write a template of one."""
    if template:
        from pipeline.universe_templates import template_of

        chosen_template = template_of(template)
        chosen_template.write(Path.cwd())
        print(chosen_template.entry())
        return
    import pandas as pd

    from pipeline.universes import load_universes

    universes = load_universes(settings.universes)
    chosen = [universes.of(settings.universe)] if settings.universe else list(universes.values())
    today = dt.datetime.now(dt.UTC).date()
    rows = pd.DataFrame([_universe_row(universe, today) for universe in chosen])
    # Only universes of files have a folder, and few have days of their own.
    empty = [name for name in ("data", *OMITTED_WHEN_EMPTY) if not rows[name].any()]
    print_rows(rows.drop(columns=empty), format)
    for error in universes.wrong.values():
        print(f"error: {error}", file=sys.stderr)


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


def _universe_row(universe: Universe, today: dt.date) -> dict[str, object]:
    sectors: dict[str, list[str]] = {}
    for ticker, sector in universe.sectors.items():
        sectors.setdefault(sector, []).append(ticker)
    return {
        **dataclasses.asdict(universe),
        **{name: " ".join(map(str, getattr(universe, name))) for name in AMENDING},
        "members": f"{len(universe.tickers)} by date" if universe.members else "",
        "aliases": " ".join(f"{new}={former}" for new, former in universe.aliases.items()),
        "tickers": " ".join(members_on(universe.members, today) or universe.tickers),
        "dag": f"daily_forecast_{universe.name}",
        "sectors": "; ".join(f"{name}: {' '.join(tickers)}" for name, tickers in sectors.items()),
    }


def _asked(parts: Parts, session: dt.date | None) -> list[dict[str, object]]:
    """Return the filters of what is printed, by series.

    Rehearsals are among them where a universe, or a rehearsal of one, was asked for.
    """
    from pipeline.daily import page_tables

    names, rows = _asked_names(parts.settings), _asked_rows(parts.settings, session)
    return [
        {**series.key, **rows}
        for series in page_tables.matching(parts.store, names)
        if "universe" in names or not series.universe.endswith(REHEARSAL)
    ]


def _asked_names(settings: Settings) -> dict[str, str]:
    """Return the names of a series that were asked for."""
    names = {
        "universe": settings.universe,
        "recipe": settings.recipe,
        "target": settings.target,
    }
    return {name: value for name, value in names.items() if value}


def _asked_rows(settings: Settings, session: dt.date | None) -> dict[str, object]:
    """Return the tickers and the session that were asked for."""
    filters = {"ticker": settings.ticker_list, "cutoff": session}
    return {name: value for name, value in filters.items() if value}


def _filters_text(settings: Settings, session: dt.date | None) -> str:
    filters = {**_asked_names(settings), **_asked_rows(settings, session)}
    return ", ".join(f"{name} {value}" for name, value in filters.items()) or "any session"


def _together(tables: list[pd.DataFrame], key: list[str]) -> pd.DataFrame:
    """Return the rows of all series in the order of their keys."""
    import pandas as pd

    filled = [table for table in tables if len(table)]
    return pd.concat(filled).sort_values(key, kind="stable", ignore_index=True)
