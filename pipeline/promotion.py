"""Whose forecast is published: this training cutoff's network, the one before it, or a baseline. Pure.

All candidates are measured on the same validation sessions by their mean pinball loss, beside their RMSE. The network of the previous cutoff is
the incumbent: this cutoff's takes its place on evidence, and not on a tie. Either must not be worse than the random walk with EWMA volatility
by that evidence, and must pass the floor on test. Test never chooses between networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from pipeline.evidence import CONFIDENCE, difference


@dataclass(frozen=True, eq=False)
class Candidate:
    """A forecaster on the validation and test sessions that all candidates share.

    Attributes:
        name: the role: "lstm" (the current training cutoff), "previous" or "pooled"; or a baseline's name.
        losses: (n,) mean pinball loss of each validation session, over quantiles and horizons, as a fraction of the price.
        errors: (n,) squared error of the median of each validation session, relative to the naive forecast's mean, mean of all horizons.
        test_loss: mean pinball loss on test, relative to the EWMA random walk's.
        test_rmse: of the median, relative to the naive forecast's on test, mean of all horizons.
    """

    name: str
    model_id: str
    losses: np.ndarray
    errors: np.ndarray
    test_loss: float
    test_rmse: float


@dataclass(frozen=True)
class Decision:
    """Who is published; `baseline`: what a network is mixed with, and what is published where none is."""

    champion: str
    model_id: str
    baseline: str
    reasons: tuple[str, ...]


def decide(
    networks: list[Candidate],
    naive: Candidate,
    ewma: Candidate,
    floor: float,
    sessions: tuple[date, date],
    no_network: str = "",
    leak: str = "",
) -> Decision:
    """The candidate to publish, with the sessions, the figures and a reason for each that was looked at.

    Args:
        networks: the current one, then the incumbent, where there are any.
        floor: test loss may exceed the EWMA random walk's, and test RMSE naive's, by this fraction.
        sessions: first and last validation session.
        no_network: why the stock has no network of its own, where it has none.
        leak: how the networks have peeked, if they have: figures that owe something to the test sessions are never published.
    """
    against_naive = difference(ewma.losses, naive.losses)
    fallback = naive if against_naive.worse else ewma
    reasons = [
        f"validation {sessions[0]} to {sessions[1]}, mean pinball loss: "
        + ", ".join(f"{each.name} {each.losses.mean():.4%}" for each in (naive, ewma, *networks))
        + f" of the price, differences with their {CONFIDENCE:.0%} interval",
        f"ewma against naive: {against_naive}",
    ]
    if no_network and networks:
        reasons.append(f"{no_network}: the one of all stocks is looked at")
    reasons += [_figures(network, naive, ewma) for network in networks]
    if leak and networks:
        reasons.append(f"never published, because it has peeked ({leak}): {fallback.name} is")
        return Decision(fallback.name, fallback.model_id, fallback.name, tuple(reasons))
    passed = []
    for network in networks:
        fault = _fault(network, fallback, floor)
        if fault:
            reasons.append(f"{network.name} is not published: {fault}")
        else:
            passed.append(network)
    if not passed:
        reasons.append(f"{no_network or 'no network passes'}: {fallback.name} is published")
        return Decision(fallback.name, fallback.model_id, fallback.name, tuple(reasons))
    champion = passed[0]
    if len(passed) > 1:
        challenger, incumbent = passed[:2]
        evidence = difference(challenger.losses, incumbent.losses)
        champion = challenger if evidence.better else incumbent
        verdict = "takes its place" if evidence.better else "is no better on this evidence, so the incumbent stays"
        reasons.append(f"{challenger.name} against {incumbent.name}: {evidence}: {challenger.name} {verdict}")
    reasons.append(f"{champion.name} is published")
    return Decision(champion.name, champion.model_id, fallback.name, tuple(reasons))


def _fault(network: Candidate, baseline: Candidate, floor: float) -> str:
    # Written so that NaN fails.
    evidence = difference(network.losses, baseline.losses)
    if not evidence.low <= 0:
        return f"worse than {baseline.name} on this evidence, {evidence}"
    if not network.test_loss <= 1 + floor:
        return f"pinball loss {network.test_loss:.4f} of ewma's on test, at most {1 + floor:.4f} allowed"
    if not network.test_rmse <= 1 + floor:
        return f"RMSE {network.test_rmse:.4f} of naive's on test (mean of all horizons), at most {1 + floor:.4f} allowed"
    return ""


def _figures(network: Candidate, naive: Candidate, ewma: Candidate) -> str:
    return (
        f"{network.name} against ewma: {difference(network.losses, ewma.losses)}, RMSE against naive: "
        f"{difference(network.errors, naive.errors).root}, on test {network.test_loss:.4f} of ewma's loss and {network.test_rmse:.4f} of naive's RMSE"
    )
