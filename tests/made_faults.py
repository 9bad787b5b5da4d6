"""Faults of one ticker, `FAULTY`, each just before the step that meets it, and a command with one.

    python -m tests.made_faults stockcast run ...

is the command line with the short recipe of `made_days`, in which the training of `FAULTY` crashes
its worker process.
"""

from __future__ import annotations

import dataclasses
import html
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.daily import lineup
from pipeline.errors import MalformedPrices, RunError
from pipeline.run import Run
from pipeline.storage import Store
from pipeline.tables import ACTIONS, CHECKS, FORECASTS, PRICES, PUBLICATIONS
from pipeline.training import Networks
from pipeline.training.jobs import FitJob, Trained
from tests import short_recipe
from tests.daily.quick_days import QuickParts, answer
from tests.made_prices import random_walk

FAULTY = "TWO"
#: A universe of five, and the sessions of each: `FAULTY` and OLD may have networks of their own.
FIVE = ("AAA", "BBB", "CCC", "OLD", "TWO")
#: Makes what a step meets.
Fault = Callable[[QuickParts, Run], None]


def store_action(
    store: Store, source_id: str, ticker: str, kind: str, run: Run, days: int = 60
) -> None:
    """Store a dividend above the price, or an impossible split, days before a run's session."""
    value = {"dividend": 1e6, "split": 1e-320}[kind]
    day = pd.Timestamp(run.session) - pd.Timedelta(days=days)
    row = {"ticker": ticker, "session": day, "kind": kind, "value": value}
    actions = ACTIONS.conform(pd.DataFrame([row]))
    store.prices.save(source_id, PRICES.empty(), actions, run.session, run.session)


def five_stocks(home: Path, sessions: int = 120) -> None:
    """Write a universe "five" of price files into a home, `OLD` and `FAULTY` with so many sessions.

    It is one shard.
    """
    (home / "prices").mkdir()
    for seed, ticker in enumerate(FIVE):
        bars = random_walk(seed, sessions if ticker in ("OLD", FAULTY) else 120)
        bars.to_csv(home / "prices" / f"{ticker}.csv", index=False)
    (home / "universes.toml").write_text(
        f'[five]\nsource = "csv"\ndata = "{home}/prices"\ntickers = {json.dumps(FIVE)}\n'
    )


def five_settings(home: Path) -> dict[str, str]:
    """Return the variables of a deployment whose one universe is that of `five_stocks`."""
    settings = {
        "HOME": home,
        "STORE_URL": f"sqlite:///{home}/store.db",
        "TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        "UNIVERSES": home / "universes.toml",
        "UNIVERSE": "five",
        "SHARD_SIZE": 5,
        "WORKERS": 1,
    }
    return {f"STOCKCAST_{name}": str(value) for name, value in settings.items()}


def what_is_left(home: Path) -> tuple[list[str], str, list[str], str]:
    """Return what a day of `five_stocks` has left.

    Returns:
        The tickers with forecasts; why `FAULTY` is held back; why its publications were withdrawn,
        each once; and the day's page.
    """
    store = Store.open(f"sqlite:///{home}/store.db")
    try:
        published = sorted(store.load(FORECASTS)["ticker"].unique())
        [reason] = store.load(CHECKS, ticker=FAULTY)["reasons"]
        withdrawn = store.load(PUBLICATIONS, ticker=FAULTY)["withdrawn"].unique().tolist()
    finally:
        store.close()
    [page] = (home / "artifacts" / "reports" / "five").glob("*.html")
    return published, reason, withdrawn, html.unescape(page.read_text())


def _source_that_raises(error: Exception) -> Fault:
    def fault(parts: QuickParts, run: Run) -> None:
        fetch_raw = parts.made.fetch_raw

        def failing(ticker: str, *when: Any) -> Any:
            if ticker == FAULTY:
                raise error
            return fetch_raw(ticker, *when)

        parts.made.fetch_raw = failing

    return fault


def _gate_that_raises(parts: QuickParts, run: Run) -> None:
    judge = parts.gate.check_prices
    parts.gate.rules_hash = "other rules"

    def failing(bars: Any, actions: Any, tickers: list[str], *rest: Any, **more: Any) -> Any:
        if FAULTY in tickers:
            raise ZeroDivisionError("division by zero")
        return judge(bars, actions, tickers, *rest, **more)

    parts.gate.check_prices = failing


def _impossible_split(parts: QuickParts, run: Run) -> None:
    store_action(parts.store, run.universe.source_id, FAULTY, "split", run)


def _own(parts: QuickParts, run: Run) -> lineup.Lineup:
    return lineup.load(parts, run, [FAULTY])[FAULTY]


def _training_that_crashes(parts: QuickParts, run: Run) -> None:
    for network in _own(parts, run).networks:
        (parts.settings.home / "artifacts" / Networks.file_of(network.model_id)).unlink()

    def crashing(job: Any) -> Any:
        if isinstance(job, FitJob) and job.label == FAULTY:
            raise RunError(f"{FAULTY}: its training process crashed with SIGSEGV.")
        return answer(job)

    parts.workers.answer = crashing


def _network_without_numbers(parts: QuickParts, run: Run) -> None:
    own = _own(parts, run)
    for file in (own.choice_file, own.replay_file):
        (parts.settings.home / "artifacts" / file).unlink()

    def without_numbers(job: Any) -> Any:
        answered = answer(job)
        if job.label != FAULTY or isinstance(answered, Trained):
            return answered
        return tuple(np.full_like(each, np.nan) for each in answered)

    parts.workers.answer = without_numbers


def _damaged(file: str, content: bytes | None = None) -> Fault:
    """Return the fault that a file of the lineup is cut, or has another content than expected."""

    def fault(parts: QuickParts, run: Run) -> None:
        name = getattr(_own(parts, run), file)
        if content is None:
            parts.artifacts.write(name, parts.artifacts.read(name)[:-9])
        else:
            parts.artifacts.write_derived(name, content)

    return fault


def _forecast_that_breaks_a_rule(parts: QuickParts, run: Run) -> None:
    rows = parts.rows(FORECASTS, run)
    parts.store.save(FORECASTS, rows.assign(y_hat=rows["y_hat"] + 1))  # or it has passed already
    parts.gate.refuses = {FAULTY: "upper below lower"}


#: By name, the step that meets the fault, the fault, and the reason that it leaves.
HOLDING_FAULTS: dict[str, tuple[str, Fault, str]] = {
    "a price file that cannot be read": (
        "ingest",
        _source_that_raises(MalformedPrices(f"{FAULTY}: no column close in the first line.")),
        f"ingest: {FAULTY}: no column close",
    ),
    "an answer that nobody expected": (
        "ingest",
        _source_that_raises(KeyError("close")),
        f"ingest: {FAULTY}: unexpected KeyError: 'close'",
    ),
    "a history that the gate cannot judge": (
        "check",
        _gate_that_raises,
        f"{FAULTY}: unexpected ZeroDivisionError: division by zero",
    ),
    "an impossible split": (
        "check",
        _impossible_split,
        f"build_windows: {FAULTY}: a split of 9.99989e-321 on ",
    ),
    "a training that crashes": (
        "train",
        _training_that_crashes,
        f"train: {FAULTY}: its training process crashed with SIGSEGV",
    ),
    "a network that forecasts no numbers": (
        "evaluate",
        _network_without_numbers,
        f"evaluate: {FAULTY}: ",
    ),
    "a choice that is cut": ("promote", _damaged("choice_file"), "promote: "),
    "a choice of something else": (
        "promote",
        _damaged("choice_file", b"no archive"),
        f"promote: {FAULTY}: unexpected ",
    ),
    "a replay that is cut": ("publish", _damaged("replay_file"), "publish: "),
    "a forecast that breaks a rule": (
        "publish",
        _forecast_that_breaks_a_rule,
        f"publish: {FAULTY} breaks order: upper below lower",
    ),
}


# A command line whose training crashes


@dataclasses.dataclass(frozen=True, eq=False)
class CrashingFitJob(FitJob):
    """A training that ends its worker process as a fault of memory does."""

    def run(self) -> Trained:
        os.kill(os.getpid(), signal.SIGSEGV)
        return super().run()


def main() -> int:
    from pipeline.training import PriceNetworkRequest

    plain = PriceNetworkRequest.job

    def job(request: PriceNetworkRequest, base: bytes | None, tensorboard: str) -> FitJob:
        made = plain(request, base, tensorboard)
        if request.label != FAULTY:
            return made
        fields = {each.name: getattr(made, each.name) for each in dataclasses.fields(made)}
        # By its importable name: a worker is to find it.
        from tests.made_faults import CrashingFitJob

        return CrashingFitJob(**fields)

    PriceNetworkRequest.job = job
    return short_recipe.main()


if __name__ == "__main__":
    sys.exit(main())
