"""Datasets of cuts, found again where an earlier session has written the same.

What networks learn from ends at a cutoff that many sessions share. As long as no revision touches
the sessions up to it, its datasets are the same bytes, and to make them takes most of the time of
`pretrain` and `build_windows`. So each batch of tickers keeps a file that says which dataset was
made of which facts, by a digest of all that decides on it, and no history is adjusted for it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING

from pipeline.daily.dataset_files import dataset_file, read_dataset, write_dataset
from pipeline.daily.regressions import Anchoring
from pipeline.daily.window_cuts import DIGEST_DIGITS, CutFacts, HistoryCut
from pipeline.errors import StockcastError
from pipeline.models import PriceRecipe
from pipeline.run import Run
from pipeline.storage import digest_of
from pipeline.training import training_digest
from pipeline.version import code_version
from pipeline.windows import encode

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Raise it with a change of what `WrittenCuts` keeps: files of versions before are then not read.
CUTS_FORMAT = 2


@dataclass(frozen=True)
class WrittenCut:
    """A dataset that has been written.

    Attributes:
        learnt: the digest of its training part.
        sessions: those of its history.
    """

    dataset: str
    learnt: str
    sessions: int


class WrittenCuts:
    """The datasets of a batch of tickers, with those that an earlier session has written.

    Args:
        step: the step that writes them.
    """

    def __init__(
        self,
        parts: Parts,
        run: Run,
        step: str,
        tickers: Sequence[str],
        anchoring: Anchoring,
    ) -> None:
        self._parts, self._run, self._anchoring = parts, run, anchoring
        self._file = f"cuts/{digest_of([CUTS_FORMAT, run.series, step, list(tickers)])}.json"
        known = parts.artifacts.find_derived(self._file)
        #: By `_key`.
        self._known: dict[str, WrittenCut] = {
            key: WrittenCut(*each) for key, each in json.loads(known or "{}").items()
        }
        self._used: dict[str, WrittenCut] = {}

    def all_found(
        self, ticker: str, asked: Iterable[tuple[PriceRecipe, str, dt.date, CutFacts]]
    ) -> list[dict[str, object]] | None:
        """Return all rows that are asked for; None: one of them has to be cut.

        Args:
            asked: recipe, role, cutoff and facts of the history of each.
        """
        rows = [
            self._found(recipe, role, ticker, cutoff, facts)
            for recipe, role, cutoff, facts in asked
        ]
        found = [row for row in rows if row is not None]
        return found if len(found) == len(rows) else None

    def row(
        self,
        recipe: PriceRecipe,
        role: str,
        cut: HistoryCut,
        facts: CutFacts,
        anchored_as: str,
    ) -> dict[str, object]:
        """Write the dataset of a cut; return its DATASETS row.

        Args:
            facts: of the history that it was cut from.
            anchored_as: the role of the datasets that have the same forecasts of `har`.
        """
        anchored = self._anchoring.anchored(cut, anchored_as)
        data = encode(anchored.history, anchored.spec)
        learns = role != "live" and not cut.reason
        learnt = training_digest(data, recipe) if learns else ""
        written = WrittenCut(write_dataset(self._parts, data), learnt, len(cut.history))
        if learns and anchored_as == role:
            self._used[self._key(recipe, role, facts)] = written
        return self._row(role, cut.spec.ticker, cut.spec.cutoff, facts, written, cut.reason)

    def keep(self) -> None:
        """Write what the next session finds again."""
        self._parts.artifacts.write_derived(
            self._file,
            json.dumps({key: astuple(each) for key, each in self._used.items()}).encode(),
        )

    def _found(
        self,
        recipe: PriceRecipe,
        role: str,
        ticker: str,
        cutoff: dt.date,
        facts: CutFacts,
    ) -> dict[str, object] | None:
        """Return the DATASETS row of what a network learns from; None: it has to be cut.

        Args:
            facts: of the history that it is cut from.
        """
        key = self._key(recipe, role, facts)
        written = self._used.get(key) or self._known.get(key)
        if written is None or not self._is_there(written.dataset):
            return None
        self._used[key] = written
        return self._row(role, ticker, cutoff, facts, written, "")

    def _row(
        self,
        role: str,
        ticker: str,
        cutoff: dt.date,
        facts: CutFacts,
        written: WrittenCut,
        reason: str,
    ) -> dict[str, object]:
        return {
            **self._run.key,
            "ticker": ticker,
            "role": role,
            "dataset_cutoff": cutoff,
            **asdict(written),
            "reason": reason,
            "known_at": facts.known_at,
        }

    def _key(self, recipe: PriceRecipe, role: str, facts: CutFacts) -> str:
        """Return a digest of all that decides on a dataset and on its training part."""
        # The default recipe is tested on the sessions of the other one, whose facts these are.
        tested_as = "default" if role == "default" else ""
        regression = self._anchoring.name_of(role)
        about = [recipe.name, tested_as, facts.digest, recipe.peeks, regression, code_version()]
        return digest_of(about, DIGEST_DIGITS)

    def _is_there(self, dataset: str) -> bool:
        """Return whether a dataset's file is there and whole; it counts as used."""
        try:
            read_dataset(self._parts, dataset)
        except StockcastError:  # it is made again, or says what is wrong
            return False
        self._parts.artifacts.renew(dataset_file(dataset))
        return True
