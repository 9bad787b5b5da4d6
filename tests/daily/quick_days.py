"""Days that take a second: no gate, no MLflow and no worker processes.

Everything else is real: store, artifacts, windows, baselines, decisions.
"""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline.daily import STEPS, TICKER_STEPS, plan, to_ingest
from pipeline.run import Run
from pipeline.tables import FINDINGS
from pipeline.tracking import PublishedModel, TrackedRun
from pipeline.training import Job, PredictJob, Trained
from pipeline.training.jobs import FitJob
from pipeline.universes import Universe
from pipeline.windows import Windows
from tests.made_days import NOW, TRAINED, MadeParts, made_source
from tests.made_prices import LAST, MadeSource
from tests.made_studies import AnsweringWorkers

#: The standard normal distribution's quantiles.
NORMAL = np.array([-1.96, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.96])
#: The share of the coming change that each network knows; it is worth publishing.
KNOWN_SHARE = 0.5


class QuickGate:
    """A gate that quarantines the tickers in `broken`, and refuses the forecasts of `refuses`.

    `judged` counts its verdicts on prices and on forecasts, and those on prices that
    Great Expectations was asked for.
    """

    rules_hash = "rules"

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.refuses: dict[str, str] = {}
        self.judged = {"prices": 0, "forecasts": 0, "documented": 0}

    def check_prices(
        self, bars: Any, actions: Any, tickers: list[str], *_: Any, documented: bool, **__: Any
    ) -> Any:
        self.judged["prices"] += 1
        self.judged["documented"] += documented
        quarantined = {t: reason for t, reason in self.broken.items() if t in tickers}
        return SimpleNamespace(findings=FINDINGS.empty(), quarantined=quarantined)

    def is_documented(self, universe: str) -> bool:
        return True

    def check_forecasts(self, forecasts: Any, sessions: Any) -> Any:
        self.judged["forecasts"] += 1
        broken = {t: f"{t} breaks order: {why}" for t, why in self.refuses.items()}
        return SimpleNamespace(broken=broken)


class QuickTracker:
    """A tracker that keeps what it is given.

    Attributes:
        records: by parent and ticker.
        champions: by ticker the model_ids that were last set.
        served: by ticker, what makes the files of its champion's folder.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], TrackedRun] = {}
        self.champions: dict[str, str] = {}
        self.served: dict[str, Callable[[], Mapping[str, bytes]]] = {}

    def open_session(self, session: dt.date, *_: Any) -> str:
        return f"parent {session}"

    ensure_session = open_session

    def open_parent(self, key: str, *_: Any) -> str:
        return key

    def finish(self, *_: Any) -> None:
        pass

    def record(self, parent: str, run: TrackedRun) -> str:
        [run_id] = self.record_together([(parent, run)])
        return run_id

    def record_together(self, runs: Sequence[tuple[str, TrackedRun]]) -> list[str]:
        self.records |= {(parent, run.ticker): run for parent, run in runs}
        return [f"{parent} {run.ticker}" for parent, run in runs]

    def set_champions(self, champions: Mapping[str, PublishedModel], is_newest: Any) -> None:
        if is_newest():
            self.champions |= {ticker: each.model_id for ticker, each in champions.items()}
            self.served |= {ticker: each.served for ticker, each in champions.items()}

    def end_abandoned(self) -> list[str]:
        return []

    def end_open(self, error: BaseException) -> None:
        pass


class QuickParts(MadeParts):
    """`MadeParts` whose networks are made up: they know a share of what comes."""

    workers = None

    def __init__(self, home: Path, source: MadeSource | None = None, **settings: Any) -> None:
        super().__init__(home, source or made_source(), **settings)
        self.workers = AnsweringWorkers(answer)
        self.gate = QuickGate()
        self.tracked = QuickTracker()

    def tracker(self, experiment: str) -> Any:
        return self.tracked

    @property
    def fits(self) -> list[str]:
        """The labels of the networks that were trained."""
        return [job.label for job in self.workers.jobs if isinstance(job, FitJob)]

    @property
    def predictions(self) -> list[str]:
        """The labels of the networks that were asked."""
        return [job.label for job in self.workers.jobs if isinstance(job, PredictJob)]


def made_network(label: str) -> bytes:
    """Return a file that numpy leaves to Keras.

    What it is said to forecast depends on what comes, so that no forecast may be kept from the
    session before.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(zipfile.ZipInfo("label"), label)
    return content.getvalue()


def answer(job: Job[Any], network: Callable[[str], bytes] = made_network) -> Any:
    """Train a made-up network, or forecast with it.

    Args:
        network: from a label to a network's file.
    """
    if isinstance(job, FitJob):
        curves = {name: [1.0, 0.5] for name in ("loss", "val_loss", "learning_rate")}
        return Trained(network(job.label), curves, 1, 0.0, 1)
    assert isinstance(job, PredictJob)
    return tuple(_forecast(windows, job.horizon) for windows in job.windows)


def _forecast(windows: Windows, horizon: int) -> np.ndarray:
    roots = np.sqrt(np.arange(1, horizon + 1))
    change = np.nan_to_num(windows.actual_with_dividends - windows.last[:, None])
    spread = windows.unit[:, None, None] * roots[None, :, None] * NORMAL
    return windows.last[:, None, None] + KNOWN_SHARE * change[:, :, None] + spread


def take_steps(parts: QuickParts, run: Run, first: str = "ingest", last: str = "watch") -> None:
    """Do the steps of a run from `first` to `last`; with all tickers where they take some."""
    names = list(STEPS)
    for name in names[names.index(first) : names.index(last) + 1]:
        tickers = to_ingest(parts, run) if name == "ingest" else list(run.universe.tickers)
        arguments = [tickers] if name in TICKER_STEPS else []
        STEPS[name](parts, run, *arguments)


def quick_day(
    parts: QuickParts,
    session: dt.date = LAST,
    universe: Universe = TRAINED,
    last: str = "watch",
    now: dt.datetime = NOW,
) -> Run:
    """Do the steps of a session up to `last`; without the report, which draws."""
    run = plan(parts, universe, session, now)
    take_steps(parts, run, last=last)
    return run


def scored_days(home: Path, universe: Universe, sessions: Sequence[dt.date]) -> Path:
    """Run sessions of made prices up to `score`, one after the other; return their home."""
    with QuickParts(home, made_source()) as parts:
        for session in sessions:
            quick_day(parts, session, universe, last="score")
    return home
