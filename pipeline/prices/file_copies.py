"""Copies of a price file, as `IBM (1).csv` is of `IBM.csv`: the newest download counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.prices.formats import PriceFile, TickerRows, name_of_original
from pipeline.tables import OHLCV

#: Days on which bars are compared.
_DATE = "date"


@dataclass(frozen=True)
class _Copy:
    file: PriceFile
    rows: TickerRows

    @cached_property
    def bars(self) -> pd.DataFrame:
        """Its bars by day, each once."""
        days = self.rows.bars[_DATE]
        if days.dt.tz is not None:
            days = days.dt.tz_localize(None)
        bars = self.rows.bars[OHLCV].assign(**{_DATE: days.dt.normalize()})
        return bars[days.notna()].drop_duplicates().sort_values(_DATE).set_index(_DATE)

    @property
    def rank(self) -> tuple[pd.Timestamp, int, int, str]:
        """Order among copies: the last bar, the number of bars, and the plainer name."""
        days, name = self.bars.index, self.file.name
        last = days[-1] if len(days) else pd.Timestamp.min
        return last, len(days), -len(name), name

    def __str__(self) -> str:
        days = self.bars.index
        span = f"{days[0].date()} to {days[-1].date()}" if len(days) else "no bars"
        return f"{self.file.name} ({span})"


def are_copies(files: Sequence[PriceFile]) -> bool:
    """Return whether files have the same name, but for what is added to that of a copy."""
    return len({name_of_original(file.name) for file in files}) == 1


def newest_copy(
    read: Sequence[tuple[PriceFile, TickerRows]], ticker: str
) -> tuple[int, tuple[str, ...]]:
    """Return the position of the copy that counts, and in words which ones are left out.

    It is the one with the newest bar, where it has every session of the others. Of those that end
    on the same session, bars that both have must be the same: nothing says which download is newer.

    Raises:
        MalformedPrices: it lacks sessions of another one, or their bars differ.
    """
    copies = [_Copy(file, rows) for file, rows in read]
    newest = max(copies, key=lambda copy: copy.rank)
    left_out = []
    for copy in copies:
        if copy is newest:
            continue
        days = copy.bars.index
        lacking = days.difference(newest.bars.index)
        if len(lacking):
            raise MalformedPrices(
                f"{ticker} is in {newest} and in {copy}, and the first lacks {lacking[0].date()}; "
                "the newest download has to have all sessions of the other. Remove one of them, or "
                "join their rows in one file."
            )
        if len(days) and days[-1] == newest.bars.index[-1]:
            _require_same_bars(newest, copy, ticker)
        left_out.append(f"{copy.file.name}, of which {newest.file.name} has every session")
    return copies.index(newest), tuple(left_out)


def _require_same_bars(one: _Copy, other: _Copy, ticker: str) -> None:
    """Require that two copies have the same bars on the days of the second."""
    theirs = other.bars
    mine = one.bars.loc[one.bars.index.isin(theirs.index)]
    rows = pd.concat([mine, theirs]).reset_index().drop_duplicates()
    differing = rows[rows.duplicated(_DATE)]
    if differing.empty:
        return
    day = differing[_DATE].min()
    values = [bars.loc[[day], "close"].iloc[0] for bars in (mine, theirs)]
    raise MalformedPrices(
        f"{ticker} is in {one} and in {other}, whose bars differ: on {day.date()} close is "
        f"{values[0]:.10g} and {values[1]:.10g}. Nothing says which is the newer download: remove "
        "the older one."
    )
