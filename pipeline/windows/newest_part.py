"""The newest part of a history: the rows that its last window is cut from, and that window."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.windows.cutting import (
    CARRIED,
    cut_windows,
    last_fitted_session,
    require_forecastable,
)
from pipeline.windows.dataset import Windows
from pipeline.windows.dataset_file import (
    STORED_COLUMNS,
    StoredHistory,
    fitted_through,
    read_history,
)
from pipeline.windows.replays import first_needed_row


@dataclass(frozen=True, eq=False)
class NewestPart:
    """The last rows of a dataset file.

    Attributes:
        rows: as many as the last window needs.
        fitted_through: the last session that the normalisation is fitted on.
    """

    rows: StoredHistory
    fitted_through: np.datetime64

    @classmethod
    def of_file(cls, data: bytes, fitted_on: bytes | None = None) -> NewestPart:
        """Return the newest part of a dataset file.

        Args:
            fitted_on: see `load_dataset`.
        """
        stored = read_history(data)
        carried = [STORED_COLUMNS.index(name) for name in CARRIED]
        whole = ~np.isnan(stored.values[:, carried]).any(axis=1)
        rows = slice(first_needed_row(whole, stored.spec, 0), None)
        part = replace(
            stored,
            sessions=stored.sessions[rows],
            values=stored.values[rows],
            anchors={name: values[rows] for name, values in stored.anchors.items()},
        )
        through = fitted_through(fitted_on)
        if through is None:
            is_fitted = stored.spec.normalisation.is_fitted
            through = (
                last_fitted_session(stored.history(), stored.spec)
                if is_fitted
                else stored.sessions[-1]
            )
        return cls(part, through)

    def window(self) -> Windows:
        """Return the last window; it is that of `load_replay`.

        Raises:
            LookAtTheData: there is nothing to forecast from at the last session.
        """
        history = self.rows.history()
        require_forecastable(history, self.rows.spec)
        return cut_windows(history, self.rows.spec, self.fitted_through).take(slice(-1, None))
