"""The commands about all stocks together: joint paths, and the risk of a portfolio."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.flags import FormatFlag, date_flag, session_argument
from pipeline.cli.printing import print_rows, progress_lines
from pipeline.errors import NothingStored, SettingsError
from pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.daily import PastRisk, PortfolioRisk, page_tables
    from pipeline.parts import Parts


def draw_scenarios(
    settings: Settings,
    session: Annotated[
        dt.date,
        session_argument("The session that the forecasts were made after, such as 2013-03-01."),
    ],
) -> None:
    """Draw joint paths of what is published."""
    from pipeline.daily import USUAL_PATHS, store_paths
    from pipeline.parts import Parts

    with Parts(settings, progress=progress_lines()) as parts:
        series = _series_of(parts, session)
        store_paths(parts, {**series.key, "cutoff": session}, settings.paths or USUAL_PATHS)


def print_risk(
    settings: Settings,
    portfolio: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="CSV file with the columns ticker and shares, or ticker and weight.",
        ),
    ],
    level: Annotated[
        str,
        typer.Option(
            metavar="PERCENT", help="Probabilities that no more is lost, comma-separated."
        ),
    ] = "95,99",
    session: Annotated[
        dt.date | None,
        date_flag("--session", "Session after which it is held. Default: the newest."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Only the record: exceedances by past session.")
    ] = False,
    sessions: Annotated[
        int, typer.Option(min=1, metavar="N", help="Past sessions that the record is made of.")
    ] = 500,
    format: FormatFlag = "table",
) -> None:
    """Print the risk of a portfolio, and its record."""
    from pipeline.daily import USUAL_PATHS, past_risk, portfolio_risk
    from pipeline.joint import read_portfolio
    from pipeline.parts import Parts

    levels, held = _levels(level), read_portfolio(portfolio)
    with Parts(settings, progress=progress_lines(sys.stderr)) as parts:
        series = _series_of(parts, session)
        newest = session or series.newest
        risk = portfolio_risk(parts, series, newest, held, settings.paths or USUAL_PATHS)
        past = None
        if record or format == "table":
            past = past_risk(parts, risk, levels, sessions)
    if format != "table":
        print_rows(_record_rows(past) if record else risk.table(levels), format)
        return
    if not record:
        _print_risk(risk, levels)
        print()
    _print_record(past)


def _series_of(parts: Parts, session: dt.date | None) -> page_tables.Series:
    """Return the first series of the names asked for that is published for a session."""
    from pipeline.daily import page_tables
    from pipeline.tables import FORECASTS

    settings = parts.settings
    names = {name: getattr(settings, name) for name in ("universe", "recipe", "target")}
    asked = {name: value for name, value in names.items() if value}
    found = page_tables.matching(parts.store, asked)
    if session is None:
        return page_tables.find(found, **asked)
    for series in found:
        if parts.store.greatest(FORECASTS, "cutoff", **series.key, cutoff=session) is not None:
            return series
    named = "".join(f", {name} {value}" for name, value in asked.items())
    raise NothingStored(
        f"Nothing is published for session {session}{named}. Run it first (`stockcast run "
        f"--session {session}`), or name another one."
    )


def _levels(text: str) -> list[float]:
    """Return the probabilities of a comma-separated list of percents, each once."""
    levels = []
    for part in text.split(","):
        try:
            level = float(part) / 100
        except ValueError:
            level = 0.0
        if not 0.5 < level < 1:
            raise SettingsError(
                f"--level is {text!r}; expected: percents above 50 and below 100, such as 95,99."
            )
        levels.append(level)
    return list(dict.fromkeys(levels))


def _print_risk(risk: PortfolioRisk, levels: list[float]) -> None:
    """Print what may be lost over the next sessions."""
    from pipeline.money import price_text, with_code
    from pipeline.reporting import counted, risk_text, sentences

    margins, dependence = risk.drawn.margins, risk.drawn.dependence
    stocks = counted(len(margins.tickers), "stock")
    worth = ""
    if risk.holdings.are_shares:
        worth = f", worth {with_code(price_text(risk.worth, risk.currency), risk.currency)}"
    print(f"Portfolio of {stocks} of {margins.key['universe']} on {margins.key['cutoff']}{worth}")
    learnt = f"{len(risk.drawn.values)} joint paths"
    if dependence.is_learnt:
        learnt += f", in the order of the {len(dependence.changes)} sessions before"
    lines = [f"{learnt}.", *(f"{remark}." for remark in risk.drawn.remarks())]
    if risk.without:
        lines.append(f"Left out, as nothing is published of them: {', '.join(risk.without)}.")
    print(sentences(lines), "", risk_text(risk.table(levels), risk.worth, risk.currency), sep="\n")


def _print_record(past: PastRisk | None) -> None:
    from pipeline.reporting import exceedances_text, score_lines, sentences

    if past is None:
        print("No session is scored yet at which all of it was forecast, so there is no record.")
        return
    when = "backfilled" if past.backfilled else "published in time"
    print(f"Record of the same parts, sessions {past.first} to {past.last}, forecasts {when}")
    print(exceedances_text(past.record.exceedances()))
    if lines := score_lines(past.record.scores()):
        print("", sentences(lines), sep="\n")


def _record_rows(past: PastRisk | None) -> pd.DataFrame:
    """Return the rows of a record with the scores of each way to join the stocks.

    Raises:
        NothingStored: there is no record.
    """
    if past is None:
        raise NothingStored(
            "No session is scored yet at which all of the portfolio was forecast. Run more "
            "sessions (`stockcast run`), or name a portfolio of their tickers (--portfolio)."
        )
    scores = past.record.scores().drop(columns="sessions")
    return past.record.exceedances().merge(scores, on=["joined", "horizon"])
