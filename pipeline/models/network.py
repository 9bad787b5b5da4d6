"""Networks and what they learn from, as every recipe has them; Keras is imported by a `build`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.arrays import Array

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Shape:
    """The inputs and outputs that a network must fit, and the scale of its training examples.

    Attributes:
        steps, features: of its input "past", (batch, steps, features).
        outputs: of its output, (batch, outputs).
        past_mean, past_scale: (steps, features), over the training examples.
        future_scale: (outputs,), standard deviations of the training targets.
        future_quantiles: (outputs, Q), the training targets' quantiles (see `quantiles`), or those
            that a baseline expects of them.
        symbols: the stocks that share the network; () where each has its own.
    """

    steps: int
    features: int
    outputs: int
    past_mean: Array
    past_scale: Array
    future_scale: Array
    future_quantiles: Array
    symbols: tuple[str, ...] = ()


class Network(Protocol):
    """A network as plain values: a frozen dataclass with a complete repr and a short str."""

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return a new, uncompiled functional Keras model.

        Its inputs are "past" and, where stocks share it, "symbol" (strings). A network may also
        have `anchor(model, shape)`, which makes the `future_quantiles` of a stock's shape what a
        model answers where it corrects nothing, and `build_pass(shape, span, lstm)` (see
        `OnePass`).

        Args:
            lstm: the LSTM layer class: the fused one in training, `keras.layers.LSTM` in what is
                saved.
        """
        ...


@dataclass(frozen=True)
class Examples:
    """Inputs and targets that a network learns from or is measured on.

    Attributes:
        inputs: by name, each (n, ...).
        targets: (n, outputs).
        anchor: (outputs, Q), the quantiles that a baseline expects of the targets; None: nothing
            expects any.
    """

    inputs: dict[str, Array]
    targets: Array
    anchor: Array | None = None

    def __len__(self) -> int:
        return len(self.targets)
