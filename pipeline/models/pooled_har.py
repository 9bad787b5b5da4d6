"""`har` as it was fitted on all stocks of a universe: kept in a file, and asked on later sessions.

It is neither a network nor a formula of one series: what it forecasts of a stock depends on what
the others did. So all stocks are asked at once; what is said of each is taken from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.arrays import Array, Floats
from pipeline.models import har
from pipeline.models.baselines import BASELINES
from pipeline.models.har_features import Panel
from pipeline.models.har_medians import centres_of, fitted_lines
from pipeline.windows import Spec, with_anchors

if TYPE_CHECKING:
    import pandas as pd

#: The names of all that needs no network and may be published.
STANDING = (*BASELINES, har.HAR)


class SeenWindows(Protocol):
    """Windows, or the part of them that `har` looks at."""

    @property
    def last(self) -> Floats:
        """Dollars (n,): the target at each window's last session."""

    @property
    def unit(self) -> Floats:
        """Dollars (n,): one recent volatility."""

    @property
    def origins(self) -> Array:
        """datetime64[D] (n,): that session."""


@dataclass(frozen=True, eq=False)
class StockHar:
    """The forecasts of one stock by `har`: windows -> dollars (n, H, Q).

    Attributes:
        shape: (H, Q), the quantiles of the log change around its centre, in multiples of what is
            forecast for it.
        sessions: datetime64[D] (n,), in order.
        deviations: (n, H), what it forecasts from each; NaN where a stock has only been listed.
        centres: (n, H), how far the log change is moved (see `har_medians`).
    """

    shape: Floats
    sessions: Array
    deviations: Floats
    centres: Floats

    def __call__(self, windows: SeenWindows) -> Floats:
        """Return the quantiles; from a session that it knows nothing of, by EWMA volatility."""
        centres, deviations = self.at(windows.origins)
        roots = np.sqrt(np.arange(1, len(self.shape) + 1))
        usual = (windows.unit / windows.last)[:, None] * roots
        deviations = np.where(np.isfinite(deviations), deviations, usual)
        ahead = centres[..., None] + deviations[..., None] * self.shape
        quantiles: Floats = windows.last[:, None, None] * np.exp(ahead)
        return quantiles

    def at(self, origins: Array) -> tuple[Floats, Floats]:
        """Return centres and deviations from some sessions, (m, H) each.

        Where they are not known, centres are 0 and deviations NaN.
        """
        rows = np.searchsorted(self.sessions, origins)
        found = np.append(self.sessions, np.datetime64("NaT"))[rows] == origins
        rows = np.where(found, rows, len(self.sessions))
        centres, deviations = (
            np.concatenate([known, np.full((1, len(self.shape)), otherwise)])[rows]
            for known, otherwise in ((self.centres, 0.0), (self.deviations, np.nan))
        )
        return centres, deviations

    def among(self, origins: Array) -> StockHar:
        """Return what it forecasts from these sessions alone."""
        sessions = np.unique(origins)
        centres, deviations = self.at(sessions)
        return StockHar(self.shape, sessions, deviations, centres)

    def anchoring(self, history: pd.DataFrame, spec: Spec) -> tuple[pd.DataFrame, Spec]:
        """Return a history with what it forecasts in columns, and a spec with its shape."""
        days = history["session"].to_numpy().astype("datetime64[D]")
        anchored = with_anchors(history, *self.at(days))
        return anchored, replace(spec, anchor=tuple(map(tuple, self.shape.tolist())))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a file keeps."""
        return {
            "har shape": self.shape,
            "har sessions": self.sessions,
            "har deviations": self.deviations.astype("float32"),
            "har centres": self.centres.astype("float32"),
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray]) -> StockHar | None:
        """Return what a file keeps; None: nothing, as in files of earlier versions."""
        if "har shape" not in arrays:
            return None
        deviations = arrays["har deviations"].astype("float64")
        # Versions before the line moved nothing.
        centres = arrays.get("har centres", np.zeros(deviations.shape)).astype("float64")
        return cls(arrays["har shape"], arrays["har sessions"], deviations, centres)


@dataclass(frozen=True, eq=False)
class PooledHar:
    """`har` on the prices of all stocks.

    Attributes:
        coefficients: (H, 1 + inputs), the intercept first.
        with_market: whether the mean of all stocks is among the inputs.
        lines: (H, `LINE_INPUTS`), of the median.
        shape: (H, Q), that of all stocks.
        tickers: the stocks that are asked.
        shapes: (S, H, Q), of each.
        sessions: datetime64[D] (n,), also those that it was fitted on.
        deviations, centres: (S, n, H), what it forecasts from them, as files keep it, in float32.
    """

    coefficients: Floats
    with_market: bool
    lines: Floats
    shape: Floats
    tickers: tuple[str, ...]
    shapes: Floats
    sessions: Array
    deviations: Array
    centres: Array

    @classmethod
    def fitted(cls, panel: Panel, tickers: Sequence[str], horizon: int, row: int) -> PooledHar:
        """Return `har` fitted on a panel up to a row, and what it forecasts from there on.

        Raises:
            NotEnoughHistory: there is too little to fit anything on.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            # Its inputs, the largest of all, are not needed any more.
            coefficients, deviations = har.fitted_ridge(panel, horizon, row)
            lines = fitted_lines(panel, deviations, row)
            centres = centres_of(panel, deviations, lines)
            shapes, shape = har.shapes_of(panel, centres, deviations, row)
        return cls(
            coefficients,
            har.has_market(panel),
            lines,
            shape,
            tuple(tickers),
            shapes,
            panel.sessions,
            _kept(deviations),
            _kept(centres),
        )

    def on(self, panel: Panel, tickers: Sequence[str]) -> PooledHar:
        """Return what it forecasts on another panel.

        A stock that it was not fitted on has the shape of all.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            deviations = har.RidgeInputs(panel, self.with_market).deviations(self.coefficients)
            centres = centres_of(panel, deviations, self.lines)
        own = dict(zip(self.tickers, self.shapes, strict=True))
        return replace(
            self,
            tickers=tuple(tickers),
            shapes=np.stack([own.get(ticker, self.shape) for ticker in tickers]),
            sessions=panel.sessions,
            deviations=_kept(deviations),
            centres=_kept(centres),
        )

    def of(self, ticker: str) -> StockHar:
        """Return what it forecasts of one of its stocks."""
        at = self.tickers.index(ticker)
        deviations, centres = (
            each[at].astype("float64") for each in (self.deviations, self.centres)
        )
        return StockHar(self.shapes[at], self.sessions, deviations, centres)


def _kept(forecasts: Floats) -> Array:
    """Return deviations or centres (H, n, S) as files keep them, (S, n, H)."""
    return np.ascontiguousarray(forecasts.transpose(2, 1, 0), dtype="float32")
