"""Datasets of cuts, found again where an earlier session has written the same.

What networks learn from ends at a cutoff that many sessions share. As long as no revision touches
the sessions up to it, its datasets are the same bytes, and to make them takes most of the time of
`pretrain` and `build_windows`. So each batch of tickers keeps a file that says which dataset was
made of which history, by a digest of all that decides on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.daily.dataset_files import dataset_file, read_dataset, write_dataset
from pipeline.daily.regressions import Anchoring
from pipeline.daily.window_cuts import HistoryCut
from pipeline.errors import StockcastError
from pipeline.models import PriceRecipe
from pipeline.prices import Histories
from pipeline.run import Run
from pipeline.storage import content_digest, digest_of
from pipeline.tables import HISTORY
from pipeline.training import training_digest
from pipeline.version import code_version
from pipeline.windows import encode

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The columns of a history that decide on its dataset.
DECISIVE_COLUMNS = [name for name in HISTORY.columns if name not in ("ticker", "session")]


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
        histories: Histories,
        anchoring: Anchoring,
    ) -> None:
        self._parts, self._run = parts, run
        self._histories, self._anchoring = histories, anchoring
        self._file = f"cuts/{digest_of([run.series, step, list(tickers)])}.json"
        known = parts.artifacts.find_derived(self._file)
        #: By `_key`: the dataset, and the digest of its training part.
        self._known: dict[str, list[str]] = json.loads(known) if known else {}
        self._used: dict[str, list[str]] = {}

    def row(
        self, recipe: PriceRecipe, role: str, cut: HistoryCut, anchored_as: str
    ) -> dict[str, object]:
        """Write the dataset of a cut, where it is not there yet; return its DATASETS row.

        Args:
            anchored_as: the role of the datasets that have the same forecasts of `har`.
        """
        ticker, learns = cut.spec.ticker, role != "live" and not cut.reason
        if learns:
            dataset, learnt = self._learnt(recipe, cut, anchored_as)
        else:
            dataset, learnt = self._written(cut, anchored_as)[0], ""
        return {
            **self._run.key,
            "ticker": ticker,
            "role": role,
            "dataset_cutoff": cut.spec.cutoff,
            "dataset": dataset,
            "learnt": learnt,
            "sessions": len(cut.history),
            "reason": cut.reason,
            "known_at": self._histories.newest_revision(ticker, cut.spec.cutoff),
        }

    def keep(self) -> None:
        """Write what the next session finds again."""
        self._parts.artifacts.write_derived(
            self._file, json.dumps(self._used, sort_keys=True).encode()
        )

    def _learnt(self, recipe: PriceRecipe, cut: HistoryCut, anchored_as: str) -> tuple[str, str]:
        """Return the dataset that a network learns from, and the digest of its training part."""
        key = _key(recipe, cut, self._anchoring.name_of(anchored_as))
        found = self._used.get(key) or self._known.get(key)
        if not (found and self._is_there(found[0])):
            dataset, data = self._written(cut, anchored_as)
            found = [dataset, training_digest(data, recipe)]
        self._used[key] = found
        dataset, learnt = found
        return dataset, learnt

    def _written(self, cut: HistoryCut, anchored_as: str) -> tuple[str, bytes]:
        anchored = self._anchoring.anchored(cut, anchored_as)
        data = encode(anchored.history, anchored.spec)
        return write_dataset(self._parts, data), data

    def _is_there(self, dataset: str) -> bool:
        """Return whether a dataset's file is there and whole; it counts as used."""
        try:
            read_dataset(self._parts, dataset)
        except StockcastError:  # it is made again, or says what is wrong
            return False
        self._parts.artifacts.renew(dataset_file(dataset))
        return True


def _key(recipe: PriceRecipe, cut: HistoryCut, regression: str) -> str:
    """Return a digest of all that decides on a dataset and on its training part."""
    about = [cut.spec.to_json(), recipe.peeks, regression, code_version()]
    sessions, values = cut.history["session"], cut.history[DECISIVE_COLUMNS]
    return content_digest(
        json.dumps(about, sort_keys=True).encode()
        + sessions.to_numpy().tobytes()
        + values.to_numpy("float64").tobytes()
    )
