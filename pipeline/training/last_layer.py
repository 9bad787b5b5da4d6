"""Tuning the last layer of a pooled network for many stocks at once, in numpy.

What the layer reads does not change while it is tuned, so it is computed once, in one pass over
each stock's history. Then the layer is a regression, and the stocks are tuned side by side: each
has its own weights, order of examples, state of the optimiser and end. What comes out for a stock
is the same with any others, to the bit: products are of `ROWS` rows of one stock, and sums are
added in a fixed order.

The pinball loss and its slope: R. Koenker, G. Bassett, "Regression Quantiles", Econometrica 46
(1978). Adam: D. Kingma, J. Ba, arXiv:1412.6980, as Keras 3 computes it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Array, Floats
from pipeline.models import Examples, FineTuning, Pinball, anchor_weights
from pipeline.quantiles import PROBABILITIES, QUANTILE_COUNT
from pipeline.training.examples import network_shape, training_examples
from pipeline.training.jobs import Trained, TuneJob, divergence
from pipeline.training.keras_files import with_weights
from pipeline.training.numpy_layers import NUMPY_LAYERS
from pipeline.training.numpy_networks import NumpyNetwork, Step, numpy_network
from pipeline.training.numpy_passes import seen_in_one_pass
from pipeline.training.one_pass import in_a_row, span_of

#: Rows of one product.
ROWS = 64
#: Adam's decay of the mean and of the squares of gradients, and what it adds to a root.
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-7


@dataclass(frozen=True, eq=False)
class _Tail:
    """The layers of a network from the tuned one to its output.

    Its answer is kernel · exp(layer) + bias.

    Attributes:
        anchor: the last layer, whose kernel and bias are each stock's own and fixed.
    """

    layer: Step
    anchor: Step

    @classmethod
    def of(cls, network: NumpyNetwork, name: str) -> _Tail:
        """Return the tail from a layer on.

        Raises:
            ValueError: the network ends otherwise.
        """
        steps = network.architecture.steps
        at = next((number for number, step in enumerate(steps) if step.name == name), len(steps))
        kinds = [NUMPY_LAYERS[each] for each in ("Dense", "Activation", "Dense")]
        tail = steps[at:]
        is_known = [step.layer for step in tail] == kinds and tail[1].config[
            "activation"
        ] == "exponential"
        if not is_known:
            raise ValueError(f"A layer {name!r} that cannot be tuned by itself.")
        return cls(tail[0], tail[2])


@dataclass(frozen=True, eq=False)
class _Stock:
    """A stock's examples, as the tuned layer sees them.

    Attributes:
        train, validation: what it reads, (n, width + 1), the last column 1.
        train_targets, validation_targets: (n, outputs), of each.
        kernel, bias: (outputs, outputs * Q) and (outputs * Q,), of its anchor.
        unit: (outputs,), what its errors are divided by.
    """

    train: Floats
    train_targets: Floats
    validation: Floats
    validation_targets: Floats
    kernel: Floats
    bias: Floats
    unit: Floats


def tune_together(jobs: Sequence[TuneJob]) -> list[Trained | Exception]:
    """Tune the networks of jobs, those side by side that go on from the same network.

    Returns:
        The network of each, or its error.
    """
    groups: dict[tuple[bytes, str, int], list[TuneJob]] = {}
    for job in jobs:
        groups.setdefault((job.pooled, job.recipe.config_hash(), job.seed), []).append(job)
    results: dict[TuneJob, Trained | Exception] = {}
    for alike in groups.values():
        results |= _tuned_alike(alike)
    return [results[job] for job in jobs]


def _tuned_alike(jobs: Sequence[TuneJob]) -> dict[TuneJob, Trained | Exception]:
    """Tune stocks that go on from one network."""
    began = time.monotonic()
    results: dict[TuneJob, Trained | Exception] = {}
    try:
        network, tail, tuning = _network(jobs[0])
    except Exception as error:
        return dict.fromkeys(jobs, error)
    examples: dict[TuneJob, tuple[Examples, Examples]] = {}
    for job in jobs:
        try:
            train, validation, _ = training_examples(job.recipe, job.training_files, job.seed)
            examples[job] = train, validation
        except Exception as error:  # of this job alone
            results[job] = error
    if not examples:
        return results
    stocks = _stocks(examples, network, tail)
    kernel, bias = (network.weights[place] for place in tail.layer.places)
    weights = np.concatenate([kernel, bias[None]]).astype("float64")
    with np.errstate(all="ignore"):  # what is no number shows in the losses
        course = _Course.begun(weights, tuning, jobs[0].seed, list(stocks.values()))
        course.run()
    seconds = (time.monotonic() - began) / len(stocks)
    for number, (job, stock) in enumerate(stocks.items()):
        results[job] = _trained(job, stock, tail, course, number, seconds)
    return results


def _network(job: TuneJob) -> tuple[NumpyNetwork, _Tail, FineTuning]:
    """Return the network that a job goes on from, the layers that it tunes, and how.

    Raises:
        ValueError: its last layer cannot be tuned by itself.
    """
    network, tuning = numpy_network(job.pooled), job.recipe.fine_tuning
    if network is None or tuning is None or not isinstance(job.recipe.loss, Pinball):
        raise ValueError("A network that cannot be tuned by its last layer.")
    return network, _Tail.of(network, tuning.layer), tuning


def _stocks(
    examples: Mapping[TuneJob, tuple[Examples, Examples]], network: NumpyNetwork, tail: _Tail
) -> dict[TuneJob, _Stock]:
    """Return the stocks' examples, as the tuned layer sees them."""
    parts = [part for both in examples.values() for part in both]
    past, symbols = (
        np.concatenate([part.inputs[name] for part in parts]) for name in ("past", "symbol")
    )
    seen = seen_in_one_pass(network, tail.layer.name, past, symbols)
    ends = np.cumsum([len(part) for part in parts])
    rows = iter(zip(parts, np.split(seen, ends[:-1]), strict=True))
    return {
        job: _stock(job, train, next(rows), next(rows), network, tail)
        for job, (train, _) in examples.items()
    }


def _stock(
    job: TuneJob,
    examples: Examples,
    train: tuple[Examples, Array],
    validation: tuple[Examples, Array],
    network: NumpyNetwork,
    tail: _Tail,
) -> _Stock:
    kernel, bias = (network.weights[place] for place in tail.anchor.places)
    if examples.anchor is not None:
        kernel, bias = anchor_weights(examples.anchor)
    shape = network_shape(in_a_row(examples, span_of(job.recipe)), ())
    return _Stock(
        *(*_rows(*train), *_rows(*validation)),
        kernel.astype("float64"),
        bias.astype("float64"),
        shape.future_scale,
    )


def _rows(examples: Examples, seen: Array) -> tuple[Floats, Floats]:
    """Return what is seen where windows end that count, with a column of 1, and their targets."""
    counts = np.isfinite(examples.targets).all(axis=2)
    rows = seen[counts].astype("float64")
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    return rows, examples.targets[counts].astype("float64")


# Stocks side by side: arrays (stocks, blocks, ROWS, columns), with rows of 0 at the end


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The examples of stocks.

    Attributes:
        seen: (stocks, blocks, ROWS, width + 1).
        targets: (stocks, blocks, ROWS, outputs).
        counts: bool (stocks, blocks, ROWS), False beyond a stock's last example.
    """

    seen: Floats
    targets: Floats
    counts: Array

    @classmethod
    def of(cls, seen: Sequence[Floats], targets: Sequence[Floats], size: int) -> _Blocks:
        """Put each stock's examples into blocks of `size` rows."""
        blocks = -(-max(map(len, seen)) // size)
        counts = np.arange(blocks * size) < np.array([len(each) for each in seen])[:, None]
        return cls(
            _stacked(seen, blocks, size),
            _stacked(targets, blocks, size),
            counts.reshape(len(seen), blocks, size),
        )

    def take(self, stocks: Array, block: int | None = None) -> _Blocks:
        """Return some of the stocks, and one of their blocks."""
        at: Any = stocks if block is None else (stocks, slice(block, block + 1))
        return _Blocks(self.seen[at], self.targets[at], self.counts[at])


def _stacked(parts: Sequence[Floats], blocks: int, size: int) -> Floats:
    stacked = np.zeros((len(parts), blocks * size, parts[0].shape[1]))
    for own, part in zip(stacked, parts, strict=True):
        own[: len(part)] = part
    return stacked.reshape(len(parts), blocks, size, -1)


@dataclass(frozen=True, eq=False)
class _Anchors:
    """The stocks' fixed layers, and the units of their errors; see `_Stock`.

    Attributes:
        kernel: (stocks, 1, outputs, outputs * Q).
        bias, unit: (stocks, 1, 1, outputs * Q).
    """

    kernel: Floats
    bias: Floats
    unit: Floats

    @classmethod
    def of(cls, stocks: Sequence[_Stock]) -> _Anchors:
        """Stack the anchors of stocks."""
        return cls(
            np.stack([each.kernel for each in stocks])[:, None],
            np.stack([each.bias for each in stocks])[:, None, None],
            np.stack([np.repeat(each.unit, QUANTILE_COUNT) for each in stocks])[:, None, None],
        )

    def take(self, stocks: Array) -> _Anchors:
        """Return those of some stocks."""
        return _Anchors(self.kernel[stocks], self.bias[stocks], self.unit[stocks])

    def losses(self, weights: Floats, examples: _Blocks) -> tuple[Floats, Floats]:
        """Return the sum of losses over the rows of each block, and its slope.

        Args:
            weights: (stocks, width + 1, outputs).

        Returns:
            (stocks, blocks), and (stocks, blocks, width + 1, outputs).
        """
        growth = np.exp(examples.seen @ weights[:, None])
        quantiles = growth @ self.kernel + self.bias
        error = (np.repeat(examples.targets, QUANTILE_COUNT, axis=-1) - quantiles) / self.unit
        probability = np.tile(PROBABILITIES, error.shape[-1] // QUANTILE_COUNT)
        slope = np.where(error > 0, probability, probability - 1)
        each = np.full((error.shape[-1], 1), 1 / error.shape[-1])
        rows = np.where(examples.counts, ((slope * error) @ each)[..., 0], 0.0)
        total = rows[..., None, :] @ np.ones((rows.shape[-1], 1))
        downhill = np.where(examples.counts[..., None], slope / self.unit, 0.0)
        back = -(downhill @ np.swapaxes(self.kernel, -1, -2)) * growth / error.shape[-1]
        return total[..., 0, 0], np.swapaxes(examples.seen, -1, -2) @ back


def _trained(
    job: TuneJob, stock: _Stock, tail: _Tail, course: _Course, number: int, seconds: float
) -> Trained | Exception:
    history, best = course.history(number)
    loss = history["loss"][best]
    if not math.isfinite(loss):
        return divergence(loss, best, len(history["loss"]) - 1)
    weights = course.best[number]
    placed = zip(
        (*tail.layer.places, *tail.anchor.places),
        (weights[:-1], weights[-1], stock.kernel, stock.bias),
        strict=True,
    )
    model = with_weights(job.pooled, {place: each.astype("float32") for place, each in placed})
    return Trained(model, history, best, seconds, weights.size)


@dataclass(eq=False)
class _Course:
    """The course of a tuning, each stock's by itself.

    Attributes:
        weights, best: (stocks, width + 1, outputs), now and after the best epoch; their last row is
            the bias.
        means, squares: of Adam, alike.
        losses, validation: (epochs + 1, stocks), NaN where a stock had ended.
        best_epoch: (stocks,).
    """

    tuning: FineTuning
    train: _Blocks
    held_out: _Blocks
    anchors: _Anchors
    weights: Floats
    best: Floats
    means: Floats
    squares: Floats
    losses: list[Floats]
    validation: list[Floats]
    best_epoch: Array

    @classmethod
    def begun(
        cls, weights: Floats, tuning: FineTuning, seed: int, stocks: Sequence[_Stock]
    ) -> _Course:
        """Return the course before its first epoch, from weights (width + 1, outputs)."""
        orders = [np.random.default_rng(seed).permutation(len(stock.train)) for stock in stocks]
        train = _Blocks.of(
            [stock.train[order] for stock, order in zip(stocks, orders, strict=True)],
            [stock.train_targets[order] for stock, order in zip(stocks, orders, strict=True)],
            tuning.batch_size,
        )
        held_out = _Blocks.of(
            [stock.validation for stock in stocks],
            [stock.validation_targets for stock in stocks],
            ROWS,
        )
        every = np.repeat(weights[None], len(stocks), axis=0)
        none, anchors = np.zeros_like(every), _Anchors.of(stocks)
        losses = [_mean_losses(anchors, every, part) for part in (train, held_out)]
        return cls(
            *(tuning, train, held_out, anchors, every, every.copy(), none, none.copy()),
            *([losses[0]], [losses[1]], np.zeros(len(stocks), "int64")),
        )

    def run(self) -> None:
        """Tune every stock until its epochs or its patience are over."""
        for epoch in range(1, self.tuning.epochs + 1):
            going = np.flatnonzero(epoch - 1 - self.best_epoch < self.tuning.patience)
            if not len(going):
                return
            losses, validation = np.full((2, len(self.weights)), np.nan)
            losses[going] = self._epoch(going, epoch)
            validation[going] = _mean_losses(
                self.anchors.take(going), self.weights[going], self.held_out.take(going)
            )
            lowest = np.array(self.validation)[self.best_epoch, np.arange(len(self.weights))]
            self.losses.append(losses)
            self.validation.append(validation)
            better = validation < lowest
            self.best[better], self.best_epoch[better] = self.weights[better], epoch

    def _epoch(self, going: Array, epoch: int) -> Floats:
        """Learn from each batch once; return the mean loss of each stock that is going on."""
        total, count = np.zeros((2, len(going)))
        for block in range(self.train.counts.shape[1]):
            rows = self.train.counts[going, block].sum(axis=1)
            stocks, here = going[rows > 0], rows > 0
            if not len(stocks):
                break
            losses, slopes = self.anchors.take(stocks).losses(
                self.weights[stocks], self.train.take(stocks, block)
            )
            total[here] += losses[:, 0]
            count[here] += rows[here]
            updates = (epoch - 1) * self._batches(stocks) + block + 1
            self._update(stocks, slopes[:, 0] / rows[here, None, None], updates)
        mean: Floats = total / count
        return mean

    def _batches(self, stocks: Array) -> Array:
        batches: Array = self.train.counts[stocks].any(axis=2).sum(axis=1)
        return batches

    def _update(self, stocks: Array, slopes: Floats, updates: Array) -> None:
        """Take a step of Adam.

        Args:
            slopes: (stocks, width + 1, outputs).
            updates: (stocks,), the number of this one, from 1.
        """
        optimiser = self.tuning.optimiser
        if optimiser.clip_norm:
            for part in (slopes[:, :-1], slopes[:, -1:]):  # the kernel and the bias
                flat = part.reshape(len(part), 1, -1)
                norm = np.sqrt(flat @ np.swapaxes(flat, 1, 2))
                part *= optimiser.clip_norm / np.maximum(norm, optimiser.clip_norm)
        means = self.means[stocks] + (slopes - self.means[stocks]) * (1 - MEAN_DECAY)
        squares = self.squares[stocks] + (slopes**2 - self.squares[stocks]) * (1 - SQUARE_DECAY)
        self.means[stocks], self.squares[stocks] = means, squares
        rate = (
            optimiser.schedule.rate * np.sqrt(1 - SQUARE_DECAY**updates) / (1 - MEAN_DECAY**updates)
        )
        self.weights[stocks] -= rate[:, None, None] * means / (np.sqrt(squares) + EPSILON)

    def history(self, number: int) -> tuple[dict[str, list[float]], int]:
        """Return the history of a stock, and its best epoch."""
        best = int(self.best_epoch[number])
        last = min(best + self.tuning.patience, len(self.losses) - 1)
        history = {
            "loss": [float(each[number]) for each in self.losses[: last + 1]],
            "val_loss": [float(each[number]) for each in self.validation[: last + 1]],
            "learning_rate": [self.tuning.optimiser.schedule.rate] * (last + 1),
        }
        return history, best


def _mean_losses(anchors: _Anchors, weights: Floats, examples: _Blocks) -> Floats:
    """Return the mean loss of each stock, (stocks,)."""
    total = np.zeros(len(weights))
    for number in range(examples.counts.shape[1]):  # numpy's own sums change with their length
        block = examples.take(np.arange(len(weights)), number)
        total += anchors.losses(weights, block)[0][:, 0]
    mean: Floats = total / examples.counts.sum(axis=(1, 2))
    return mean
