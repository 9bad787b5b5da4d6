"""The lineup: what a session compares for each ticker, written once and read by all later steps.

It names the datasets, the networks and the choice, so that no step works out again what an earlier
one has decided. `train` draws it up (see `lineup_drawing`), `promote` adds what it has decided;
`evaluate`, `promote`, `publish`, `watch`, `explain` and the audit read it. What all stocks train or
fit together is the lineup of `SHARED`, which `pretrain` draws up.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.dataset_files import DatasetEntry, require_datasets, stored_datasets
from pipeline.decisions import Contestant
from pipeline.errors import NothingStored
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.run import Run
from pipeline.tables import LINEUPS, PROMOTIONS
from pipeline.training import SHARED

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from pipeline.parts import Parts

#: Roles of networks: the current training cutoff's, the previous one's, the pooled one that stands
#: in for a young stock's own, and the default recipe's that another recipe is measured against.
CURRENT, PREVIOUS, POOLED, DEFAULT_RIVAL = "lstm", "previous", "pooled", "default"


@dataclass(frozen=True)
class NetworkEntry:
    """A network that a session looks at.

    Attributes:
        label: a ticker, or `SHARED`.
        recipe: its recipe's name.
        dataset: the dataset that its normalisation is fitted on; of a pooled network, the digest of
            all its datasets.
        members: how many stocks it learns from.
        base: the model_id of the pooled network that it goes on from; "": random weights.
    """

    role: str
    label: str
    recipe: str
    model_id: str
    dataset: str
    training_cutoff: dt.date
    members: int = 1
    base: str = ""


@dataclass(frozen=True)
class Lineup:
    """The datasets and networks that a session compares for a ticker.

    Attributes:
        networks: the current one first.
        choice: the identity of the choice among them and the baselines; "" of `SHARED`.
        har, live_har: the regressions of all stocks up to what the ticker is measured on, and up
            to the session (see `regressions`); "": none was fitted, or an earlier version drew up
            the lineup.
        anchors: of `SHARED`: roles of datasets, with the regression that networks correct there.
    """

    ticker: str
    datasets: tuple[DatasetEntry, ...]
    networks: tuple[NetworkEntry, ...]
    choice: str = ""
    har: str = ""
    live_har: str = ""
    anchors: tuple[tuple[str, str], ...] = ()

    def dataset(self, role: str) -> DatasetEntry:
        """Return the dataset of a role that is always there: "training" or "live"."""
        return next(entry for entry in self.datasets if entry.role == role)

    @property
    def training(self) -> DatasetEntry:
        """The dataset that everything is measured on."""
        return self.dataset("training")

    @property
    def live(self) -> DatasetEntry:
        """The dataset that ends at the session."""
        return self.dataset("live")

    @property
    def compared(self) -> tuple[NetworkEntry, ...]:
        """The networks that may be published, the current one first."""
        return tuple(network for network in self.networks if network.role != DEFAULT_RIVAL)

    @property
    def default_rival(self) -> NetworkEntry | None:
        """The default recipe's network that another recipe is measured against."""
        return next((each for each in self.networks if each.role == DEFAULT_RIVAL), None)

    @property
    def replay_file(self) -> str:
        """The artifact with the choice's replay up to the session."""
        har = f"-{self.live_har}" if self.live_har else ""
        return f"replays/{self.choice}-{self.live.dataset}{har}.npz"

    @property
    def choice_file(self) -> str:
        """The artifact that keeps the choice."""
        return f"choices/{self.choice}.npz"

    @property
    def tracked_file(self) -> str:
        """The artifact that says below which MLflow run the choice is tracked."""
        return f"choices/{self.choice}.tracked"

    def network(self, model_id: str) -> NetworkEntry | None:
        """Return the network with this id among those that may be published."""
        return next((each for each in self.compared if each.model_id == model_id), None)


def contestant(network: NetworkEntry) -> Contestant:
    """Return a network as decisions know it."""
    return Contestant(network.role, network.model_id, network.training_cutoff)


def save(parts: Parts, run: Run, lineups: Iterable[Lineup]) -> None:
    """Store lineups, not decided yet; each replaces what was stored for its ticker."""
    adapter = _adapter()
    rows = [
        {
            **run.key,
            "ticker": each.ticker,
            "choice": each.choice,
            "lineup": adapter.dump_json(each).decode(),
            "decision": "",
        }
        for each in lineups
    ]
    if rows:
        parts.store.save(LINEUPS, pd.DataFrame(rows))


def stored(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, Lineup]:
    """Return the lineups that are stored, by ticker, in the order asked for."""
    lineups = _decoded(parts.rows(LINEUPS, run, tickers))
    return {ticker: lineups[ticker] for ticker in tickers if ticker in lineups}


def of_session_before(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, Lineup]:
    """Return the lineups of these tickers that are stored for the session before the run's."""
    calendar = parts.calendar(run.universe)
    before = calendar.last_session_until(run.session - dt.timedelta(days=1))
    return _decoded(parts.store.load(LINEUPS, **run.key | {"cutoff": before}, ticker=list(tickers)))


def every(parts: Parts, **key: object) -> list[Lineup]:
    """Return all lineups of a session, also that of `SHARED`.

    Args:
        key: universe, recipe, target, cutoff.
    """
    return list(_decoded(parts.store.load(LINEUPS, **key)).values())


def _decoded(rows: pd.DataFrame) -> dict[str, Lineup]:
    """Return the lineups of LINEUPS rows of one session, by ticker."""
    adapter = _adapter()
    return {
        ticker: adapter.validate_json(text)
        for ticker, text in zip(rows["ticker"], rows["lineup"], strict=True)
    }


def load(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, Lineup]:
    """Return the lineups of all these tickers.

    Raises:
        NothingStored: a ticker has none; the step to run first is named.
    """
    found = load_each(parts, run, tickers)
    for error in found.failures.values():
        raise error
    return dict(found.results)


def load_each(parts: Parts, run: Run, tickers: Sequence[str]) -> Outcomes[Lineup]:
    """Return the lineups of those tickers that have one, and which step to run for the others."""
    lineups = stored(parts, run, tickers)
    missing = [ticker for ticker in tickers if ticker not in lineups]
    datasets = stored_datasets(parts, run, missing) if missing else {}

    def own(ticker: str) -> Lineup:
        if ticker in lineups:
            return lineups[ticker]
        require_datasets(run, datasets, ticker)
        raise NothingStored(
            f"{ticker} {run.session}: it has not been evaluated. "
            "Run `train` and `evaluate` for this session first."
        )

    return outcome_of_each(tickers, own)


def save_decisions(
    parts: Parts, run: Run, tickers: Sequence[str], promotions: pd.DataFrame
) -> None:
    """Store what has been decided among the lineups of these tickers.

    Args:
        promotions: PROMOTIONS; a ticker without a row is not decided.
    """
    decided = {
        row["ticker"]: json.dumps(row, default=lambda day: day.date().isoformat())
        for row in promotions.drop(columns=list(run.key)).to_dict("records")
    }
    rows = parts.rows(LINEUPS, run, tickers)
    decisions = [decided.get(ticker, "") for ticker in rows["ticker"]]
    parts.store.save(LINEUPS, rows.assign(decision=decisions))


def decisions(parts: Parts, run: Run, tickers: Sequence[str]) -> pd.DataFrame:
    """Return what has been decided for these tickers: PROMOTIONS, on the way to publication."""
    texts = parts.rows(LINEUPS, run, tickers)["decision"].dropna()
    rows = [{**run.key, **json.loads(text)} for text in texts if text]
    if not rows:
        return PROMOTIONS.empty()
    # A decision that an earlier version has made lacks the newest columns.
    return PROMOTIONS.conform(pd.DataFrame(rows).reindex(columns=list(PROMOTIONS.columns)))


def shared(parts: Parts, run: Run) -> Lineup | None:
    """Return the lineup of what all stocks train together; None: not drawn up."""
    return stored(parts, run, [SHARED]).get(SHARED)


@cache
def _adapter() -> TypeAdapter[Lineup]:
    from pydantic import TypeAdapter

    return TypeAdapter(Lineup)
