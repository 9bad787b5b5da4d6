"""Which dataset files a run needs, and cutting them: at its training cutoffs and at its session, one file per ticker and cutoff."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import windows
from pipeline.errors import NotEnoughHistory, NothingStored
from pipeline.masking import mask
from pipeline.models import DEFAULT
from pipeline.models.recipe import Recipe
from pipeline.prices.adjustment import adjust
from pipeline.run import Run
from pipeline.splits import Newest, Since
from pipeline.tables import CHECKS, DATASETS, HISTORY

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.sessions import Calendar

#: Before anything was known.
EVER = np.datetime64("0001-01-01", "us")
FOLDER, SUFFIX = "datasets", ".npz"
#: Intervals are calibrated, and champions chosen, on sessions that no network has learnt from: where a source's protocol holds none out before
#: its test sessions, the daily run does.
VALIDATION = Newest(252)


@dataclass(frozen=True, eq=False)
class Known:
    """What a run knows of some tickers' prices and corporate actions, up to its session: give so many as may be in memory together.

    Attributes:
        bars, actions: PRICE_REVISIONS and ACTION_REVISIONS, the newest of each.
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    _histories: dict[dt.date, dict[str, pd.DataFrame]] = field(default_factory=dict)

    def history(self, ticker: str, cutoff: dt.date) -> pd.DataFrame:
        """HISTORY of a ticker, as adjusted and masked at a cutoff; that of all of them is made at once."""
        if cutoff not in self._histories:
            self._histories[cutoff] = dict(list(mask(adjust(self.bars, self.actions, cutoff)).groupby("ticker")))
        own = self._histories[cutoff].get(ticker)
        return HISTORY.empty() if own is None else own

    def newest(self, ticker: str, cutoff: dt.date) -> pd.Timestamp | None:
        """When the newest of what is known up to a cutoff became known, in UTC without a zone."""
        moments = []
        for own in (self._by_ticker[0].get(ticker), self._by_ticker[1].get(ticker)):
            if own is not None:
                moments.append(own["known_at"].to_numpy()[own["session"].to_numpy() <= np.datetime64(cutoff)].max(initial=EVER))
        newest = max(moments, default=EVER)
        return None if newest == EVER else pd.Timestamp(newest)

    @cached_property
    def _by_ticker(self) -> list[dict[str, pd.DataFrame]]:
        return [dict(list(rows.groupby("ticker"))) for rows in (self.bars, self.actions)]


def file(dataset: str) -> str:
    """Where a dataset is among the artifacts."""
    return f"{FOLDER}/{dataset}{SUFFIX}"


def known(parts: Parts, run: Run, tickers: list[str]) -> Known:
    return Known(*parts.store.revisions(run.universe.source_id, tickers, run.session, run.known_at))


@dataclass(frozen=True)
class _Cut:
    """A ticker's masked history at a cutoff, how to cut it, and why no network can learn from it ("" when one can)."""

    spec: windows.Spec
    history: pd.DataFrame
    reason: str


#: The roles of what a ticker's own networks see.
OWN = ("training", "live", "previous", "default")
#: role -> the field of a run that says where its pooled dataset ends.
POOLS = {"pool": "pool_cutoff", "previous_pool": "previous_pool_cutoff"}


def build(parts: Parts, run: Run, recipe: Recipe, of: Known, ticker: str) -> list[dict[str, object]]:
    """DATASETS rows of one ticker, by role: training, live and, where they are of use, previous and default; their files written.

    "default" is the default recipe's dataset with the test sessions of this recipe: what it is compared with.
    """
    live = _cut_at(parts, run, recipe, of, ticker, run.session)
    current = live if run.training_cutoff == run.session else _cut_at(parts, run, recipe, of, ticker, run.training_cutoff)
    previous = _cut_at(parts, run, recipe, of, ticker, run.previous_cutoff)
    # Where no network will learn, the baselines are best measured up to the session itself.
    training = live if current.reason else current
    _require_measurable(training)
    spec = replace(training.spec, cutoff=run.session)
    cuts = {"training": replace(training, reason=current.reason), "live": _Cut(spec, windows.live_part(live.history, spec), "")}
    if not (current.reason or previous.reason):
        cuts["previous"] = previous
    if not current.reason and recipe.name != DEFAULT.name:
        cuts["default"] = _default_beside(run, current)
    return [_row(parts, run, of, ticker, role, cut) for role, cut in cuts.items()]


def build_pools(parts: Parts, run: Run, recipe: Recipe, of: Known, ticker: str) -> list[dict[str, object]]:
    """DATASETS rows of what a ticker gives to the pooled networks, by role: pool, previous_pool; none where it has too little history.

    Whoever is quarantined today has its share all the same: what it gives ends at the pool's cutoff, and a pooled network is not trained anew
    for a bad bar that is masked a week later.
    """
    cutoffs = {role: getattr(run, name) for role, name in POOLS.items()}
    shares = {cutoff: share(parts, run, recipe, of, ticker, cutoff) for cutoff in dict.fromkeys(cutoffs.values())}
    return [_row(parts, run, of, ticker, role, shares[cutoff]) for role, cutoff in cutoffs.items() if shares[cutoff]]


def share(parts: Parts, run: Run, recipe: Recipe, of: Known, ticker: str, cutoff: dt.date) -> _Cut | None:
    """What a ticker gives to the pooled network of `cutoff`; None where a network can learn nothing from it."""
    try:
        cut = _cut_at(parts, run, recipe, of, ticker, cutoff)
    except NotEnoughHistory:  # which `build` says of the ticker itself; the others train without it
        return None
    return None if cut.reason else cut


def _row(parts: Parts, run: Run, of: Known, ticker: str, role: str, cut: _Cut) -> dict[str, object]:
    return {
        **run.key,
        "ticker": ticker,
        "role": role,
        "dataset_cutoff": cut.spec.cutoff,
        "dataset": parts.artifacts.put_content(FOLDER, SUFFIX, windows.encode(cut.history, cut.spec)),
        "sessions": len(cut.history),
        "reason": cut.reason,
        "known_at": of.newest(ticker, cut.spec.cutoff),
    }


def _cut_at(parts: Parts, run: Run, recipe: Recipe, of: Known, ticker: str, cutoff: dt.date) -> _Cut:
    spec, history = spec_of(run, recipe, ticker, cutoff), of.history(ticker, cutoff)
    if len(history):
        first = max(run.universe.start, history["session"].iloc[0].date())
        history = windows.on_calendar(history, _sessions(parts.calendar(run.universe), first, cutoff))
    reason = f"no network of its own: {len(history)} sessions up to {cutoff}, {spec.needed_sessions} needed"
    if len(history) >= spec.needed_sessions:
        left_out = _left_out(history, spec)
        if not left_out:
            return _Cut(spec, history, "")
        reason = f"no network of its own: of {len(history)} sessions up to {cutoff}, {left_out}"
    return _Cut(spec.without_training(len(history), as_it_is=recipe.fine_tuning is not None), history, reason)


@lru_cache(maxsize=256)
def _sessions(calendar: Calendar, first: dt.date, last: dt.date) -> pd.DatetimeIndex:
    """Most tickers begin on the same session."""
    return pd.DatetimeIndex(calendar.sessions(first, last))


def _left_out(history: pd.DataFrame, spec: windows.Spec) -> str:
    """Why a history that is long enough leaves nothing to learn from or to be measured on; "" where it does."""
    if windows.surely_trainable(history, spec):
        return ""
    dataset = windows.load_dataset(windows.encode(history, spec))
    return "" if dataset.trainable else f"too many are without a price: {dataset.usable}"


def _require_measurable(cut: _Cut) -> None:
    """`NotEnoughHistory` where not even a baseline can be measured."""
    if not cut.reason:
        return
    dataset = windows.load_dataset(windows.encode(cut.history, cut.spec))
    if not (len(dataset.validation) and len(dataset.test)):
        raise NotEnoughHistory(
            f"{cut.spec.ticker}: {len(cut.history)} sessions up to {cut.spec.cutoff}, of which too many are without a price to measure a forecast "
            f"of {cut.spec.horizon} sessions on: {dataset.usable}. Fetch from an earlier date, or ask for a shorter horizon."
        )


def _default_beside(run: Run, cut: _Cut) -> _Cut:
    spec = spec_of(run, DEFAULT, cut.spec.ticker, cut.spec.cutoff)
    split = replace(spec.split, test=Since(windows.first_test_session(cut.history, cut.spec)))
    spec = replace(spec, split=split, smoothing=cut.spec.smoothing)  # a smoothed price is easier to forecast: for both or for none
    few = len(cut.history) < spec.needed_sessions
    return _Cut(spec, cut.history, "too little history before the test sessions for the default recipe" if few else "")


def spec_of(run: Run, recipe: Recipe, ticker: str, cutoff: dt.date) -> windows.Spec:
    split = recipe.split if recipe.split.validation else replace(recipe.split, validation=VALIDATION)
    return recipe.spec(ticker, cutoff, run.universe.target, run.universe.horizon, split)


def keeps_its_window(parts: Parts, row: dict, recipe: Recipe) -> bool:
    """Whether a dataset that no network can learn from is cut as the recipe cuts, so that other stocks' network can be measured on it."""
    spec, _ = windows.decode(read(parts, row["dataset"]))
    return spec.window == recipe.window and spec.normalisation == recipe.normalisation


def passed(parts: Parts, run: Run) -> list[str]:
    """The tickers of this run that the gate let through, in the universe's order."""
    checks = parts.rows(CHECKS, run)
    if checks.empty:
        raise NothingStored(
            f"{run.universe.name} {run.session}: no ticker has been checked. Run `ingest` and `check` for this session first."
        )
    good = set(checks[checks["verdict"] == "passed"]["ticker"])
    return [ticker for ticker in run.universe.tickers if ticker in good]


def by_role(parts: Parts, run: Run, ticker: str) -> dict[str, dict]:
    """role -> DATASETS row of one ticker, as `build` left them."""
    rows = by_ticker(parts, run, [ticker])
    if not rows:
        raise NothingStored(f"{ticker} {run.session}: no windows have been built. Run `build_windows` for this session first.")
    return rows[ticker]


def by_ticker(parts: Parts, run: Run, tickers: list[str]) -> dict[str, dict[str, dict]]:
    """ticker -> role -> DATASETS row; without those whose windows have not been built."""
    found: dict[str, dict[str, dict]] = {}
    for row in parts.rows(DATASETS, run, tickers).to_dict("records"):
        found.setdefault(row["ticker"], {})[row["role"]] = row
    return {ticker: roles for ticker, roles in found.items() if "training" in roles}


def read(parts: Parts, dataset: str) -> bytes:
    """A dataset file by its name."""
    return parts.artifacts.read_content(FOLDER, SUFFIX, dataset)


def load(parts: Parts, dataset: str, fitted_on: str | None = None) -> windows.Dataset:
    """The windows of a dataset, normalised for a network that was trained on `fitted_on` (None: on this one)."""
    return windows.load_dataset(read(parts, dataset), None if fitted_on in (None, dataset) else read(parts, fitted_on))


def load_replay(parts: Parts, dataset: str, fitted_on: str | None = None) -> windows.Windows:
    """The last windows of a dataset, normalised for a network that was trained on `fitted_on` (None: for the baselines)."""
    return windows.load_replay(read(parts, dataset), None if fitted_on is None else read(parts, fitted_on))
