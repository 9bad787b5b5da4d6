"""HAR regressions on price histories: all stocks of a universe side by side."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Array, Floats
from pipeline.models import har, panel_of
from pipeline.research.network_blends import pooled_har
from pipeline.windows import decode, encode

if TYPE_CHECKING:
    from pipeline.sessions import Calendar


@dataclass(frozen=True, eq=False)
class HarForecasts:
    """A regression's forecasts of all stocks, from its training cutoff on.

    Attributes:
        cutoffs: datetime64[D] (n,), the sessions that are forecast from.
        by_ticker: quantiles in prices (n, H, Q); NaN where there is nothing to forecast from.
    """

    cutoffs: Array
    by_ticker: Mapping[str, Floats]

    def at(self, ticker: str, origins: Array) -> Floats:
        """Return a ticker's quantiles (m, H, Q) at sessions that are all among the cutoffs."""
        return self.by_ticker[ticker][np.searchsorted(self.cutoffs, origins)]


def anchored_files(
    files: Mapping[str, bytes], histories: Mapping[str, pd.DataFrame], calendar: Calendar
) -> dict[str, bytes]:
    """Return dataset files with what `har` forecasts, where a recipe's networks correct it.

    It is fitted on what networks learn from, on the histories of all stocks.

    Args:
        files: by ticker, all of one recipe, target and horizon.
        histories: masked HISTORY by ticker; those of the files among them.
    """
    specs = {ticker: decode(file)[0] for ticker, file in files.items()}
    spec = next(iter(specs.values()), None)
    if spec is None or not spec.normalisation.of_shocks or spec.smoothing:
        return dict(files)
    regression = pooled_har(histories, spec, calendar)
    if regression is None:
        return dict(files)
    return {
        ticker: encode(*regression.of(ticker).anchoring(histories[ticker], specs[ticker]))
        for ticker in files
    }


def har_forecasts(
    name: str,
    histories: Mapping[str, pd.DataFrame],
    target: str,
    horizon: int,
    fitted_through: dt.date,
    calendar: Calendar,
) -> HarForecasts:
    """Fit a regression on all stocks up to a session, and forecast from there to the end.

    Args:
        name: one of `har.HAR_NAMES`.
        histories: masked HISTORY by ticker, a row per session.

    Raises:
        NotEnoughHistory: there are too few sessions before to fit anything.
    """
    panel = panel_of(histories, target, horizon, calendar)
    fitted = int(np.searchsorted(panel.sessions, np.datetime64(fitted_through), "right")) - 1
    quantiles = har.forecast(name, panel, horizon, max(fitted, 0))
    by_ticker = {ticker: quantiles[:, stock] for stock, ticker in enumerate(histories)}
    return HarForecasts(panel.sessions[max(fitted, 0) :], by_ticker)
