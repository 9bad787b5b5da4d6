"""Shuffles: draws of single margins are put into an order that makes paths of them. Pure.

A margin's draws are its quantiles at `margins.strata`, so whatever the order, each margin stays
exactly what it was.

Shapes: `margins` (D, M) ascending along the last axis; paths (M, D). D dimensions are all pairs of
a stock and a session ahead.
"""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Array, Floats, Ints
from pipeline.joint.margins import strata


def ranks_of(values: Array) -> Ints:
    """Return each value's place in its column, from 0; equal ones stand in the order of rows."""
    ranks: Ints = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable")
    return ranks


def reordered(margins: Floats, ranks: Ints) -> Floats:
    """Return paths (M, D) in which each margin's draws have these ranks (M, D)."""
    paths: Floats = np.take_along_axis(margins.T, ranks, axis=0)
    return paths


def schaake_shuffle(margins: Floats, past: Floats, random: np.random.Generator) -> Floats:
    """Return paths with the rank dependence of past sessions.

    Each path takes one past session, and in each dimension the quantile that has the rank of this
    session's value (Clark et al. 2004, "The Schaake shuffle"; its copula is the empirical one of
    Schefzik, Thorarinsdottir & Gneiting 2013). Every session is taken equally often, but for one.
    Where there are more paths than sessions, those of one session are put into the order of a
    second session each, so that they depend on each other as any two dimensions do.

    Args:
        past: (T, D), no NaN.
    """
    paths = margins.shape[1]
    first, second = (_taken(len(past), paths, random) for _ in range(2))
    ranks = ranks_of(past)
    return reordered(margins, ranks_of(ranks[first] * len(past) + ranks[second]))


def gaussian_copula(margins: Floats, past: Floats, random: np.random.Generator) -> Floats:
    """Return paths of a Gaussian copula with the rank correlation of past sessions.

    Sums of past normal scores with normal weights have exactly their correlation, so none has to
    be estimated or factorised.
    """
    from scipy.special import ndtri

    scores = ndtri(strata(len(past)))[ranks_of(past)]
    weights = random.standard_normal((margins.shape[1], len(past)))
    return reordered(margins, ranks_of(weights @ scores))


def independent(margins: Floats, random: np.random.Generator) -> Floats:
    """Return paths whose dimensions know nothing of each other."""
    paths: Floats = random.permuted(margins.T, axis=0)
    return paths


def _taken(sessions: int, paths: int, random: np.random.Generator) -> Ints:
    """Return a past session for each path, (M,): all equally often, in a random order."""
    rounds = -(-paths // sessions)
    taken: Ints = np.concatenate([random.permutation(sessions) for _ in range(rounds)])[:paths]
    return taken
