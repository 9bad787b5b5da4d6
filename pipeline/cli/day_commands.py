"""The day's commands: one session, a range of sessions, one step."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.flags import FormatFlag, KnownAtFlag, SessionFlag, date_flag
from pipeline.cli.printing import print_error, print_places, print_rows, progress_lines
from pipeline.errors import QualityGateFailed, RunError, SettingsError
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.daily import SessionProcess
    from pipeline.parts import Parts
    from pipeline.reporting import TimeLeft
    from pipeline.run import Run

THROUGH_AIRFLOW = "Options of --airflow"
Reprocess = Literal["none", "failed", "completed"]


def run(
    settings: Settings,
    session: SessionFlag = None,
    known_at: KnownAtFlag = None,
    format: FormatFlag = "table",
    airflow: Annotated[
        bool,
        typer.Option("--airflow", help="Run it through Airflow, which needs no `stockcast up`."),
    ] = False,
) -> int:
    """Forecast one session."""
    if airflow:
        return _run_through_airflow(settings, session, known_at, format)
    from pipeline.daily import (
        forecasts_text,
        priced_forecasts,
        reading_commands,
        report_file,
        run_day,
    )
    from pipeline.parts import Parts, store_name

    stream = sys.stdout if format == "table" else sys.stderr
    with Parts(settings, progress=progress_lines(stream)) as parts:
        run = planned_run(parts, session, known_at)
        _count_tickers(parts, run, to_stderr=format != "table")
        run_day(parts, run)
        parts.close_progress()
        if format != "table":
            print_rows(priced_forecasts(parts, run), format)
            return 0
        print(f"\n{forecasts_text(parts, run)}")
        print_places(
            parts,
            f"{run.universe.name}   (`stockcast up` shows it)",
            Report=parts.artifacts.url(report_file(run)),
            Store=f"{store_name(settings)}; {reading_commands(run)}",
        )
    return 0


def backfill(
    settings: Settings,
    first: Annotated[dt.date, date_flag("--from", "First session, included.")],
    last: Annotated[dt.date, date_flag("--to", "Last session, included.")],
    processes: Annotated[
        int,
        typer.Option(min=1, help="Processes that share the sessions; each needs a run's memory."),
    ] = 1,
    airflow: Annotated[
        bool,
        typer.Option("--airflow", help="Let Airflow do it, several sessions at a time; it is up."),
    ] = False,
    max_active_runs: Annotated[
        int,
        typer.Option(min=1, help="Sessions at the same time.", rich_help_panel=THROUGH_AIRFLOW),
    ] = 4,
    reprocess: Annotated[
        Reprocess,
        typer.Option(help="Sessions to run again.", rich_help_panel=THROUGH_AIRFLOW),
    ] = "failed",
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Return when all sessions have run; exit code 1 when one failed.",
            rich_help_panel=THROUGH_AIRFLOW,
        ),
    ] = False,
) -> int:
    """Forecast every session of a range."""
    if airflow:
        from pipeline.scheduling import backfill_sessions

        return backfill_sessions(settings, first, last, max_active_runs, reprocess, wait)
    from pipeline.daily import SessionProcess, plan_each
    from pipeline.parts import Parts, universe_of

    settings = settings.replaced(workers=max(1, settings.workers // processes))
    with contextlib.ExitStack() as opened:
        others = [opened.enter_context(SessionProcess(settings)) for _ in range(processes - 1)]
        parts = opened.enter_context(Parts(settings))
        calendar = parts.calendar(universe_of(settings))
        sessions = calendar.sessions(first, last)
        if not sessions:
            raise SettingsError(
                f"There is no session of {calendar.name} from {first} to {last}. "
                "Give an earlier --from or a later --to."
            )
        # All are planned before the first is run: a range that reaches too far fails at once, and
        # changes nothing.
        runs = plan_each(parts, universe_of(settings), sessions, dt.datetime.now(dt.UTC))
        failures = _failed_runs(parts, runs, others)
    done = f"\n{len(runs) - failures} of {len(runs)} sessions are done."
    print(done + (" Repeat the command for the others." if failures else ""))
    return 1 if failures else 0


def take_step(
    settings: Settings,
    context: typer.Context,
    session: SessionFlag = None,
    known_at: KnownAtFlag = None,
) -> int:
    """Take one step of the day, the one that the command is named after."""
    from pipeline.daily import STEPS, TICKER_STEPS, report_text, to_ingest
    from pipeline.parts import Parts

    name = str(context.info_name).replace("-", "_")
    with Parts(settings) as parts:
        run = planned_run(parts, session, known_at)
        _count_tickers(parts, run)
        if name == "ingest":
            STEPS[name](parts, run, to_ingest(parts, run))
        elif name in TICKER_STEPS:
            STEPS[name](parts, run, passed_tickers(parts, run))
        else:
            STEPS[name](parts, run)
        parts.close_progress()
        if name == "report":
            print(f"\n{report_text(parts, run)}")
    return 0


def planned_run(parts: Parts, session: dt.date | None, known_at: dt.datetime | None = None) -> Run:
    """Return the run of a session, at the moment of the command."""
    from pipeline.daily import plan
    from pipeline.parts import universe_of

    # The command line reads the clock here only; from here on the moment travels with the run.
    return plan(parts, universe_of(parts.settings), session, dt.datetime.now(dt.UTC), known_at)


def passed_tickers(parts: Parts, run: Run) -> list[str]:
    """Return the tickers that the quality gate admitted.

    Raises:
        QualityGateFailed: there is none.
    """
    from pipeline.daily import passed

    tickers = passed(parts, run)
    if not tickers:
        raise QualityGateFailed(
            f"{run.session}: all {len(run.universe.tickers)} tickers are quarantined. "
            "`stockcast check` names the reasons."
        )
    return tickers


def _count_tickers(parts: Parts, run: Run, to_stderr: bool = False, about: str = "") -> None:
    """Let progress count the tickers of a run."""
    from pipeline.reporting import for_people

    stream = sys.stderr if to_stderr else sys.stdout
    parts.progress = for_people(len(run.universe.tickers), stream, about)


def _failed_runs(parts: Parts, runs: Sequence[Run], others: Sequence[SessionProcess]) -> int:
    """Do the days of a backfill; return how many failed.

    The first is done before processes share the others: what it reads and trains, all of them need.
    """
    from pipeline.daily import STEPS, read_files_ahead, shares_of

    read_files_ahead(parts, runs[0])
    first, (here, *shares) = runs[:1], shares_of(runs[1:], 1 + len(others))
    own, elsewhere = [*first, *here], sum(map(len, shares))
    beside = f", {elsewhere} more by other processes" if elsewhere else ""
    left, failures = _time_left(own), 0
    done: list[Run] = []
    for number, run in enumerate(own):
        began = time.monotonic()
        failures += not _run_of_backfill(parts, run, left.text() + beside)
        left.add(time.monotonic() - began)
        for other, share in zip(others, shares, strict=True):
            if number == 0:
                other.begin(share)
            done += _printed(other.news())
    for other in others:
        done += _printed(other.news(wait=True))
    for run in sorted(done, key=lambda run: run.session):
        STEPS["report"](parts, run)  # its page lacks what had not been scored by then
    return failures + elsewhere - len(done)


def _printed(ended: Iterable[tuple[Run, str]]) -> list[Run]:
    """Print what has become of runs in another process; return those that are done."""
    done = []
    for run, error in ended:
        print(f"\n{run.universe.name} {run.session}   by another process", flush=True)
        if error:
            print_error(RunError(error))
        else:
            done.append(run)
    return done


def _time_left(runs: Sequence[Run]) -> TimeLeft:
    from pipeline.reporting import TimeLeft

    cutoffs = [(run.training_cutoff, run.pool_cutoff) for run in runs]
    return TimeLeft([before != own for before, own in zip([None, *cutoffs], cutoffs, strict=False)])


def _run_of_backfill(parts: Parts, run: Run, about: str) -> bool:
    from pipeline.daily import run_day

    print(f"\n{run.universe.name} {run.session}   {about}", flush=True)
    _count_tickers(parts, run, about=about)
    try:
        run_day(parts, run)
    except RunError as error:
        parts.close_progress()
        print_error(error)
        return False
    parts.close_progress()
    return True


def _run_through_airflow(
    settings: Settings, session: dt.date | None, known_at: dt.datetime | None, form: str
) -> int:
    if known_at or form != "table":
        flag = "--known-at" if known_at else "--format"
        raise SettingsError(f"{flag} cannot be combined with --airflow. Leave one of them out.")
    from pipeline.scheduling import run_session

    return run_session(settings, session)
