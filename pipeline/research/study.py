"""The common part of `reproduce` and `ablate`: a ticker's data, files and runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import LookAtTheData, NotEnoughHistory, StockcastError
from pipeline.models import PriceRecipe
from pipeline.parts import universe_of
from pipeline.prices import CsvSource, Histories, fetch_renamed, on_calendar
from pipeline.reporting import format_rows, sentences
from pipeline.storage import content_digest, digest_of
from pipeline.universes import Universe
from pipeline.windows import Dataset, Split, encode, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts
    from pipeline.settings import Settings
    from pipeline.tracking import TrackedRun

#: Folder of the files, and name of the experiment in MLflow.
STUDIES = "studies"
#: Before any price that a file may have.
EARLIEST_DAY = dt.date(1800, 1, 1)


@dataclass(frozen=True)
class Period:
    """The sessions of a history that a study looks at; None: from its first, to its last."""

    first: dt.date | None = None
    last: dt.date | None = None

    def __str__(self) -> str:
        days = (("from", self.first), ("to", self.last))
        return " ".join(f"{word} {day}" for word, day in days if day) or "all"


@dataclass(frozen=True)
class StudyData:
    """A dataset file and its windows."""

    file: bytes
    dataset: Dataset

    @cached_property
    def digest(self) -> str:
        """The hash that names the file's content."""
        return content_digest(self.file, 16)


@dataclass(frozen=True)
class StudyReport:
    """A finished study.

    Attributes:
        rows: one per network and ticker.
        text: for people.
        failures: by ticker.
        folder: of its files, among the artifacts.
    """

    rows: pd.DataFrame
    text: str
    failures: Mapping[str, StockcastError]
    folder: str


# Data


def studied_universe(settings: Settings) -> Universe:
    """Return the universe of a study: the folder that the settings name, or the sample."""
    # A recipe, target or horizon of the settings is the study's to judge, not the universe's.
    return universe_of(settings.replaced(recipe="", target="", horizon=None))


def history_of(
    parts: Parts,
    universe: Universe,
    ticker: str,
    target: str,
    period: Period,
    now: dt.datetime,
) -> pd.DataFrame:
    """Return a ticker's HISTORY, one row per session, nothing masked and nothing filled.

    Before the years that the calendar knows, every day that the source has is a session.

    Raises:
        NotEnoughHistory: there are no prices.
    """
    source, calendar = parts.source(universe), parts.calendar(universe)
    first, until = period.first or EARLIEST_DAY, period.last or now.date()
    fetched = fetch_renamed(source, ticker, first, until, calendar, now, universe.aliases)
    if fetched.prices.empty:
        when = "" if period == Period() else f" {period}"
        raise NotEnoughHistory(
            f"{ticker}: no prices{when}. Name a folder that has them (--data), or another range "
            "(--from, --to)."
        )
    last = fetched.prices["session"].max().date()
    histories = Histories(fetched.prices, fetched.actions, universe.repair)
    history = histories.of(ticker, last, masked=False)
    if isinstance(source, CsvSource) and target == "adj_close":
        adjusted = history["session"].map(source.adjusted_close(ticker))
        history = history.assign(adj_close=adjusted.astype("float64"))
    days = [moment.date() for moment in history["session"]]
    known = calendar.sessions(EARLIEST_DAY, last)
    before = [day for day in days if not known or day < known[0]]
    return on_calendar(history, [*before, *known])


def data_of(history: pd.DataFrame, recipe: PriceRecipe, target: str, split: Split) -> StudyData:
    """Return the dataset of one ticker for forecasts one session ahead.

    Raises:
        LookAtTheData: the recipe does not forecast the target.
        NotEnoughHistory: nothing can be learnt or tested.
    """
    if target not in recipe.targets:
        raise LookAtTheData(
            f"{recipe.name} does not forecast {target}; its targets are "
            f"{', '.join(recipe.targets)} (flag --target)."
        )
    first, last = (history["session"].iloc[at].date() for at in (0, -1))
    spec = recipe.spec(history["ticker"].iloc[0], last, target, 1, split)
    known = f"{spec.ticker}: {len(history)} sessions from {first} to {last}"
    context, fewest = recipe.window.context_length, max(split.min_train_windows, 1)
    needed = f"{recipe.name} needs {context} as context and {fewest} to train on ({split})"
    if len(history) <= context:
        raise NotEnoughHistory(f"{known} are too few: {needed}. Give files that begin earlier.")
    file = encode(history, spec)
    dataset = load_dataset(file)
    windows = (len(dataset.train) + dataset.left_out["train"]) * recipe.window.stride
    if windows < split.min_train_windows:
        raise NotEnoughHistory(
            f"{known} leave {windows} to train on: {needed}. Give files that begin earlier."
        )
    if not dataset.trainable:
        raise NotEnoughHistory(
            f"{known}, but so many lack their {target} that {recipe.name} cannot be trained and "
            "tested. Look at the file, or choose another column (flag --target)."
        )
    return StudyData(file, dataset)


# Text, files and runs


def page_of(blocks: Sequence[str], failures: Iterable[StockcastError]) -> str:
    """Return a study's text: its blocks and what failed, with empty lines between them."""
    failed = sentences([f"failed: {error}" for error in failures])
    return "\n\n".join([*blocks, *([failed] if failed else [])])


def csv_file(table: pd.DataFrame) -> bytes:
    """Return a table as the CSV file that a study keeps."""
    return format_rows(table, "csv").encode()


def text_file(text: str) -> bytes:
    """Return a study's text as the Markdown file that it keeps."""
    return f"```\n{text}\n```\n".encode()


def study_folder(name: str, universe: Universe, params: Mapping[str, object]) -> str:
    """Return the folder of a study's files: one per set of parameters and source."""
    return f"{STUDIES}/{name}-{params['target']}-{_digest(universe, params)[:8]}"


def save_files(parts: Parts, folder: str, files: Mapping[str, bytes]) -> None:
    """Write a study's files by name into its folder."""
    for name, content in files.items():
        parts.artifacts.write(f"{folder}/{name}", content)


def record_runs(
    parts: Parts,
    universe: Universe,
    title: str,
    params: Mapping[str, object],
    runs: Iterable[TrackedRun],
    metrics: Mapping[str, float],
    files: Mapping[str, bytes],
    experiment: str = STUDIES,
) -> None:
    """Track a parent run with a child for each of `runs`; other `params` make other runs."""
    tracker = parts.tracker(experiment)  # all studies are one experiment
    key = f"{title} {_digest(universe, params)}"
    parent = tracker.open_parent(key, title, {"study": title}, params)
    for run in runs:
        tracker.record(parent, run)
    tracker.finish(parent, metrics, files)


def _digest(universe: Universe, params: Mapping[str, object]) -> str:
    return digest_of([universe.source_id, dict(params)])
