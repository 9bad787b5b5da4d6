"""Examples: the windows that a network learns from, cut from the training files of its stocks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import LookAtTheData
from pipeline.models import Examples, PriceRecipe, Shape
from pipeline.quantiles import PROBABILITIES, QUANTILE_COUNT
from pipeline.training.jobs import UNKNOWN_SYMBOL
from pipeline.training.one_pass import passes, span_of
from pipeline.training.predict import symbol_inputs
from pipeline.windows import Dataset, Spec, Windows, load_dataset, load_stretch

log = logging.getLogger(__name__)

#: Relative changes that vary by less than this are rounding errors of numbers that do not move.
STANDSTILL = 1e-6
#: Examples that a network of many stocks learns from in an epoch: with 505 stocks every fourth
#: window of each, and windows overlap anyway.
LEARNT_AN_EPOCH = 100_000
#: Windows that a network of many stocks learns from in an epoch of one pass.
PASSED_AN_EPOCH = 1_000_000


def training_examples(
    recipe: PriceRecipe, training_files: Mapping[str, bytes], seed: int
) -> tuple[Examples, Examples, Examples]:
    """Cut the examples of all stocks together.

    Each file is cut once and only its examples are kept: at most `LEARNT_AN_EPOCH`, as many of
    each stock. The windows of a whole universe are never in memory together.

    Args:
        training_files: by ticker; see `windows.training_part`.

    Returns:
        Train, validation and test; no test where the recipe's schedule does not watch it.

    Raises:
        LookAtTheData: the only stock, or each of them, has too few usable windows, or one with a
            missing number. One of several is left out.
    """
    shares: list[_Share] = []
    left_out: list[LookAtTheData] = []
    cut = _share_of_windows if recipe.one_pass is None else _share_in_one_pass
    for ticker in sorted(training_files):  # the order of the examples decides the outcome
        try:
            shares.append(cut(recipe, ticker, training_files[ticker], len(training_files)))
        except LookAtTheData as error:
            if len(training_files) == 1:
                raise
            # The same files leave the same ones out, so the network is still known by them.
            log.warning("The network of all learns nothing from %s: %s", ticker, error)
            left_out.append(error)
    if not shares:
        raise left_out[0]
    parts = zip(*(share.parts for share in shares), strict=True)
    train, validation, test = (_joined(examples) for examples in parts)
    if recipe.pooled:
        network: Any = recipe.network
        train = _with_unknown_symbols(train, network.unknown_share, seed)
    if all(share.spec.anchor for share in shares):
        train = replace(train, anchor=np.mean([share.spec.anchor for share in shares], axis=0))
    return train, validation, test


@dataclass(frozen=True, eq=False)
class _Share:
    """Examples of one of several stocks.

    Attributes:
        parts: train, validation and test.
    """

    spec: Spec
    parts: tuple[Examples, Examples, Examples]


def _share_of_windows(recipe: PriceRecipe, ticker: str, data: bytes, stocks: int) -> _Share:
    dataset = load_dataset(data)
    _require_trainable(dataset)
    parts = []
    for name, windows in dataset.parts.items():
        wanted = name != "test" or recipe.optimiser.peeks
        some = _thinned(windows, LEARNT_AN_EPOCH // stocks) if wanted else windows.take(slice(0))
        parts.append(_examples(recipe, ticker, some.past, some.future))
    train, validation, test = parts
    return _Share(dataset.spec, (train, validation, test))


def _share_in_one_pass(recipe: PriceRecipe, ticker: str, data: bytes, stocks: int) -> _Share:
    stretch = load_stretch(data)
    if not (stretch.train.any() and stretch.validation.any()):
        _require_trainable(load_dataset(data))  # it knows what is missing
    steps, span = stretch.spec.window.context_length, span_of(recipe)
    parts = []
    for ends in (stretch.train, stretch.validation):
        past, future = passes(stretch, ends, steps, span)
        kept = _spread(len(past), PASSED_AN_EPOCH // span // stocks)
        parts.append(_examples(recipe, ticker, past[kept], future[kept]))
    no_test = _examples(recipe, ticker, past[:0], future[:0])
    train, validation = parts
    return _Share(stretch.spec, (train, validation, no_test))


def _thinned(windows: Windows, count: int) -> Windows:
    """Return at most `count` windows at equal distances, the newest among them."""
    some = _spread(len(windows), count)
    return windows if some == slice(None) else windows.take(some)


def _spread(length: int, count: int) -> slice:
    """Return at most `count` of so many at equal distances, the last among them."""
    stride = -(-length // max(count, 1))
    return slice(None) if stride <= 1 else slice((length - 1) % stride, None, stride)


def _examples(recipe: PriceRecipe, ticker: str, past: Array, future: Array) -> Examples:
    symbol = symbol_inputs(ticker, len(past)) if recipe.knows_symbols else {}
    return Examples({"past": past, **symbol}, future)


def _joined(parts: Sequence[Examples]) -> Examples:
    """Return the examples of one stock after those of the other."""
    inputs = {
        name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs
    }
    return Examples(inputs, np.concatenate([part.targets for part in parts]))


def _with_unknown_symbols(examples: Examples, share: float, seed: int) -> Examples:
    """Return the examples, a share of them without their symbol.

    From these the network learns what to forecast for a stock that it does not know.
    """
    unknown = np.random.default_rng(seed).random((len(examples), 1)) < share
    symbol = np.where(unknown, UNKNOWN_SYMBOL, examples.inputs["symbol"]).astype(object)
    return Examples({**examples.inputs, "symbol": symbol}, examples.targets)


def network_shape(train: Examples, symbols: tuple[str, ...]) -> Shape:
    """Return the shape that a network for these examples must fit.

    Args:
        symbols: the stocks that share the network.
    """
    past, targets = train.inputs["past"], train.targets
    steps, features = (*past.shape[1:], 1)[:2]
    outputs = targets.shape[1]
    quantiles = np.zeros((outputs, QUANTILE_COUNT))
    if train.anchor is not None:
        quantiles = train.anchor
    elif len(train):
        quantiles = np.quantile(targets.astype("float64"), PROBABILITIES, axis=0).T
    return Shape(
        steps,
        features,
        outputs,
        past_mean=past.mean(axis=0, dtype="float64"),
        past_scale=_scale(past),
        future_scale=_scale(targets),
        future_quantiles=quantiles,
        symbols=symbols,
    )


def _scale(values: np.ndarray) -> np.ndarray:
    """Return standard deviations over the examples; 1 where nothing ever moves.

    The last close never moves (by definition), nor does an index's volume.
    """
    deviation = values.std(axis=0, dtype="float64")
    return np.where(deviation > STANDSTILL, deviation, 1.0)


def _require_trainable(dataset: Dataset) -> None:
    spec = dataset.spec
    if not dataset.trainable:
        if spec.trainable and any(dataset.left_out.values()):
            counts = ", ".join(f"{n} of {name}" for name, n in dataset.left_out.items() if n)
            raise LookAtTheData(
                f"{spec.ticker}: too few windows up to {spec.cutoff} are usable, "
                f"{dataset.usable}: {counts} have no {spec.target} or cannot be normalised (a "
                "volume of 0, for some recipes). Look at its prices, or name another recipe "
                "(--recipe)."
            )
        raise LookAtTheData(
            f"{spec.ticker}: too little history up to {spec.cutoff} to train on "
            f"({spec.window.context_length} sessions of context; {spec.split}). "
            "Fetch from an earlier date."
        )
    for part in (dataset.train, dataset.validation):
        if not (np.isfinite(part.past).all() and np.isfinite(part.future).all()):
            raise LookAtTheData(
                f"{spec.ticker}: a training window up to {spec.cutoff} has a missing number. "
                "Repeat `stockcast check`."
            )
