"""Measure what a year of sessions leaves on the disk, before and after `stockcast prune`.

    python -m benchmarks.retention [--tickers 10] [--sessions 252] [--retrain monthly] [--home DIR]
                                   [--stocks 505]

One session of made prices (six years of each stock) is run by the product's own steps, with MLflow
and SQLite; networks train two epochs, which changes no file's size but that of their loss curves.
The sessions before it are copies: each has its own live windows and replays, pages and rows of the
store, each training its own datasets, networks, measurements and MLflow's runs and models, each
quarter its own pooled networks, under names of their own and with the date of their session. Then
`prune` runs on the day after the last session. Airflow has no part in it: its logs and records are
not counted.

What a session has per stock is multiplied for a universe of `--stocks`; what it has once (its page,
MLflow's run of the session, its Data Docs) is not.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.daily import lineup, plan, run_day
from pipeline.inspection import size_text
from pipeline.models import DEFAULT, RECIPES
from pipeline.run import Run
from pipeline.scheduling import prune
from pipeline.sessions import Calendar
from pipeline.storage import files_below
from pipeline.tables import DATASETS, RUN_TICKERS, RUNS, STORED
from pipeline.universes import Universe
from tests.made_days import NOW, MadeParts
from tests.made_prices import LAST, MadeSource, random_walk

#: Sessions of each stock's prices: what the year needs behind it, and six years in all.
HISTORY = 1512
SHORT = dataclasses.replace(
    DEFAULT, epochs=2, fine_tuning=dataclasses.replace(DEFAULT.fine_tuning, epochs=2)
)
#: Files that a session has once, however many stocks it has.
ONCE = re.compile(
    r"^(reports/|data_docs/)|/(report.html|summary.csv|(calibration|drift|skill|symbol_embedding).png)$"
)


@dataclass
class Sizes:
    """Bytes and files: of one stock each, and of a session as a whole."""

    per_stock: Counter[str] = field(default_factory=Counter)
    once: Counter[str] = field(default_factory=Counter)

    def scaled(self, factor: float) -> tuple[float, float]:
        """Return files and bytes with so many times as many stocks."""
        files, size = (
            self.per_stock[name] * factor + self.once[name] for name in ("files", "bytes")
        )
        return files, size


class YearOfCopies:
    """A home with one real session, which earlier sessions are copied from.

    Args:
        parts: of the home that the session was run in.
        run: the session.
        retrain: how often the copies train: weekly or monthly.
    """

    def __init__(self, parts: MadeParts, run: Run, retrain: str) -> None:
        self._parts = parts
        self._run = run
        self._is_weekly = retrain == "weekly"
        self._root = parts.settings.home / "artifacts"
        files = [file.name for file in files_below(self._root)]
        #: The names of the files whose name has an id, by that id.
        self._files: dict[str, list[str]] = defaultdict(list)
        for name in files:
            for each in re.findall(r"[0-9a-f]{16,}", name):
                self._files[each].append(name)
        lineups = lineup.every(parts, **run.key)
        own = [each for each in lineups if each.datasets]
        current = {each.networks[0].model_id for each in own if each.networks}
        pooled = {n.model_id for each in lineups if not each.datasets for n in each.networks}
        datasets = parts.store.load(DATASETS, **run.key)
        roles = datasets.groupby("role")["dataset"].apply(set).to_dict()
        runs = {name.split("/")[1] for name in files if name.startswith(f"{run.universe.name}/")}
        models = {n.split("/")[2] for n in files if n.startswith(f"{run.universe.name}/models/")}
        #: What a copy has of its own: per session, per training, per quarter.
        self._of_session = roles["live"]
        self._of_training = roles["training"] | current | {each.choice for each in own}
        self._of_training |= (runs - {"models"}) | {name.removeprefix("m-") for name in models}
        self._of_training -= self._session_runs(files)
        self._of_quarter = pooled | roles.get("pool", set()) | roles.get("previous_pool", set())
        self._session_files = [
            name
            for name in files
            if name.startswith("reports/") or name.split("/")[1] in self._session_runs(files)
        ]
        self._made: set[str] = set()

    def _session_runs(self, files: Sequence[str]) -> set[str]:
        """Return MLflow's runs of sessions: those with a page."""
        return {name.split("/")[1] for name in files if name.endswith("/artifacts/report.html")}

    def add(self, session: dt.date) -> None:
        """Copy the session's files and rows to an earlier one."""
        week = session.isocalendar()
        training = f"{week.year} {week.week}" if self._is_weekly else f"{session:%Y-%m}"
        quarter = f"{session.year} {(session.month - 1) // 3}"
        names = {each: _other(each, str(session)) for each in self._of_session}
        names |= {each: _other(each, training) for each in self._of_training}
        names |= {each: _other(each, quarter) for each in self._of_quarter}
        evening = dt.datetime.combine(session, dt.time(22), dt.UTC).timestamp()
        for each in names:
            for name in self._files[each]:
                self._copy(name, _renamed(name, names), evening)
        for name in self._session_files:
            to = name.replace(str(self._run.session), str(session))
            parts = to.split("/")
            if to == name:
                to = "/".join([parts[0], _other(parts[1], str(session)), *parts[2:]])
            self._copy(name, to, evening)
        self._copy_rows(session, names)

    def _copy(self, name: str, to: str, moment: float) -> None:
        if to not in self._made:
            self._made.add(to)
            path = self._root / to
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._root / name, path)
        os.utime(self._root / to, (moment, moment))  # used again

    def _copy_rows(self, session: dt.date, names: Mapping[str, str]) -> None:
        store = self._parts.store
        for table in STORED:
            if "cutoff" not in table.columns:
                continue
            rows = store.load(table, **self._run.key)
            if rows.empty:
                continue
            texts = [name for name, dtype in table.columns.items() if dtype == "str"]
            for column in texts:
                values = rows[column].unique()
                renamed = {value: _renamed(str(value), names) for value in values}
                rows[column] = rows[column].map(renamed)
            rows["cutoff"] = pd.Timestamp(session)
            if table is RUNS or table is RUN_TICKERS:
                rows["run_id"] = _other(str(rows["run_id"].iloc[0]), str(session))
            store.save(table, rows)


def _other(name: str, of: str) -> str:
    """Return another name of the same length."""
    return hashlib.sha256(f"{name} {of}".encode()).hexdigest()[: len(name)]


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"[0-9a-f]{16,}", lambda found: names.get(found[0], found[0]), text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=10)
    parser.add_argument("--sessions", type=int, default=252)
    parser.add_argument("--retrain", default="monthly", choices=["weekly", "monthly"])
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    parser.add_argument("--stocks", type=int, default=505, help="what is scaled to")
    arguments = parser.parse_args()
    last = Calendar("XNYS").sessions(dt.date(2013, 1, 2), LAST)[-2]  # no training session
    sessions = Calendar("XNYS").sessions(dt.date(2000, 1, 3), last)[-arguments.sessions :]
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home or Path(folder)
        measure(home, arguments.tickers, sessions, arguments.retrain, arguments.stocks)


def measure(
    home: Path, tickers: int, sessions: Sequence[dt.date], retrain: str, stocks: int
) -> None:
    """Make the year and prune it; print both tables."""
    bars = {f"T{number:03d}": random_walk(number, HISTORY) for number in range(tickers)}
    universe = Universe("year", "sample", tuple(bars), retrain=retrain, start=dt.date(2000, 1, 3))
    with MadeParts(home, MadeSource(bars)) as parts:
        parts.recipes = RECIPES.replaced(SHORT)
        run = plan(parts, universe, sessions[-1], NOW)
        run_day(parts, run)
        evening = dt.datetime.combine(run.session, dt.time(22), dt.UTC)
        for folder in ("artifacts", "data_docs"):
            for file in files_below(home / folder):
                os.utime(home / folder / file.name, (evening.timestamp(),) * 2)
        year = YearOfCopies(parts, run, retrain)
        for session in sessions[:-1]:
            year.add(session)
        before, store = sizes_of(home), parts.store.size()
        began = time.monotonic()
        pruned = prune(parts, evening + dt.timedelta(days=1), is_rehearsed=False)
        print(f"{len(sessions)} sessions of {tickers} stocks, {retrain}", end="; ")
        print(f"prune took {time.monotonic() - began:.1f} s")
        for each in pruned:
            print(f"    {each.kind:<20} {each.there:<28} {each.goes or '-':<28} {each.stays}")
        again = prune(parts, evening + dt.timedelta(days=1), is_rehearsed=True)
        print(f"a second time, {sum(bool(each.goes) for each in again)} kinds would lose something")
        print(f"the store: {size_text(store)}, of which nothing goes\n")
    print_table(before, sizes_of(home), stocks / tickers, stocks)


def sizes_of(home: Path) -> dict[str, Sizes]:
    """Return the sizes of files by their folder."""
    sizes: dict[str, Sizes] = {}
    for folder, prefix in (("artifacts", ""), ("data_docs", "data_docs/")):
        for file in files_below(home / folder):
            name = prefix + file.name
            own = sizes.setdefault(name.partition("/")[0], Sizes())
            counter = own.once if ONCE.search(name) else own.per_stock
            counter["files"] += 1
            counter["bytes"] += file.size
    return sizes


def print_table(
    before: dict[str, Sizes], after: dict[str, Sizes], factor: float, stocks: int
) -> None:
    """Print the sizes of a universe of `stocks` before and after."""
    print(f"| {stocks} stocks | files before | GiB before | files after | GiB after |")
    print("|---|---|---|---|---|")
    totals = [0.0] * 4
    for name in sorted(before):
        values = [*before[name].scaled(factor), *after.get(name, Sizes()).scaled(factor)]
        totals = [total + value for total, value in zip(totals, values, strict=True)]
        print(row_text(name, values))
    print(row_text("all", totals))


def row_text(name: str, values: Sequence[float]) -> str:
    """Return a row of the table."""
    cells = [
        f"{value / 2**30:.2f}" if place % 2 else f"{value:,.0f}"
        for place, value in enumerate(values)
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
