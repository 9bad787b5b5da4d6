"""The line that moves the median of `har`: where the last price of a session is a poor forecast.

A high is best forecast from all prices of its session: it is far above a close that ended low. The
line is a ridge regression of the change ahead, in multiples of its deviation, on how far the
session's open, high, low and close are from the target. What the same line, fitted a year of
sessions before, has gained since is the evidence for it; it is shrunk by that (see `_evidence`). A
close is worth no line, and hardly ever has one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.arrays import Floats
from pipeline.errors import NotEnoughHistory
from pipeline.models.har_features import Panel, later, stock_blocks
from pipeline.models.har_ridge import CHOOSING_SESSIONS, RidgeSums, StockInputs

#: The open, high, low and close of a session, and 1.
LINE_INPUTS = 5
#: A price is no farther from the target than this many deviations.
MOST_DISTANCE = 10.0


def fitted_lines(panel: Panel, deviations: Floats, fitted: int) -> Floats:
    """Return intercept and slopes of each horizon's line, (H, `LINE_INPUTS`); 0: no line.

    Args:
        deviations: (H, T, S), of the log changes ahead.
        fitted: the row of the last session that anything is fitted on.
    """
    lines = np.zeros((len(deviations), LINE_INPUTS))
    for ahead, deviation in enumerate(deviations, start=1):
        shocks = _Shocks(panel, deviations[0], deviation, ahead)
        end = fitted + 1 - ahead
        try:
            before = shocks.line(end - CHOOSING_SESSIONS - ahead)
        except NotEnoughHistory:  # nothing speaks for a line
            continue
        since = slice(max(end - CHOOSING_SESSIONS, 0), end)
        weight = _evidence(*shocks.forecast(before, since), ahead)
        if weight:
            lines[ahead - 1] = weight * shocks.line(end)
    return lines


class _Shocks:
    """The changes some sessions ahead, in multiples of their deviations, and their inputs.

    Args:
        first: (T, S), the deviations of the session ahead, in which distances are measured.
        deviation: (T, S), those of the changes.
    """

    def __init__(self, panel: Panel, first: Floats, deviation: Floats, ahead: int) -> None:
        self._panel, self._first, self._deviation = panel, first, deviation
        self._ahead = ahead

    def line(self, end: int) -> Floats:
        """Return intercept and slopes that are learnt before a row.

        Raises:
            NotEnoughHistory: there is too little to learn them from.
        """
        sums = RidgeSums(end, self._ahead)
        for _, inputs, shocks in self._blocks():
            sums.add(inputs, shocks)
        return sums.coefficients()

    def forecast(self, line: Floats, rows: slice) -> tuple[Floats, Floats]:
        """Return the shocks of some rows, and what a line forecasts of them, (n, S) each."""
        size = len(self._panel.sessions[rows]), self._panel.target.shape[1]
        actual, values = np.empty(size), np.empty(size)
        for part, inputs, shocks in self._blocks():
            actual[:, part] = shocks[rows]
            values[:, part] = _values(inputs, line)[rows]
        return actual, values

    def _blocks(self) -> Iterator[tuple[slice, list[StockInputs], Floats]]:
        for part in stock_blocks(self._panel):
            own = self._panel.stocks(part)
            logs = own.target_logs
            shocks = (later(logs, self._ahead) - logs) / self._deviation[:, part]
            yield part, _inputs(own, self._first[:, part]), shocks


def centres_of(panel: Panel, deviations: Floats, lines: Floats) -> Floats:
    """Return how far the lines move log changes, (H, T, S); 0 where a price is not known."""
    centres = np.zeros(deviations.shape)
    if not lines.any():  # of closes: nothing to work out, and hardly any memory
        return centres
    for part in stock_blocks(panel):
        inputs = _inputs(panel.stocks(part), deviations[0][:, part])
        for at, line in enumerate(lines):
            moved = _values(inputs, line)
            moved *= deviations[at][:, part]
            centres[at][:, part] = np.nan_to_num(moved, copy=False)
    return centres


def _inputs(panel: Panel, deviation: Floats) -> list[StockInputs]:
    """Return how far each session's prices are from the target, in deviations of a session."""
    target = panel.target_logs
    if panel.steps is not None:  # the bars are those that the last session sees
        target = target + np.log(panel.steps).sum(axis=0)
    # In place: next to each other they would take three times the memory.
    distances = np.log(panel.bars[:, :, :4])
    distances -= target[..., None]
    distances /= deviation[..., None]
    np.clip(distances, -MOST_DISTANCE, MOST_DISTANCE, out=distances)
    return [(of_stock,) for of_stock in distances.transpose(1, 0, 2)]


def _values(inputs: list[StockInputs], line: Floats) -> Floats:
    """Return a line's values, (T, S)."""
    return np.column_stack([line[0] + distances @ line[1:] for (distances,) in inputs])


def _evidence(shocks: Floats, values: Floats, ahead: int) -> float:
    """Return how much of a line to keep; one that moves all alike has gained nothing.

    Args:
        shocks, values: (n, S), what came and what the line has forecast.
    """
    from pipeline.measures import kept_share  # it imports pandas

    known = np.isfinite(shocks + values)
    if not known.any():
        return 0.0
    errors = np.where(known, shocks - values, np.nan)
    squares = [(each - np.nanmean(each)) ** 2 for each in (np.where(known, shocks, np.nan), errors)]
    gains = np.nanmean((squares[0] - squares[1])[known.any(axis=1)], axis=1)
    return kept_share(gains, ahead)
