"""Flags that commands share, and the flags of the settings."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import sys
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal

import typer

from pipeline.errors import SettingsError

Format = Literal["table", "json", "csv"]


def parse_date(text: str) -> dt.date:
    """Return an ISO date."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no date; expected: year-month-day, such as 2013-03-01."
        ) from None


def parse_moment(text: str) -> dt.datetime:
    """Return an ISO moment; without a time zone it is UTC."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment; expected: one such as 2026-01-31T22:00:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def parse_counts(flag: str, text: str) -> list[int]:
    """Return the whole numbers of a comma-separated list, each once.

    Raises:
        SettingsError: one is no whole number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isdecimal() or int(part) < 1:
            raise SettingsError(
                f"{flag} is {text!r}; expected: whole numbers above 0, such as 1,2."
            )
    return list(dict.fromkeys(int(part) for part in parts))


def date_flag(name: str, text: str) -> Any:
    """Return a flag that takes a date."""
    return typer.Option(name, parser=parse_date, metavar="DATE", help=text)


def session_argument(text: str) -> Any:
    """Return the session that a command is about, without a flag."""
    return typer.Argument(parser=parse_date, metavar="SESSION", help=text)


SessionFlag = Annotated[
    dt.date | None,
    date_flag("--session", "Last session whose prices are used. Default: the newest."),
]
KnownAtFlag = Annotated[
    dt.datetime | None,
    typer.Option(
        parser=parse_moment,
        metavar="MOMENT",
        help="Repeat with what was known then, such as 2026-01-31T22:00:00Z.",
    ),
]
FormatFlag = Annotated[Format, typer.Option(help="Format of the printed rows.")]


def with_settings(
    command: Callable[..., int | None], shown: Collection[str] = ()
) -> Callable[..., int | None]:
    """Give a command the flags of all settings.

    Args:
        command: its first argument is `settings`, or `read_settings`, which returns them.
        shown: those that its help lists, as it reads no others; empty: all.
    """
    from pipeline.settings import Settings

    signature = inspect.signature(command, eval_str=True)
    first, *own = signature.parameters.values()

    @functools.wraps(command)
    def run(**arguments: Any) -> int | None:
        arguments.pop("debug")  # `main` has read it
        flags = {name: arguments.pop(name) for name in Settings.model_fields}
        given = {name: text for name, text in flags.items() if text is not None}
        read = functools.partial(Settings, **given)
        result = command(read if first.name == "read_settings" else read(), **arguments)
        sys.stdout.flush()
        return result

    parameters = [*own, _debug_flag(), *_setting_flags(shown)]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _debug_flag() -> inspect.Parameter:
    option = typer.Option("--debug", help="Show the traceback of an error.")
    return _keyword("debug", Annotated[bool, option], False)


def _setting_flags(shown: Collection[str]) -> list[inspect.Parameter]:
    from pipeline.settings import SETTING_GROUPS, Settings, flag

    flags = []
    for group, names in SETTING_GROUPS.items():
        for name in names:
            field = Settings.model_fields[name]
            default = "" if field.default in ("", None) else f" Default: {field.default}."
            is_switch = field.annotation is bool
            option = typer.Option(
                flag(name),
                metavar=None if is_switch else name.upper(),
                help=f"{field.description}{'' if is_switch else default}",
                rich_help_panel=group,
                hidden=bool(shown) and name not in shown,
            )
            annotation = Annotated[bool | None if is_switch else str | None, option]  # type: ignore[valid-type]
            flags.append(_keyword(name, annotation, None))
    return flags


def _keyword(name: str, annotation: Any, default: object) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
