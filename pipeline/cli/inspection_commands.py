"""The inspection commands: does a recipe look ahead, what made a forecast, can all this work?"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from pipeline.cli.flags import FormatFlag, session_argument
from pipeline.cli.printing import print_rows, progress_lines
from pipeline.settings import Settings
from pipeline.universes import spelt_ticker


def audit_recipe(
    settings: Settings,
    audited: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="Its name, such as default or castilla.faithful."),
    ],
    cutoffs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Sessions after which prices are changed.")
    ] = 2,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Epochs trained at most.")] = 2,
    format: FormatFlag = "table",
) -> int:
    """Look for leaks in a recipe."""
    from pipeline.inspection import audit, bars_of, nothing_to_audit
    from pipeline.models import PriceRecipe
    from pipeline.parts import Parts, universe_of

    stream = sys.stdout if format == "table" else sys.stderr
    with Parts(settings, progress=progress_lines(stream)) as parts:
        recipe = parts.recipes.find(audited)
        if not isinstance(recipe, PriceRecipe):
            print(nothing_to_audit(recipe).verdict(), file=stream)
            return 0
        universe = universe_of(settings.replaced(recipe=recipe.name))
        bars = bars_of(parts, universe, recipe, settings.ticker_list, dt.datetime.now(dt.UTC))
        report = audit(parts, recipe, universe, bars, cutoffs, epochs)
    if format != "table":
        print_rows(report.table(), format)
    else:
        print()
        print_rows(report.table())
        print("", *report.remarks, "", report.verdict(), sep="\n")
    return 1 if report.moved else 0


def explain_forecast(
    settings: Settings,
    session: Annotated[
        dt.date, session_argument("The session that it was made after, such as 2013-03-01.")
    ],
    ticker: Annotated[str, typer.Argument(metavar="TICKER", help="The ticker that it is of.")],
    rerun: Annotated[
        bool,
        typer.Option(
            "--rerun",
            help="Make it again from the prices known at its time, and compare every bit.",
        ),
    ] = False,
) -> int:
    """Show what made a published forecast; `--horizon` shows that one alone."""
    from pipeline.inspection import explanation_text, find_explanation
    from pipeline.inspection import rerun as forecast_again
    from pipeline.parts import Parts

    series = {name: getattr(settings, name) for name in ("universe", "recipe", "target")}
    with Parts(settings) as parts:
        explanation = find_explanation(parts, session, spelt_ticker(ticker), **series)
        print(explanation_text(parts, explanation, settings.horizon))
        if not rerun:
            return 0
        print("\nAgain", flush=True)
        comparison = forecast_again(parts, explanation)
    for check in comparison.checks:
        difference = f": {check.differs}" if check.differs else ""
        print(f"  {'DIFFERS' if check.differs else 'same':<8} {check.what}{difference}")
    if comparison.is_same:
        print("\nThe forecast is the same, bit by bit.")
        return 0
    print("\nThe forecast differs. Likely reasons:")
    for reason in comparison.reasons:
        print(f"  - {reason}")
    return 1


def inspect_price_files(
    settings: Settings,
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A folder of price files, a file, or a URL of either."),
    ],
    format: FormatFlag = "table",
) -> int:
    """Show what price files are taken for."""
    from pipeline.inspection import inspect_files

    report = inspect_files(path, settings.calendar, dt.datetime.now(dt.UTC))
    print_rows(report.table(), format)
    if format == "table":
        print("", *report.remarks(), "", report.universe_toml(), sep="\n")
    return 0 if report.is_good else 1


def examine_deployment(
    read_settings: Callable[[], Settings],
    airflow: Annotated[
        bool,
        typer.Option(
            "--airflow", help="Look also at the Airflow that `airflow` uses here, set up by others."
        ),
    ] = False,
) -> int:
    """Examine each part of a deployment."""
    from pipeline.inspection import examine

    diagnoses = examine(read_settings, dt.datetime.now(dt.UTC))
    if airflow and diagnoses[0].is_well:
        from pipeline.scheduling import examine_airflow

        diagnoses += examine_airflow(read_settings())
    for diagnosis in diagnoses:
        state = "ok" if diagnosis.is_well else "FAILED"
        print(f"{state:<7} {diagnosis.what:<14} {diagnosis.message}")
    return 0 if all(diagnosis.is_well for diagnosis in diagnoses) else 1
