"""The command line `stockcast`: finds the command, turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipeline.addresses import without_proxy
from pipeline.cli.commands import COMMANDS, LazyCommand, find_command
from pipeline.errors import StockcastError
from pipeline.garbage import search_rarely

PROGRAM = "stockcast"
INTERRUPTED = 130  # what shells report of a program that ended by SIGINT
TERMINATED = 143  # and by SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 1 (the run failed) or 2 (wrong configuration)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    search_rarely()
    os.environ.update(without_proxy())  # servers on this machine, whatever proxy is set
    try:
        with _termination_raised():
            # Without arguments, a stranger wants to know what there is.
            code = _program()(arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        return _fail(_usage_message(error), error.exit_code)
    except StockcastError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    if code == INTERRUPTED:
        print(
            "Interrupted. Nothing is half-written; the same command goes on from here.",
            file=sys.stderr,
        )
    return int(code or 0)


class CommandGroup(TyperGroup):
    """The group of all commands, found without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of the help text."""
        return list(COMMANDS)

    def format_help(self, ctx: Any, formatter: object) -> None:
        """Print the list of commands (typer's own printer takes longer than the whole program)."""
        from rich import box
        from rich.console import Console
        from rich.panel import Panel
        from rich.table import Table

        console = Console(highlight=False)
        flags = [record for flag in self.get_params(ctx) if (record := flag.get_help_record(ctx))]
        console.print(f"Usage: {PROGRAM} COMMAND [OPTIONS]\n\n{self.help}\n", markup=False)
        panels = {"Options": flags}
        for name, command in COMMANDS.items():
            if not command.hidden:
                panels.setdefault(command.panel, []).append((name, command.help))
        for title, rows in panels.items():
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
            table.add_column(style="bold cyan", min_width=max(map(len, COMMANDS)), no_wrap=True)
            for row in rows:
                table.add_row(*row)
            console.print(
                Panel(table, title=title, title_align="left", border_style="dim", box=box.ROUNDED)
            )
        console.print(f"{self.epilog}\n", markup=False)

    def get_command(self, ctx: Any, cmd_name: str) -> LazyCommand | None:
        """Return a command, which is imported when it is invoked."""
        return find_command(cmd_name)


def _program() -> Any:
    app = typer.Typer(
        cls=CommandGroup,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(
        help="A daily stock forecast, one session at a time.",
        epilog="To begin: `stockcast run` forecasts the bundled stocks; "
        "`stockcast doctor` names what is missing.",
    )(_take_flags)
    program = typer.main.get_command(app)
    # For "Did you mean ...?".
    program.commands = dict.fromkeys(COMMANDS)  # type: ignore[attr-defined]
    return program


def _show_version(wanted: bool) -> None:
    if wanted:
        from pipeline import __version__

        print(PROGRAM, __version__)
        raise typer.Exit


def _take_flags(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version.",
            is_eager=True,
            callback=_show_version,
        ),
    ] = False,
) -> None:
    """Take the flags that stand before a command."""


def _usage_message(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    path = context.command_path if context else PROGRAM
    message = " ".join(_fault_message(error).split())
    end = "" if message.endswith((".", "?")) else "."
    return f"{message}{end} `{path} --help` lists the possibilities."


def _fault_message(error: typer.TyperException) -> str:
    """Return the error's message; a refused number is worded like that of a setting."""
    values = getattr(error.__cause__, "errors", None)
    flag: Any = getattr(error, "param", None)
    if values is None or flag is None or values()[0]["type"] == "value_error":
        return error.format_message().replace("Value error, ", "")
    from pipeline.settings import fault_of

    return f"{flag.opts[0]} is {fault_of(error.__cause__)}."  # type: ignore[arg-type]


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _termination_raised() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what is open is ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_: object) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
