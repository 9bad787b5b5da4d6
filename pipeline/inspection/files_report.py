"""The report of `stockcast inspect`: its table, its remarks, and the universes to paste."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.addresses import without_login
from pipeline.prices import FileSurvey, FolderSurvey
from pipeline.reporting import counted, first_names
from pipeline.universes import Universe

if TYPE_CHECKING:
    import pandas as pd

#: From here on prices are asked for where a universe does not say it.
USUAL_START: dt.date = Universe.start


@dataclass(frozen=True)
class TickerReport:
    """The reading of a ticker.

    Attributes:
        calendar: the name of the one that its dates are compared with; "": it has none.
        first: its first bar; None: there is none.
        adjustments: what happens to its splits and dividends, in words.
        problem: why it cannot be read, or would be quarantined; "": neither.
        remarks: what of its bars is not read, and which sessions have none, in words.
    """

    ticker: str
    calendar: str = ""
    bars: int = 0
    first: dt.date | None = None
    last: dt.date | None = None
    adjustments: str = ""
    problem: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """True where it can be forecast."""
        return self.bars > 0 and not self.problem


@dataclass(frozen=True)
class FilesReport:
    """The reading of a folder, a file or a URL.

    Attributes:
        calendars: the names of those that the dates are compared with, that of most tickers first.
    """

    place: str
    calendars: tuple[str, ...]
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
            (
                *(each.ticker, each.bars, each.first, each.last, each.calendar),
                *(each.adjustments, each.problem or "ok"),
            )
            for each in self.tickers
        ]
        names = ["ticker", "bars", "first", "last", "calendar", "splits and dividends", "verdict"]
        return pd.DataFrame(rows, columns=names)

    def remarks(self) -> list[str]:
        """Return a sentence for each manner of writing, and for what is left out."""
        files = self.surveyed.files
        lines = _together((_manner(file), file.name) for file in files if not file.problem)
        lines += [file.unowned for file in files if file.unowned]
        shown = {ticker.problem for ticker in self.tickers}
        lines += [file.problem for file in files if file.problem not in {"", *shown}]
        lines += _together((text, each.ticker) for each in self.tickers for text in each.remarks)
        folders = [name for name in self.surveyed.others if name.endswith("/")]
        others = [name for name in self.surveyed.others if name not in folders]
        if others:
            lines.append(f"Left out, for their names: {first_names(others)}.")
        if folders:
            lines.append(f"Left out, as folders in the folder: {first_names(folders)}.")
        if len(self.calendars) == 1:
            lines.append(f"Compared with the calendar {self.calendars[0]} (--calendar NAME).")
        else:
            lines.append(
                f"Compared with the calendars {', '.join(self.calendars)}, as the dates or endings "
                "of the tickers are (--calendar NAME: with one). A universe has one calendar."
            )
        return lines

    def universe_toml(self) -> str:
        """Return the sections of a universes file that have the good tickers, one a calendar."""
        good = [each for each in self.tickers if each.is_good]
        if not good:
            return "# No ticker can be forecast: there is no universe to paste."
        names = [name for name in self.calendars if name in {each.calendar for each in good}]
        return "\n\n".join(
            self._section(name, [each for each in good if each.calendar == name], at > 0)
            for at, name in enumerate(names)
        )

    def _section(self, calendar: str, tickers: Sequence[TickerReport], is_named: bool) -> str:
        """Return the section of one calendar's tickers.

        Args:
            is_named: whether the universe has the calendar in its name.
        """
        start = min(each.first for each in tickers if each.first is not None)
        lines = [
            f"[{_name_of(self.place, calendar if is_named else '')}]",
            f"calendar = {json.dumps(calendar)}",
            'source = "csv"',
            f"data = {json.dumps(self.place, ensure_ascii=False)}",
            f"tickers = {json.dumps([each.ticker for each in tickers])}",
        ]
        if start < USUAL_START:
            lines.append(f"start = {start}")
        return "\n".join(lines)


def _together(remarks: Iterator[tuple[str, str]]) -> list[str]:
    """Return each text once, after the names of all that it is about."""
    names: dict[str, list[str]] = {}
    for text, name in remarks:
        names.setdefault(text, []).append(name)
    return [f"{first_names(about)}: {text}" for text, about in names.items()]


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


def _name_of(place: str, calendar: str) -> str:
    """Return the name of a universe, after a folder and perhaps a calendar."""
    last = without_login(place).rstrip("/").rpartition("/")[2].partition(".")[0]
    name, ending = (re.sub(r"[^a-z0-9]+", "_", text.lower()) for text in (last, calendar))
    name = name.strip("_")
    name = name[:40] if re.match("[a-z]", name) else f"prices_{name}"[:40].rstrip("_")
    return f"{name}_{ending}" if ending else name
