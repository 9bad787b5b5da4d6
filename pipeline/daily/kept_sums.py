"""Kept sums of scores: what the scoreboard shows, summed up by session, in files of a month each.

To add up all scores of 5,000 stocks takes SQLite more than a minute after a year. Step `score` sums
up the sessions whose scores it has changed, and a reader adds these sums up.

The sums are made from SCORES and PUBLICATIONS alone. An index names the months that have them, and
the sessions whose scores are being changed: those of a step that was killed stay in it until the
next one sums them up.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.storage import Span, Store, pack_table, unpack_table
from pipeline.tables import SCORES, SERIES, SESSION_DTYPE

if TYPE_CHECKING:
    from pipeline.storage import Artifacts

#: Where they are among the artifacts.
SUMS_FOLDER = "sums"
#: What is summed up, by the name of its files. Each has a column `session`.
KINDS: dict[str, Callable[..., pd.DataFrame]] = {
    "ticker": lambda store, **filters: store.score_sums(["session", "ticker"], **filters),
    "horizon": lambda store, **filters: store.score_sums(["session", "horizon"], **filters),
    "interval": lambda store, **filters: store.interval_sums(["horizon"], **filters),
}
#: The name of the files of each ticker's sums of the whole month, which are a twentieth as long.
TOTALS = "total"


@dataclass
class SumsIndex:
    """The months with files of a series, and the sessions that they lack.

    Attributes:
        months: the first days of those that have files.
        changing: the sessions whose sums may not be those of their scores.
    """

    months: set[dt.date] = field(default_factory=set)
    changing: set[dt.date] = field(default_factory=set)

    def packed(self) -> bytes:
        """Return it as JSON."""
        values = {name: sorted(map(str, days)) for name, days in vars(self).items()}
        return json.dumps(values).encode()

    @classmethod
    def unpacked(cls, data: bytes | None) -> SumsIndex:
        """Return what `packed` made; None: nothing is known."""
        values = json.loads(data) if data else {}
        return cls(**{name: set(map(dt.date.fromisoformat, days)) for name, days in values.items()})


class KeptSums:
    """The sums of one series.

    Args:
        series: by column of `SERIES` its name.
    """

    def __init__(self, store: Store, artifacts: Artifacts, series: Mapping[str, object]) -> None:
        self._store, self._artifacts, self._series = store, artifacts, dict(series)

    def read(self, kind: str, first: dt.date = dt.date.min) -> Iterator[pd.DataFrame]:
        """Yield the sums of each month that has scores, in order; no rows where there are none.

        A month without a file is summed up now, which is what takes so long.

        Args:
            kind: one of `KINDS`.
            first: of the sessions.
        """
        kept_months, months = self._index().months, self._months_from(first)
        if not months:
            yield self._summed(kind, [])
        for month in months:
            kept = self._kept(kind, month) if month in kept_months else None
            sums = self._summed(kind, _span(month)) if kept is None else kept
            yield sums[sums["session"] >= pd.Timestamp(first)] if month < first else sums

    def totals_by_ticker(self) -> Iterator[pd.DataFrame]:
        """Yield the sums of each ticker and month that has scores; no rows where there are none."""
        kept_months, months = self._index().months, self._months_from()
        if not months:
            yield _totals(self._summed("ticker", []))
        for month in months:
            kept = self._kept(TOTALS, month) if month in kept_months else None
            yield _totals(self._summed("ticker", _span(month))) if kept is None else kept

    @contextmanager
    def changing(self, sessions: Iterable[dt.date]) -> Iterator[None]:
        """Sum up sessions, whose scores are changed within the block, at its end."""
        touched = set(sessions)
        if not touched:
            yield
            return
        self._note(lambda index: index.changing.update(touched))
        yield
        index = self._index()
        touched |= index.changing
        by_month = {
            month: set[dt.date]() for month in self._months_from() if month not in index.months
        }
        for session in touched:
            by_month.setdefault(_month(session), set()).add(session)
        for month in sorted(by_month):
            self._sum_up(month, by_month[month])

    def _months_from(self, first: dt.date = dt.date.min) -> list[dt.date]:
        """Return the months from a session, or the first one scored, to the last one scored."""
        [oldest, newest] = (
            self._store.ends(SCORES, "session", 1, is_newest, **self._series)
            for is_newest in (False, True)
        )
        if not newest:
            return []
        days = pd.date_range(_month(max(oldest[0], first)), newest[0], freq="MS")
        return [day.date() for day in days]

    def _sum_up(self, month: dt.date, touched: set[dt.date]) -> None:
        """Bring a month's files up to date; other processes wait for it."""

        def update(index: SumsIndex) -> None:
            is_new = month not in index.months
            for kind in KINDS:
                kept = None if is_new else self._kept(kind, month)
                sums = self._updated(kind, month, kept, touched)
                self._write(kind, month, sums)
                if kind == "ticker":
                    self._write(TOTALS, month, _totals(sums))
            index.months.add(month)
            index.changing -= touched

        self._note(update)

    def _updated(
        self, kind: str, month: dt.date, kept: pd.DataFrame | None, touched: set[dt.date]
    ) -> pd.DataFrame:
        """Return a month's sums with those of these sessions made again."""
        if kept is None:
            return self._summed(kind, _span(month))
        days = pd.to_datetime(sorted(touched)).as_unit("s")
        again = self._summed(kind, sorted(touched))
        table = pd.concat([kept[~kept["session"].isin(days)], again])
        return table.sort_values("session", kind="stable", ignore_index=True)

    def _summed(self, kind: str, sessions: object) -> pd.DataFrame:
        sums = KINDS[kind](self._store, **self._series, session=sessions)
        return sums.sort_values("session", kind="stable", ignore_index=True)

    def _write(self, kind: str, month: dt.date, sums: pd.DataFrame) -> None:
        self._artifacts.write_derived(self._file(kind, month), pack_table(sums))

    def _kept(self, kind: str, month: dt.date) -> pd.DataFrame | None:
        data = self._artifacts.find_derived(self._file(kind, month))
        if data is None:
            return None
        table = unpack_table(data)
        days = [name for name in ("session", "first", "last") if name in table]
        return table.astype(dict.fromkeys(days, SESSION_DTYPE))  # Parquet knows no seconds

    def _index(self) -> SumsIndex:
        return SumsIndex.unpacked(self._artifacts.find_derived(self._file("index")))

    def _note(self, change: Callable[[SumsIndex], None]) -> None:
        """Change the index; one process does so at a time."""
        with self._store.alone(SUMS_FOLDER):
            index = self._index()
            before = index.packed()
            change(index)
            if index.packed() != before:
                self._artifacts.write_derived(self._file("index"), index.packed())

    def _file(self, kind: str, month: dt.date | None = None) -> str:
        universe, recipe, target = (self._series[name] for name in SERIES)
        suffix = ".json" if month is None else f"-{month:%Y-%m}.parquet"
        return f"{SUMS_FOLDER}/{universe}/{recipe}-{target}-{kind}{suffix}"


def added_up(sums: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return sums added up by a column, as `Store.score_sums` would have them."""
    others = (by, "first", "last")
    columns = list(sums.columns)
    amounts = [name for name in columns[columns.index("forecasts") :] if name not in others]
    groups = sums.groupby([by, "backfilled"])
    totals = groups[amounts].sum(min_count=1)  # where no forecast has a loss, there is no sum
    totals.insert(1, "first", groups["first"].min())
    totals.insert(2, "last", groups["last"].max())
    return totals.reset_index()


def _totals(sums: pd.DataFrame) -> pd.DataFrame:
    return added_up(sums, "ticker")


def _month(session: dt.date) -> dt.date:
    """Return the first day of its month."""
    return session.replace(day=1)


def _span(month: dt.date) -> Span:
    return Span(month, (pd.Timestamp(month) + pd.offsets.MonthEnd()).date())
