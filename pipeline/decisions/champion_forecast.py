"""Champion forecasts: from a stock's newest window to what is published of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Floats
from pipeline.decisions import blending
from pipeline.decisions.choice import Observed
from pipeline.decisions.evaluation import stored_precision
from pipeline.joint import outer_quantiles
from pipeline.measures import calibration
from pipeline.models import STANDING, FittedBaseline, StockHar
from pipeline.quantiles import INTERVALS, MEDIAN, OUTER_LEVEL, around


@dataclass(frozen=True, eq=False)
class ChampionForecast:
    """All but the network that makes what a session publishes from a stock's newest window.

    Attributes:
        champion, model_id: as in PROMOTIONS.
        weight: the network's share; 0: a baseline is published alone.
        baseline: its name; it has the rest.
        fitted: the baseline; None: the network has all.
        growth: (3,), logs of the factors of `INTERVALS` (see `calibration`).
        left: (H,), the share of the price that declared dividends leave.
        spread: (H, Q), the errors that a network of points has made on validation, in multiples of
            the volatility; None: the network forecasts quantiles.
    """

    champion: str
    model_id: str
    weight: float
    baseline: str
    fitted: FittedBaseline | StockHar | None
    growth: Floats
    left: Floats
    spread: Floats | None = None

    @property
    def is_of_network(self) -> bool:
        """True where a network has a share."""
        return self.champion not in STANDING

    def __call__(self, observed: Observed, predictions: Floats | None = None) -> Floats:
        """Return the published quantiles, prices (H, Q).

        Args:
            observed: of the newest window alone.
            predictions: the network's, prices (1, H, Q), or points (1, H); None: there is none.
        """
        network = None if predictions is None else self._quantiles(observed, predictions)
        if network is None or self.fitted is None:
            raw = network if self.fitted is None else self.fitted(observed)
        else:
            raw = blending.blend(network, self.fitted(observed), self.weight)
        if raw is None:
            raise ValueError(f"{self.champion} has neither a network nor a baseline.")
        quantiles: Floats = calibration.widened(raw, self.growth)[0] * self.left[:, None]
        return quantiles

    def _quantiles(self, observed: Observed, predictions: Floats) -> Floats:
        if self.spread is not None:
            predictions = around(predictions, observed.unit, self.spread)
        return stored_precision(np.maximum(predictions, 0.0))


def published_columns(quantiles: Floats) -> dict[str, Floats]:
    """Return quantiles (H, Q) as the columns of FORECASTS, each (H,)."""
    bounds = {level: quantiles[:, places] for level, places in INTERVALS.items()}
    bounds[OUTER_LEVEL] = outer_quantiles(quantiles)
    return {
        "y_hat": quantiles[:, MEDIAN],
        **{
            f"{side}_{level}": pair[:, place]
            for level, pair in bounds.items()
            for place, side in enumerate(("lower", "upper"))
        },
    }
