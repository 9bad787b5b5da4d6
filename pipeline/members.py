"""Members: the tickers of a universe by date, from a file with the columns ticker, from, to."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.errors import SettingsError, unreadable_reason

MEMBER_COLUMNS = ("ticker", "from", "to")
#: What such a line begins with says where a file's rows are from.
REMARK = "#"


@dataclass(frozen=True)
class Member:
    """A ticker's time in a universe; one that comes back has another.

    Attributes:
        first: the first day.
        last: the last day; None: it is still in.
    """

    ticker: str
    first: dt.date
    last: dt.date | None = None

    def is_in(self, day: dt.date) -> bool:
        """Return whether the universe has the ticker on a day."""
        return self.first <= day and (self.last is None or day <= self.last)


def members_on(members: Sequence[Member], day: dt.date) -> tuple[str, ...]:
    """Return the tickers of a day, in alphabetical order."""
    return tuple(sorted({each.ticker for each in members if each.is_in(day)}))


def read_members(
    path: Path, universe: str, as_ticker: Callable[[str], str | None]
) -> tuple[Member, ...]:
    """Return the rows of a file of members, by ticker and first day.

    Args:
        universe: the name of the universe that names the file, for messages.
        as_ticker: returns a ticker in the program's spelling; None: a text is none.

    Raises:
        SettingsError: the file cannot be read, or a row is wrong; the message names its line.
    """
    where = f"{path}: universe {universe!r}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{where}: its file of members cannot be read ({unreadable_reason(error)}). Name one "
            "that can (`members` in the universes file)."
        ) from None
    rows = [
        (number, _member(cells, f"{path}, line {number}: universe {universe!r}", as_ticker))
        for number, cells in _cells(text, where)
    ]
    if not rows:
        raise SettingsError(f"{where} has no row of members; at least one is expected.")
    rows.sort(key=lambda row: (row[1].ticker, row[1].first))
    for (_, before), (number, after) in pairwise(rows):
        if before.ticker == after.ticker and (before.last is None or before.last >= after.first):
            raise SettingsError(
                f"{path}, line {number}: universe {universe!r} has {after.ticker} from "
                f"{after.first} on, and in another row from {before.first} to "
                f"{before.last or 'now'}. Let them not overlap."
            )
    return tuple(member for _, member in rows)


def cell_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each line of a CSV text that is no remark and not empty."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith(REMARK):
            yield number, [cell.strip() for cell in next(csv.reader([line]))]


def _cells(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row after the first, which names the columns."""
    rows = cell_rows(text)
    for _, header in rows:
        if tuple(header) != MEMBER_COLUMNS:
            raise SettingsError(
                f"{where}: its file of members has the columns {', '.join(header)}; "
                f"{', '.join(MEMBER_COLUMNS)} are expected, in this order."
            )
        yield from rows


def _member(cells: list[str], where: str, as_ticker: Callable[[str], str | None]) -> Member:
    if len(cells) != len(MEMBER_COLUMNS):
        raise SettingsError(
            f"{where} has {len(cells)} cells; {len(MEMBER_COLUMNS)} are expected "
            f"({', '.join(MEMBER_COLUMNS)}; an empty `to` is a member still)."
        )
    ticker = as_ticker(cells[0])
    if ticker is None:
        raise SettingsError(f"{where}: {cells[0]!r} is no ticker; one such as BRK-B is expected.")
    first = _day(cells[1], "from", where)
    last = _day(cells[2], "to", where) if cells[2] else None
    if last is not None and last < first:
        raise SettingsError(f"{where}: {ticker} is in from {first} to {last}. Swap the two.")
    return Member(ticker, first, last)


def _day(text: str, column: str, where: str) -> dt.date:
    try:
        if len(text) == len("2015-01-02"):  # 20150102 and 2015-W01-5 are read, too
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise SettingsError(
        f"{where}: {column!r} is {text!r}; year-month-day is expected, such as 2015-01-02."
    )
