"""The research commands: each prints its figures and where its files are."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.day_commands import passed_tickers, planned_run
from pipeline.cli.flags import FormatFlag, KnownAtFlag, SessionFlag, date_flag, parse_counts
from pipeline.cli.printing import print_error, print_places, print_rows, progress_lines
from pipeline.errors import SettingsError
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.parts import Parts
    from pipeline.research import StudyReport

StudyFirstFlag = Annotated[
    dt.date | None, date_flag("--from", "First session used. Default: the files' own.")
]
StudyLastFlag = Annotated[
    dt.date | None, date_flag("--to", "Last session used. Default: the files' own.")
]
SeedsFlag = Annotated[int, typer.Option(min=1, metavar="N", help="Number of seeds, from --seed.")]


def backtest_forecasters(
    settings: Settings,
    first: Annotated[dt.date, date_flag("--from", "First session to forecast from.")],
    last: Annotated[dt.date, date_flag("--to", "Last session to forecast from, at most.")],
    recipes: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            help="Recipes and baselines (such as har) that take part, next to naive, ewma and the "
            "statistical models of --baselines; published: what the universe's days would publish.",
        ),
    ] = "default",
    step: Annotated[int, typer.Option(metavar="N", help="Forecast from every N-th session.")] = 5,
    refit: Annotated[
        int,
        typer.Option(
            metavar="N", help="Train networks again at every N-th of these; 0: only at the first."
        ),
    ] = 25,
    embargo: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Sessions between what networks learn from and what they forecast. "
            "Default: the horizon.",
        ),
    ] = None,
    warm_start: Annotated[
        bool, typer.Option("--warm-start", help="Later trainings go on from the first networks.")
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N", help="Number of seeds, from --seed; each is a line of the leaderboard."
        ),
    ] = 1,
    format: FormatFlag = "table",
) -> None:
    """Compare forecasters on past sessions."""
    from pipeline.models import statistical
    from pipeline.parts import Parts, universe_of
    from pipeline.research import BacktestRequest, backtest

    request = BacktestRequest(
        recipes=_names(recipes),
        first=first,
        last=last,
        baselines=settings.baseline_list or statistical.STATISTICAL_NAMES,
        step=step,
        refit=refit,
        embargo=embargo,
        warm_start=warm_start,
        seeds=seeds,
    )
    stream = sys.stdout if format == "table" else sys.stderr
    with Parts(settings, progress=progress_lines(stream)) as parts:
        # The universe's own recipe is that of the daily run, and would bring its column along.
        universe = universe_of(settings.replaced(recipe=""))
        result = backtest(parts, universe, request, dt.datetime.now(dt.UTC))
        if format != "table":
            print_rows(result.board, format)
            return
        print(f"\n{result.text}")
        print_places(parts, "backtests", Files=parts.artifacts.url(result.folder))


def tune_recipe(
    settings: Settings,
    trials: Annotated[
        int,
        typer.Option(
            metavar="N", help="Number of trials in the end; those of earlier searches count."
        ),
    ] = 20,
    folds: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Years that each trial is measured on, all before the test sessions.",
        ),
    ] = 3,
    first: Annotated[
        dt.date | None,
        date_flag("--from", "First session used. Default: the universe's own."),
    ] = None,
    last: Annotated[
        dt.date | None,
        date_flag(
            "--to",
            "Last session used. The recipe's test sessions are the newest up to it, and stay "
            "unseen. Default: the newest.",
        ),
    ] = None,
) -> None:
    """Search for better hyper-parameters."""
    from pipeline.parts import Parts, universe_of
    from pipeline.research import SearchRequest, tune

    request = SearchRequest(trials, folds, first, last)
    with Parts(settings) as parts:
        universe = universe_of(settings)
        recipe = parts.recipes.for_price(universe.recipe)
        result = tune(parts, universe, recipe, request, dt.datetime.now(dt.UTC))
        print(f"\n{result.text}")
        use = (
            "copy it to pipeline/models/literature/ and add its name to FILES in "
            "pipeline/models/registry.py to use it"
        )
        winner = f"{parts.artifacts.url(result.definition)} ({use})"
        print_places(parts, "tuning", Winner=winner)


def print_look_aheads(
    settings: Settings,
    session: SessionFlag = None,
    known_at: KnownAtFlag = None,
    length: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Sessions per sequence of the third way, multiple sequences."
        ),
    ] = 50,
) -> int:
    """Forecast test sessions in three ways."""
    import pandas as pd

    from pipeline.parts import Parts
    from pipeline.research import look_ahead, save_look_ahead

    with Parts(settings) as parts:
        run = planned_run(parts, session, known_at)
        outcomes = look_ahead(parts, run, passed_tickers(parts, run), length)
        for error in outcomes.failures.values():
            print_error(error)
        if not outcomes.results:
            return 1
        addresses = save_look_ahead(parts, run, outcomes.results)
        rows = [
            {"ticker": ticker, "sessions": len(look.sessions), **look.rmse()}
            for ticker, look in sorted(outcomes.results.items())
        ]
        print(
            "RMSE in the prices' currency on the test sessions, each next to its naive forecast; "
            f"multiple sequences of {length} sessions."
        )
        print_rows(pd.DataFrame(rows))
        print("", *addresses, sep="\n")
    return 1 if outcomes.failures else 0


def reproduce_study(
    settings: Settings,
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="fastnu, sezer, aungiers or weng; its --data is a folder of price files.",
        ),
    ],
    first: StudyFirstFlag = None,
    last: StudyLastFlag = None,
    seeds: SeedsFlag = 3,
) -> int:
    """Train a study's recipes as published."""
    from pipeline.parts import Parts
    from pipeline.research import Period, find_study, reproduce, studied_universe, study_names

    with Parts(settings) as parts:
        names = study_names(parts.recipes)
        if study not in names:
            raise SettingsError(
                f"There is no study {study!r}. The studies are: {', '.join(names)}."
            )
        if not settings.data:
            raise SettingsError(
                f"{study} needs a folder of price files (flag --data or STOCKCAST_DATA)."
            )
        universe = studied_universe(settings)
        plan = find_study(parts.recipes, study, universe, settings.recipe, settings.target)
        period = Period(first, last)
        report = reproduce(parts, universe, plan, seeds, period, dt.datetime.now(dt.UTC))
        return _print_study(parts, report)


def ablate_network(
    settings: Settings,
    layers: Annotated[str, typer.Option(metavar="N,N", help="Numbers of layers.")] = "1,2,3,4",
    units: Annotated[
        str, typer.Option(metavar="N,N", help="Numbers of units in each layer.")
    ] = "25,50,128",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Train fewer epochs. Default: as published."),
    ] = None,
    seeds: SeedsFlag = 1,
) -> int:
    """Compare networks of several sizes."""
    from pipeline.parts import Parts
    from pipeline.research import AblationPlan, ablate, studied_universe

    plan = AblationPlan(
        layers=tuple(parse_counts("--layers", layers)),
        units=tuple(parse_counts("--units", units)),
        seeds=seeds,
        epochs=epochs,
    )
    with Parts(settings) as parts:
        report = ablate(parts, studied_universe(settings), plan, dt.datetime.now(dt.UTC))
        return _print_study(parts, report)


def train_on_examples(
    settings: Settings,
    context: typer.Context,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A text of your own, for the recipe that learns to write (meetup-characters).",
        ),
    ] = None,
    format: FormatFlag = "table",
) -> None:
    """Train the exercises; print those that succeeded also where another one failed."""
    from pipeline.parts import Parts
    from pipeline.research import (
        EXERCISES_FOLDER,
        exercise_recipes,
        exercise_table,
        read_exercise_text,
        train_exercises,
    )

    # A recipe in the environment is that of the daily run.
    names = _names(context.params["recipe"] or "")
    content = read_exercise_text(text) if text else None
    stream = sys.stdout if format == "table" else sys.stderr
    with Parts(settings, progress=progress_lines(stream)) as parts:
        recipes = exercise_recipes(parts.recipes, names)
        report = train_exercises(parts, recipes, settings.seed, content)
        if format != "table" and len(report.rows):
            print_rows(report.rows, format)
        elif len(report.rows):
            print()
            print_rows(exercise_table(report.rows))
            print_places(parts, "exercises", Files=parts.artifacts.url(EXERCISES_FOLDER))
    report.raise_failures()


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print_study(parts: Parts, report: StudyReport) -> int:
    from pipeline.research import STUDIES

    print(f"\n{report.text}")
    print_places(parts, STUDIES, Files=parts.artifacts.url(report.folder))
    return 1 if report.failures else 0
