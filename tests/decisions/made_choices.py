"""Made stocks, networks that know a part of what comes, and choices among them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

import numpy as np

from pipeline.decisions import (
    Choice,
    Contestant,
    EvaluationSet,
    SplitForecasts,
    choose,
    stored_precision,
)
from pipeline.models import EWMA, StockHar
from pipeline.windows import Newest, Split, Windowing, encode, load_dataset
from tests.made_windows import spec_of, walk

CUTOFF = dt.date(2021, 1, 4)
CURRENT, PREVIOUS = Contestant("lstm", "m1", CUTOFF), Contestant("previous", "m2", CUTOFF)


def stock_with(fewest: int = 50, count: int = 500, seed: int = 0) -> EvaluationSet:
    """Return a stock of `count` sessions, of which 100 are validation and 100 test.

    Args:
        fewest: training windows that it must have.
    """
    history = walk(count, seed)
    split = Split(Newest(100), Newest(100), min_train_windows=fewest)
    spec = spec_of(history, Windowing(10), horizon=2, split=split)
    return EvaluationSet("IBM", "d" * 32, load_dataset(encode(history, spec)))


def with_har(stock: EvaluationSet, width: float = 0.9) -> EvaluationSet:
    """Return the stock with a regression that forecasts `width` times the EWMA volatility."""
    parts = (stock.dataset.validation, stock.dataset.test)
    sessions = np.concatenate([part.origins for part in parts])
    volatility = np.concatenate([part.unit / part.last for part in parts])
    roots = np.sqrt([1, 2])
    shape = stock.fitted[EWMA].shape / roots[:, None]
    deviations = width * volatility[:, None] * roots
    har = StockHar(shape, sessions, deviations, np.zeros(deviations.shape))
    return dataclasses.replace(stock, har=har)


def knowing(stock: EvaluationSet, share: float) -> SplitForecasts:
    """Return the forecasts of a network that knows a share of the coming change."""
    parts = (
        (stock.dataset.validation, stock.baselines[EWMA].validation),
        (stock.dataset.test, stock.baselines[EWMA].test),
    )
    return SplitForecasts(
        *(
            stored_precision(ewma + share * (part.actual - part.last[:, None])[:, :, None])
            for part, ewma in parts
        )
    )


def choice_among(
    stock: EvaluationSet,
    networks: Sequence[tuple[Contestant, SplitForecasts]],
    no_network: str = "",
) -> Choice:
    """Return the choice among networks and the baselines; see `choose`."""
    return choose(stock, networks, 0.05, no_network, leak="", headline="a headline")
