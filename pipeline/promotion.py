"""Whose forecast is published: this training cutoff's network, the one before it, or the naive forecast. Pure.

All candidates are measured on the same windows. A network is published when it is not worse than the naive forecast by more than a
margin on validation, and passes the floor on test; of two that are, the better on validation. Test never chooses between networks.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.models.baselines import NAIVE


@dataclass(frozen=True)
class Candidate:
    """A network and its RMSE relative to the naive forecast's on the same windows, mean of all horizons (below 1: better).

    `name` is the role: "lstm" (the current training cutoff) or "previous".
    """

    name: str
    model_id: str
    validation: float
    test: float


@dataclass(frozen=True)
class Decision:
    champion: str
    model_id: str
    reasons: tuple[str, ...]


def decide(candidates: list[Candidate], margin: float, floor: float, no_network: str = "", leak: str = "") -> Decision:
    """The candidate to publish, with a reason for each that was looked at; the naive forecast when none passes.

    Args:
        candidates: in order of preference at equal validation error.
        margin: validation RMSE may exceed naive's by this fraction.
        floor: test RMSE may exceed naive's by this fraction.
        no_network: why there are no candidates, when there are none.
        leak: how the candidates have peeked, if they have: figures that owe something to the test sessions are never published.
    """
    if leak and candidates:
        figures = [f"{candidate.name}: {_figures(candidate)}" for candidate in candidates]
        return Decision(NAIVE, NAIVE, (*figures, f"never published, because it has peeked ({leak}): the naive forecast is"))
    judged = [(candidate, _fault(candidate, margin, floor)) for candidate in candidates]
    reasons = [f"{candidate.name}: {fault or _figures(candidate)}" for candidate, fault in judged]
    passed = [candidate for candidate, fault in judged if not fault]
    if not passed:
        return Decision(NAIVE, NAIVE, (*reasons, no_network or "no network passes: the naive forecast is published"))
    best = min(passed, key=lambda candidate: candidate.validation)
    return Decision(best.name, best.model_id, (*reasons, f"{best.name} is published"))


def _fault(candidate: Candidate, margin: float, floor: float) -> str:
    if candidate.validation == candidate.test == 1:
        return "it learnt nothing that helped, and repeats the last price as the naive forecast does"
    # Written so that NaN fails.
    if not candidate.validation <= 1 + margin:
        return f"RMSE {candidate.validation:.4f} of naive's on validation (mean of all horizons), at most {1 + margin:.4f} allowed"
    if not candidate.test <= 1 + floor:
        return f"RMSE {candidate.test:.4f} of naive's on test (mean of all horizons), at most {1 + floor:.4f} allowed"
    return ""


def _figures(candidate: Candidate) -> str:
    return f"RMSE {candidate.validation:.4f} of naive's on validation, {candidate.test:.4f} on test (means of all horizons)"
