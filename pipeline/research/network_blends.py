"""Networks of one training cutoff, blended with a baseline and calibrated as a day does it.

The baseline is `har` unless validation is against it; a network that is worse on validation has no
weight. No figure of the test sessions decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.decisions import (
    Choice,
    Contestant,
    EvaluationSet,
    SplitForecasts,
    blending,
    calibrated_tests,
    choose,
)
from pipeline.errors import NotEnoughHistory
from pipeline.models import PooledHar, panel_of
from pipeline.windows import Dataset, Spec, last_learnt_row

if TYPE_CHECKING:
    from pipeline.sessions import Calendar


@dataclass(frozen=True, eq=False)
class NetworkBlend:
    """A network's blend with a baseline.

    Attributes:
        baseline: its name.
        weight: the network's.
        blend: as it is, before calibration.
        calibrated: the test windows' quantiles, prices (n, H, Q).
    """

    baseline: str
    weight: float
    blend: SplitForecasts
    calibrated: Floats


def pooled_har(
    histories: Mapping[str, pd.DataFrame], spec: Spec, calendar: Calendar
) -> PooledHar | None:
    """Return `har` fitted on what networks learn from; None: it is too little.

    Args:
        histories: masked HISTORY of all stocks by ticker, a row per session.
        spec: how the longest of them is cut.
    """
    panel = panel_of(histories, spec.target, spec.horizon, calendar)
    row = last_learnt_row(panel.sessions, spec)
    try:
        return PooledHar.fitted(panel, tuple(histories), spec.horizon, row)
    except NotEnoughHistory:
        return None


def network_choice(
    dataset: Dataset, network: SplitForecasts, regression: PooledHar | None
) -> Choice:
    """Return a day's choice by validation alone: the floor on test is left out.

    Args:
        regression: of all stocks; None: it was not fitted.
    """
    ticker = dataset.spec.ticker
    own = regression.of(ticker) if regression else None
    stock = EvaluationSet(ticker, ticker, dataset, own)
    contestant = Contestant("lstm", f"network of {ticker}", dataset.spec.cutoff)
    return choose(stock, [(contestant, network)], np.inf, no_network="", leak="", headline="")


def network_blends(choices: Mapping[str, Choice]) -> dict[str, NetworkBlend]:
    """Return the blend of each stock's network, by ticker.

    Args:
        choices: of `network_choice`.
    """
    weights = dict.fromkeys(choices, 0.0) | blending.network_weights(
        {ticker: choice.loss_curve() for ticker, choice in choices.items() if choice.has_network}
    )
    blends = {ticker: _blend(choice, weights[ticker]) for ticker, choice in choices.items()}
    calibrated = calibrated_tests(choices, blends)
    return {
        ticker: NetworkBlend(
            choice.decision.baseline, weights[ticker], blends[ticker], calibrated[ticker]
        )
        for ticker, choice in choices.items()
    }


def _blend(choice: Choice, weight: float) -> SplitForecasts:
    baseline = choice.baseline(choice.decision.baseline)
    return choice.forecasts.blended(baseline, weight) if choice.forecasts else baseline
