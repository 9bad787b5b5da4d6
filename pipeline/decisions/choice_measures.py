"""Measures of a choice: what its network and its baselines lose on validation and on test. Pure.

They stay the same until the choice is made again: a backfill measures them once for all sessions
between two trainings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from pipeline.arrays import Floats
from pipeline.decisions import blending
from pipeline.decisions.choice import Choice
from pipeline.decisions.evaluation import SplitForecasts
from pipeline.measures import calibration
from pipeline.models import EWMA, HAR
from pipeline.quantiles import losses

#: Losses of baselines by their names; NaN: it was not fitted.
RivalLosses: TypeAlias = Mapping[str, float]


@dataclass
class ChoiceMeasures:
    """The measures of choices that each session asks for until they are made again.

    Attributes:
        curves: by the identity of a choice, its `loss_curve`.
        rivals: likewise, its `rival_losses`.
    """

    curves: dict[str, blending.LossCurve] = field(default_factory=dict)
    rivals: dict[str, RivalLosses] = field(default_factory=dict)

    def curve(self, identity: str, choice: Choice) -> blending.LossCurve:
        """Return the loss curve of a choice, computed once."""
        if identity not in self.curves:
            self.curves[identity] = choice.loss_curve()
        return self.curves[identity]

    def rivals_of(
        self, identities: Mapping[str, str], choices: Mapping[str, Choice]
    ) -> dict[str, RivalLosses]:
        """Return `rival_losses`, each computed once.

        Args:
            identities, choices: by ticker.
        """
        lacking = {t: own for t, own in choices.items() if identities[t] not in self.rivals}
        if lacking:
            self.rivals |= {identities[t]: own for t, own in rival_losses(lacking).items()}
        return {ticker: self.rivals[identities[ticker]] for ticker in choices}

    def forget_but(self, identities: Iterable[str]) -> None:
        """Forget all other choices."""
        kept = {*identities}
        self.curves = {each: own for each, own in self.curves.items() if each in kept}
        self.rivals = {each: own for each, own in self.rivals.items() if each in kept}


def rival_losses(choices: Mapping[str, Choice]) -> dict[str, RivalLosses]:
    """Return by ticker the mean losses of `EWMA` and `HAR` on test, calibrated."""
    tests = {name: _calibrated_baselines(choices, name) for name in (EWMA, HAR)}
    return {
        ticker: {name: mean_loss(choice, own.get(ticker)) for name, own in tests.items()}
        for ticker, choice in choices.items()
    }


def mean_loss(choice: Choice, calibrated: Floats | None) -> float:
    """Return the mean loss of a choice's test forecasts; NaN: there are none."""
    if calibrated is None:
        return float("nan")
    each = losses(choice.test.actual, calibrated, choice.test.last)
    mean: float = each.mean(axis=0).mean()
    return mean


def _calibrated_baselines(choices: Mapping[str, Choice], name: str) -> dict[str, Floats]:
    """Return `calibrated_tests` of a baseline, by the tickers that it was fitted for."""
    fitted = {t: choice for t, choice in choices.items() if name != HAR or choice.har is not None}
    return calibrated_tests(fitted, {t: choice.baseline(name) for t, choice in fitted.items()})


def calibrated_tests(
    choices: Mapping[str, Choice], forecasts: Mapping[str, SplitForecasts]
) -> dict[str, Floats]:
    """Return the test windows' quantiles (n, H, Q), calibrated session by session.

    Each is calibrated by what was known at its last session, beginning with validation.
    """
    series = [
        (
            np.concatenate(
                [part.actual_with_dividends for part in (choice.validation, choice.test)]
            ),
            np.concatenate([forecasts[ticker].validation, forecasts[ticker].test]),
            np.concatenate([choice.validation.position, choice.test.position]),
        )
        for ticker, choice in choices.items()
    ]
    replays = zip(choices.items(), calibration.replay_all(series), strict=True)
    return {
        ticker: replay.quantiles[len(choice.validation.last) :]
        for (ticker, choice), replay in replays
    }
