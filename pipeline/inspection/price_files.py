"""Inspection of price files before anything of them is stored: `stockcast inspect`."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.addresses import is_url, without_login
from pipeline.daily import chunks
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.parts import suites_folder
from pipeline.prices import (
    BEFORE_ANY_PRICE,
    CsvSource,
    Fetched,
    FileSurvey,
    FolderSurvey,
    ending_calendar,
    fetch,
    misfit_of,
    survey,
)
from pipeline.reporting import counted, first_names
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, PRICES
from pipeline.universes import Universe

if TYPE_CHECKING:
    import pandas as pd

#: From here on prices are asked for where a universe does not say it.
USUAL_START: dt.date = Universe.start
#: Tickers that are judged at once.
JUDGED_TOGETHER = 100


@dataclass(frozen=True)
class TickerReport:
    """The reading of a ticker.

    Attributes:
        first: its first bar; None: there is none.
        adjustments: what happens to its splits and dividends, in words.
        problem: why it cannot be read, or would be quarantined; "": neither.
    """

    ticker: str
    bars: int = 0
    first: dt.date | None = None
    last: dt.date | None = None
    adjustments: str = ""
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """True where it can be forecast."""
        return self.bars > 0 and not self.problem


@dataclass(frozen=True)
class FilesReport:
    """The reading of a folder, a file or a URL.

    Attributes:
        calendar: the name of the one that the dates are compared with.
        better: calendars that the dates fit much better; none where none does.
    """

    place: str
    calendar: str
    better: tuple[str, ...]
    surveyed: FolderSurvey
    tickers: tuple[TickerReport, ...]

    @property
    def is_good(self) -> bool:
        """True where there are tickers, and all can be forecast."""
        return bool(self.tickers) and all(ticker.is_good for ticker in self.tickers)

    def table(self) -> pd.DataFrame:
        """Return one row per ticker."""
        import pandas as pd

        rows = [
            (each.ticker, each.bars, each.first, each.last, each.adjustments, each.problem or "ok")
            for each in self.tickers
        ]
        names = ["ticker", "bars", "first", "last", "splits and dividends", "verdict"]
        return pd.DataFrame(rows, columns=names)

    def remarks(self) -> list[str]:
        """Return a sentence for each manner of writing, and for what is left out."""
        manners: dict[str, list[str]] = {}
        for file in self.surveyed.files:
            if not file.problem:
                manners.setdefault(_manner(file), []).append(file.name)
        lines = [f"{first_names(names)}: {manner}" for manner, names in manners.items()]
        shown = {ticker.problem for ticker in self.tickers}
        lines += [file.problem for file in self.surveyed.files if file.problem not in {"", *shown}]
        if self.surveyed.others:
            lines.append(f"Left out, for their names: {first_names(self.surveyed.others)}.")
        if self.better:
            lines.append(
                f"The dates are not those of {self.calendar}, but of {self.better[0]} (--calendar "
                f"{self.better[0]})."
            )
        else:
            lines.append(f"Compared with the calendar {self.calendar} (--calendar NAME).")
        return lines

    def universe_toml(self) -> str:
        """Return the section of a universes file that has the good tickers."""
        good = [each for each in self.tickers if each.is_good]
        if not good:
            return "# No ticker can be forecast: there is no universe to paste."
        start = min(each.first for each in good if each.first is not None)
        lines = [
            f"[{_name_of(self.place)}]",
            f"calendar = {json.dumps(self.calendar)}",
            'source = "csv"',
            f"data = {json.dumps(self.place, ensure_ascii=False)}",
            f"tickers = {json.dumps([each.ticker for each in good])}",
        ]
        if start < USUAL_START:
            lines.append(f"start = {start}")
        return "\n".join(lines)


def inspect_files(place: str, calendar_name: str, now: dt.datetime) -> FilesReport:
    """Read price files as ingestion would, and judge them as the gate would.

    Args:
        calendar_name: "": the one that the tickers' endings or the dates name.

    Raises:
        SettingsError: there are no price files, or there is no such calendar.
    """
    if not is_url(place):
        place = str(Path(place).expanduser().absolute())
    surveyed, source = survey(place), CsvSource(place)
    tickers = source.tickers() if any(not file.problem for file in surveyed.files) else []
    calendar = Calendar(calendar_name or ending_calendar(tickers) or Universe.calendar)
    fetched = _fetched(source, tickers, calendar, now)
    better = _better_calendars(fetched, tickers, calendar)
    if better and not calendar_name:
        calendar, better = Calendar(better[0]), ()
        fetched = _fetched(source, tickers, calendar, now)
    reports = _reports(tickers, surveyed, fetched, _quarantined(fetched.results, calendar))
    return FilesReport(place, calendar.name, better, surveyed, tuple(reports))


def _fetched(
    source: CsvSource, tickers: Sequence[str], calendar: Calendar, now: dt.datetime
) -> Outcomes[Fetched]:
    last = calendar.last_complete_session(now)
    return outcome_of_each(
        tickers, lambda ticker: fetch(source, ticker, BEFORE_ANY_PRICE, last, calendar, now)
    )


def _better_calendars(
    fetched: Outcomes[Fetched], tickers: Sequence[str], calendar: Calendar
) -> tuple[str, ...]:
    """Return the names of the calendars that the dates of all tickers fit much better."""
    import pandas as pd

    days = [each.prices["session"] for each in fetched.results.values()]
    if not days:
        return ()
    misfit = misfit_of(pd.DatetimeIndex(pd.concat(days).unique()), tickers, calendar)
    return misfit.better if misfit else ()


def _reports(
    tickers: Sequence[str],
    surveyed: FolderSurvey,
    fetched: Outcomes[Fetched],
    quarantined: Mapping[str, str],
) -> list[TickerReport]:
    adjustments: dict[str, str] = {}
    for file in surveyed.files:
        adjustments |= file.adjustments or {}
    reports = []
    for ticker in tickers:
        if ticker in fetched.failures:
            reports.append(TickerReport(ticker, problem=str(fetched.failures[ticker])))
            continue
        sessions = fetched.results[ticker].prices["session"]
        if sessions.empty:
            reports.append(TickerReport(ticker, problem="no bars"))
            continue
        problem = f"quarantined: {quarantined[ticker]}" if ticker in quarantined else ""
        first, last = sessions.iloc[0].date(), sessions.iloc[-1].date()
        reports.append(
            TickerReport(ticker, len(sessions), first, last, adjustments.get(ticker, ""), problem)
        )
    return reports


def _quarantined(fetched: Mapping[str, Fetched], calendar: Calendar) -> dict[str, str]:
    """Return by ticker why the gate would hold it back on the newest session of the files."""
    import pandas as pd

    from pipeline.quality import Gate

    with_bars = {ticker: each for ticker, each in fetched.items() if len(each.prices)}
    if not with_bars:
        return {}
    ends = [each.prices["session"].iloc[-1].date() for each in with_bars.values()]
    cutoff = calendar.last_session_until(max(ends))
    begin = min(each.prices["session"].iloc[0].date() for each in with_bars.values())
    sessions, gate = calendar.sessions(begin, cutoff), Gate(suites_folder())
    names, reasons = list(with_bars), dict[str, str]()
    for batch in chunks(names, JUDGED_TOGETHER):
        prices = PRICES.conform(pd.concat([with_bars[name].prices for name in batch]))
        actions = pd.concat([ACTIONS.empty(), *(with_bars[name].actions for name in batch)])
        verdict = gate.check_prices(
            prices, ACTIONS.conform(actions), batch, sessions, cutoff, 0, "inspected"
        )
        reasons |= verdict.quarantined
    return reasons


def _manner(file: FileSurvey) -> str:
    """Return the manner in which a file is written, in a sentence."""
    columns = ", ".join(
        column if column == name.lower() else f"{column} from {name!r}"
        for column, name in (file.columns or {}).items()
    )
    words = [
        f"as {file.producer} writes them" if file.producer else "of no producer in particular",
        f"columns {columns}",
        f"dates {file.dates}",
        file.numbers,
        f"currency {file.currency or 'not named'}",
    ]
    if file.left_out:
        words.append(f"{counted(file.left_out, 'line')} without a date and a number left out")
    return "; ".join(words) + "."


def _name_of(place: str) -> str:
    """Return the name of a universe, after a folder."""
    last = without_login(place).rstrip("/").rpartition("/")[2].partition(".")[0]
    name = re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")
    return name[:40] if re.match("[a-z]", name) else f"prices_{name}"[:40].rstrip("_")
