"""The commands of the services on this machine."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.flags import FormatFlag
from pipeline.cli.printing import print_rows, progress_lines
from pipeline.settings import Settings


def start(settings: Settings) -> None:
    """Start the services in the background."""
    from pipeline.scheduling import up

    print(up(settings))


def stop(settings: Settings) -> None:
    """Stop the services."""
    from pipeline.scheduling import down

    print(down(settings))


def show_status(settings: Settings) -> int:
    """Print which services are up."""
    from pipeline.scheduling import is_up, status

    print(status(settings))
    return 0 if is_up(settings.home) else 1


def supervise_services(settings: Settings) -> None:
    """Run the services in the foreground."""
    from pipeline.scheduling import supervise

    supervise(settings)


def print_password(
    settings: Settings,
    service: Annotated[Literal["airflow", "mlflow"], typer.Argument(help="Whose login it is.")],
) -> None:
    """Print the password of a service's login."""
    from pipeline.scheduling import password_of

    print(password_of(settings, service))


def back_up(
    settings: Settings,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="New file; .tar.gz packs it, .tar does not.")
    ],
) -> None:
    """Write a backup."""
    from pipeline.scheduling import backup

    print(backup(settings, file))


def restore_backup(
    settings: Settings,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `stockcast backup` has written.")
    ],
) -> None:
    """Restore a backup."""
    from pipeline.scheduling import restore

    print(restore(settings, file))


def prune_deployment(
    settings: Settings,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without, nothing is changed.")
    ] = False,
    format: FormatFlag = "table",
) -> None:
    """Show or remove what nobody needs any more."""
    import pandas as pd

    from pipeline.parts import Parts
    from pipeline.scheduling import prune

    with Parts(settings, progress=progress_lines(sys.stderr)) as parts:
        pruned = prune(parts, dt.datetime.now(dt.UTC), is_rehearsed=not yes)
    rows = pd.DataFrame([vars(each) for each in pruned])
    print_rows(rows.rename(columns={"goes": "gone" if yes else "would go"}), format)
    if format == "table" and not yes:
        print(
            f"\nNothing was removed. All of the last {settings.keep_days} days stays "
            "(--keep-days); `stockcast prune --yes` removes the rest."
        )


def call_airflow(
    settings: Settings,
    arguments: Annotated[list[str], typer.Argument(metavar="...", help="As `airflow` takes them.")],
) -> int:
    """Run a command of Airflow."""
    from pipeline.scheduling import run_airflow

    return run_airflow(settings, arguments)
