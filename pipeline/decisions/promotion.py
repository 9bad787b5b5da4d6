"""Promotion: this training cutoff's network is published, the one before it, or a baseline. Pure.

All candidates are measured on the same validation sessions by their mean pinball loss, and by their
RMSE next to it. The network of the previous cutoff is the incumbent: this cutoff's takes its place
on evidence, and not on a tie. Either must not be worse than the baseline by that evidence, and must
pass the floor on test. The baseline is the regression of all stocks (`har`) where that can be said
of it as well, else the random walk with EWMA volatility, or naive where that is better on the
evidence. Test never chooses between networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from pipeline.measures import CONFIDENCE, difference


@dataclass(frozen=True, eq=False)
class Candidate:
    """A forecaster on the validation and test sessions that all candidates share.

    Attributes:
        name: the role: "lstm" (the current training cutoff), "previous" or "pooled"; or a
            baseline's name.
        losses: (n,) mean pinball loss of each validation session, over quantiles and horizons, as a
            fraction of the price.
        errors: (n,) squared error of the median of each validation session, relative to the naive
            forecast's mean, mean of all horizons.
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
    """The forecaster that is published for a stock, and why.

    Attributes:
        baseline: what a network is blended with, and what is published where none is.
    """

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
    horizon: int,
    no_network: str = "",
    leak: str = "",
    har: Candidate | None = None,
) -> Decision:
    """Return the candidate to publish, with the figures and a reason for each candidate.

    Args:
        networks: the current one, then the incumbent, where there are any.
        floor: test loss may exceed the EWMA random walk's, and test RMSE naive's, by this fraction.
        sessions: first and last validation session.
        horizon: sessions ahead that are forecast.
        no_network: why the stock has no network of its own, where it has none.
        leak: how the networks have peeked, if they have: figures that owe something to the test
            sessions are never published.
        har: the regression of all stocks; None: it was not fitted.
    """
    against_naive = difference(ewma.losses, naive.losses, horizon)
    fallback = naive if against_naive.worse else ewma
    all_of_them = [naive, ewma, *([har] if har else []), *networks]
    reasons = [
        f"validation {sessions[0]} to {sessions[1]}, mean pinball loss: "
        + ", ".join(f"{each.name} {each.losses.mean():.4%}" for each in all_of_them)
        + f" of the price, differences with their {CONFIDENCE:.0%} interval",
        f"ewma against naive: {against_naive}",
    ]
    if har:
        reasons.append(_figures(har, naive, ewma, horizon))
        fault = _fault(har, fallback, floor, horizon)
        reasons += [f"{har.name} is no baseline: {fault}"] if fault else []
        fallback = fallback if fault else har
    if no_network and networks:
        reasons.append(f"{no_network}: the one of all stocks is looked at")
    reasons += [_figures(network, naive, ewma, horizon) for network in networks]
    if fallback is har:
        reasons += [
            f"{network.name} against {har.name}: {difference(network.losses, har.losses, horizon)}"
            for network in networks
        ]
    if leak and networks:
        reasons.append(f"never published, because it has peeked ({leak}): {fallback.name} is")
        return _decision(fallback, fallback, reasons)
    faults = [(network, _fault(network, fallback, floor, horizon)) for network in networks]
    reasons += [f"{network.name} is not published: {fault}" for network, fault in faults if fault]
    passed = [network for network, fault in faults if not fault]
    if not passed:
        reasons.append(f"{no_network or 'no network passes'}: {fallback.name} is published")
        return _decision(fallback, fallback, reasons)
    champion = passed[0]
    if len(passed) > 1:
        champion, reason = _better(passed[0], passed[1], horizon)
        reasons.append(reason)
    reasons.append(f"{champion.name} is published")
    return _decision(champion, fallback, reasons)


def _decision(champion: Candidate, fallback: Candidate, reasons: Sequence[str]) -> Decision:
    return Decision(champion.name, champion.model_id, fallback.name, tuple(reasons))


def _better(challenger: Candidate, incumbent: Candidate, horizon: int) -> tuple[Candidate, str]:
    """Return the challenger where the evidence is for it, else the incumbent; and the reason."""
    evidence = difference(challenger.losses, incumbent.losses, horizon)
    verdict = "is no better on this evidence, so the incumbent stays"
    if evidence.better:
        verdict = "takes its place"
    return (
        challenger if evidence.better else incumbent,
        f"{challenger.name} against {incumbent.name}: {evidence}: {challenger.name} {verdict}",
    )


def _fault(network: Candidate, baseline: Candidate, floor: float, horizon: int) -> str:
    """Return why a network may not be published; "" where it may."""
    # Written so that NaN fails.
    evidence = difference(network.losses, baseline.losses, horizon)
    if not evidence.low <= 0:
        return f"worse than {baseline.name} on this evidence, {evidence}"
    limit = f"at most {1 + floor:.4f} allowed"
    if not network.test_loss <= 1 + floor:
        return f"pinball loss {network.test_loss:.4f} of ewma's on test, {limit}"
    if not network.test_rmse <= 1 + floor:
        return f"RMSE {network.test_rmse:.4f} of naive's on test (mean of all horizons), {limit}"
    return ""


def _figures(network: Candidate, naive: Candidate, ewma: Candidate, horizon: int) -> str:
    rmse = difference(network.errors, naive.errors, horizon).root
    against_ewma = difference(network.losses, ewma.losses, horizon)
    return (
        f"{network.name} against ewma: {against_ewma}, "
        f"RMSE against naive: {rmse}, on test {network.test_loss:.4f} of ewma's loss and "
        f"{network.test_rmse:.4f} of naive's RMSE"
    )
