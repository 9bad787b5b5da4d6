"""The doctor: whether this deployment can work, and what to do where it cannot.

It looks at configuration, home, store, artifacts, what trains and on what, tracking, calendar and
source.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.daily import plan, probe
from pipeline.errors import SettingsError, StockcastError
from pipeline.extras import require
from pipeline.inspection.retention import Usage, size_text, usage_of
from pipeline.leftovers import sweep_folders
from pipeline.models import GPU
from pipeline.parts import Parts, store_name, universe_of
from pipeline.private_home import is_open, private_home
from pipeline.reporting import counted
from pipeline.settings import Settings
from pipeline.universes import load_universes
from pipeline.version import version_of

if TYPE_CHECKING:
    from pipeline.run import Run
    from pipeline.storage import Artifacts, Store
    from pipeline.tracking import Tracker
    from pipeline.universes import Universe

Examined = TypeVar("Examined")


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of one part of a deployment.

    Attributes:
        what: the part.
        is_well: False: it cannot work.
        message: the error and its remedy, or what is there.
    """

    what: str
    is_well: bool
    message: str


def examine(settings: Callable[[], Settings], now: dt.datetime) -> list[Diagnosis]:
    """Look at each part of a deployment.

    An empty store gets its tables, and a home that others may enter is closed. Of killed
    processes, MLflow runs are marked KILLED, and unfinished and temporary files are removed;
    nothing else is changed.

    Args:
        settings: makes the settings, so that a wrong one is a diagnosis too.
    """
    first, built = _try("configuration", lambda: _settings(settings))
    return [first] if built is None else [first, *_examine_parts(built, now)]


def _examine_parts(settings: Settings, now: dt.datetime) -> Iterator[Diagnosis]:
    yield _try("home", lambda: _home(settings.home))[0]
    with Parts(settings) as parts:
        diagnosis, universe = _try("universe", lambda: _universe(settings))
        yield diagnosis
        yield from _wrong_universes(settings)
        if settings.device == GPU:
            yield diagnosis_of("device", lambda: f"gpu: {parts.workers.require_gpu()}")
        yield _try("store", lambda: _store(parts))[0]
        yield _try("artifacts", lambda: _artifacts(parts))[0]
        yield _try("sizes", lambda: _sizes(parts))[0]
        if universe is None:
            return
        yield diagnosis_of("training", _training)
        yield _try("tracking", lambda: _tracking(parts, universe))[0]
        diagnosis, run = _try("session", lambda: _session(parts, universe, now))
        yield diagnosis
        if run is not None:
            yield _try("source", lambda: _source(parts, run))[0]


def diagnosis_of(what: str, look: Callable[[], str]) -> Diagnosis:
    """Return the diagnosis of a part that nothing else needs.

    Args:
        look: returns what is there, in words.
    """
    return _try(what, lambda: (look(), None))[0]


def _try(what: str, look: Callable[[], tuple[str, Examined]]) -> tuple[Diagnosis, Examined | None]:
    """Return the diagnosis of a part, and the part; None: it cannot work.

    Args:
        look: returns what is there, in words, and the part.
    """
    try:
        message, part = look()
    except StockcastError as error:
        return Diagnosis(what, False, str(error)), None
    return Diagnosis(what, True, message), part


def _settings(settings: Callable[[], Settings]) -> tuple[str, Settings]:
    built = settings()
    return "every setting can be read", built


def _home(home: Path) -> tuple[str, Path]:
    """Close a home that others may enter.

    Raises:
        SettingsError: it stays open.
    """
    was_open = home.is_dir() and is_open(home)
    mode = f"mode {stat.S_IMODE(home.stat().st_mode):o}" if was_open else ""
    if is_open(private_home(home)):
        raise SettingsError(
            f"Others than its owner may enter {home} ({mode}), and it holds passwords. Close it as "
            f"its owner: chmod 700 {home}; or name a folder of your own (flag --home)."
        )
    closed = f"; it was open to others ({mode}), and is closed" if was_open else ""
    return f"{home}{closed}", home


def _universe(settings: Settings) -> tuple[str, Universe]:
    universe = universe_of(settings)
    tickers = f"{len(universe.tickers)} tickers from {universe.source}"
    return f"{universe.name}: {tickers}, recipe {universe.recipe}", universe


def _wrong_universes(settings: Settings) -> Iterator[Diagnosis]:
    """Yield what is wrong with other universes of the file."""
    with contextlib.suppress(SettingsError):  # no entry is right, which is a diagnosis already
        for name, error in load_universes(settings.universes).wrong.items():
            if name != settings.universe:
                yield Diagnosis(f"universe {name}", False, str(error))


def _store(parts: Parts) -> tuple[str, Store]:
    store = parts.store
    return store_name(parts.settings), store


def _artifacts(parts: Parts) -> tuple[str, Artifacts]:
    """Write an artifact, and remove what killed processes were writing."""
    parts.artifacts.require()
    parts.artifacts.put_content("doctor", ".txt", b"written by stockcast doctor")
    count = len(sweep_folders()) + parts.artifacts.sweep(thoroughly=True)
    left = f"; {counted(count, 'leftover')} of killed processes removed" if count else ""
    return f"{parts.artifacts.url('')}{left}", parts.artifacts


def _sizes(parts: Parts) -> tuple[str, Usage]:
    """Count the files of each kind, the largest first."""
    usage = usage_of(parts)
    kinds = sorted(usage.kinds, key=lambda each: -each.size)
    texts = [f"{each.kind.name} {size_text(each.size)} ({each.files:,})" for each in kinds]
    total, count = sum(each.size for each in kinds), sum(each.files for each in kinds)
    texts = [f"{size_text(total)} in {count:,} files", *texts]
    return f"{'; '.join(texts)}; the store {size_text(parts.store.size())}", usage


def _training() -> str:
    require("tensorflow", "Training")
    return f"TensorFlow {version_of('tensorflow')}"


def _tracking(parts: Parts, universe: Universe) -> tuple[str, Tracker]:
    """Mark the MLflow runs that killed processes have left."""
    tracker = parts.tracker(universe.name)
    tracker.prepare()
    abandoned = tracker.end_abandoned()
    if not abandoned:
        return "MLflow answers", tracker
    runs, were = counted(len(abandoned), "run"), "was" if len(abandoned) == 1 else "were"
    return f"MLflow answers; {runs} left by killed processes {were} marked KILLED", tracker


def _session(parts: Parts, universe: Universe, now: dt.datetime) -> tuple[str, Run]:
    run = plan(parts, universe, None, now)
    return f"the newest is {run.session}", run


def _source(parts: Parts, run: Run) -> tuple[str, Run]:
    bars = probe(parts, run)
    return f"{run.universe.tickers[0]}: {bars} bars up to {run.session}", run
