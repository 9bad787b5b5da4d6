"""Which dataset files a run needs, and cutting them: at its training cutoffs and at its session, one file per ticker and cutoff."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from pipeline import windows
from pipeline.errors import NothingStored
from pipeline.masking import mask
from pipeline.models.recipe import Recipe
from pipeline.run import Run
from pipeline.tables import DATASETS

if TYPE_CHECKING:
    from pipeline.assembly import Parts

FOLDER, SUFFIX = "datasets", ".npz"


@dataclass(frozen=True)
class _Cut:
    """A ticker's masked history at a cutoff, how to cut it, and why no network can learn from it ("" when one can)."""

    spec: windows.Spec
    history: pd.DataFrame
    reason: str


def build(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> pd.DataFrame:
    """DATASETS rows of one ticker, by role: training, live and, where it is of use, previous; their files written."""
    live = _cut_at(parts, run, recipe, ticker, run.session)
    current = live if run.training_cutoff == run.session else _cut_at(parts, run, recipe, ticker, run.training_cutoff)
    previous = _cut_at(parts, run, recipe, ticker, run.previous_cutoff)
    # Where no network will learn, the baselines are best measured up to the session itself.
    training = live if current.reason else current
    spec = replace(training.spec, cutoff=run.session)
    cuts = {"training": replace(training, reason=current.reason), "live": _Cut(spec, live.history.tail(spec.context_length), "")}
    if not (current.reason or previous.reason):
        cuts["previous"] = previous
    rows = [
        {
            **run.key,
            "ticker": ticker,
            "role": role,
            "dataset_cutoff": cut.spec.cutoff,
            "dataset": parts.artifacts.put_content(FOLDER, SUFFIX, windows.encode(cut.history, cut.spec)),
            "sessions": len(cut.history),
            "reason": cut.reason,
        }
        for role, cut in cuts.items()
    ]
    return DATASETS.conform(pd.DataFrame(rows))


def _cut_at(parts: Parts, run: Run, recipe: Recipe, ticker: str, cutoff: dt.date) -> _Cut:
    spec = spec_of(run, recipe, ticker, cutoff)
    history = mask(parts.store.prices(run.universe.source_id, ticker, cutoff, run.known_at))
    if len(history):
        history = windows.on_calendar(history, parts.calendar(run.universe).sessions(run.universe.start, cutoff))
    if len(history) >= spec.needed_sessions:
        return _Cut(spec, history, "")
    reason = f"no network: {len(history)} sessions up to {cutoff}, {spec.needed_sessions} needed"
    return _Cut(spec.without_training(len(history)), history, reason)


def spec_of(run: Run, recipe: Recipe, ticker: str, cutoff: dt.date) -> windows.Spec:
    return windows.Spec(
        ticker=ticker,
        cutoff=cutoff,
        target=run.universe.target,
        horizon=run.universe.horizon,
        context_length=recipe.context_length,
        **dataclasses.asdict(recipe.split),
    )


def by_role(parts: Parts, run: Run, ticker: str) -> dict[str, dict]:
    """role -> DATASETS row, as `build` left them."""
    rows = parts.rows(DATASETS, run, [ticker])
    if rows.empty:
        raise NothingStored(f"{ticker} {run.session}: no windows have been built. Run `build_windows` for this session first.")
    return {row["role"]: row for row in rows.to_dict("records")}


def read(parts: Parts, dataset: str) -> bytes:
    """A dataset file by its name."""
    return parts.artifacts.read_content(FOLDER, SUFFIX, dataset)


def load(parts: Parts, dataset: str) -> windows.Dataset:
    return windows.load_dataset(read(parts, dataset))


def load_live(parts: Parts, dataset: str) -> windows.Windows:
    return windows.load_live(read(parts, dataset))
