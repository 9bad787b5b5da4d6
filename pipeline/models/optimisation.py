"""Learning-rate schedules, optimisers and losses that the recipes share.

They are plain values; Keras is imported when one of them is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pipeline.arrays import Array
from pipeline.quantiles import PROBABILITIES

if TYPE_CHECKING:
    import keras

#: (actual, forecast), tensors (batch, ...) -> the loss of each example, or their mean.
LossFunction: TypeAlias = Callable[[Any, Any], Any]
#: Updates over which TensorFlow's own inverse time decay counts one unit of decay.
EVERY_UPDATE = 1


# Learning rates


@dataclass(frozen=True)
class Constant:
    """One learning rate throughout."""

    rate: float

    def __str__(self) -> str:
        return f"{self.rate:g}"


@dataclass(frozen=True)
class DecayAfter:
    """`rate` for the first epochs, then `decay` times as much each epoch (L. Weng)."""

    rate: float
    decay: float
    first_epochs: int

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0.

        It is rate * decay ** max(epoch + 1 - first_epochs, 0).
        """
        return self.rate * self.decay ** max(epoch + 1 - self.first_epochs, 0)

    def __str__(self) -> str:
        return f"{self.rate:g}, after {self.first_epochs} epochs times {self.decay:g} each"


@dataclass(frozen=True)
class DecayPerUpdate:
    """rate / (1 + decay * updates): the `decay` of a Keras optimiser of 2018 (S. Yadav)."""

    rate: float
    decay: float

    def __str__(self) -> str:
        return f"{self.rate:g}, decay {self.decay:g} per update"


@dataclass(frozen=True)
class HalvedOnPlateau:
    """Halved whenever the watched loss has not improved for `patience` epochs (T. Ganegedara).

    Attributes:
        least: it is never less.
        watches: "validation"; "test" is what the source did, and is a leak.
    """

    rate: float
    least: float
    patience: int = 2
    watches: str = "validation"

    def __str__(self) -> str:
        return (
            f"{self.rate:g}, halved down to {self.least:g} when the {self.watches} loss has not "
            f"improved for {self.patience} epochs"
        )


Schedule: TypeAlias = Constant | DecayAfter | DecayPerUpdate | HalvedOnPlateau


# Optimisers


@dataclass(frozen=True)
class Optimiser:
    """Adam, RMSprop or SGD.

    Attributes:
        clip_norm: gradients of one weight longer than this are shortened to it; 0: they are not.
        momentum: of SGD.
    """

    kind: str
    schedule: Schedule
    clip_norm: float = 0.0
    momentum: float = 0.0

    def make(self) -> keras.optimizers.Optimizer:
        """Return a new Keras optimiser at the schedule's first learning rate."""
        import keras

        rate: object = self.schedule.rate
        if isinstance(self.schedule, DecayPerUpdate):
            rate = keras.optimizers.schedules.InverseTimeDecay(
                self.schedule.rate, EVERY_UPDATE, self.schedule.decay
            )
        options = {"learning_rate": rate, "clipnorm": self.clip_norm or None}
        if self.kind == "SGD":
            options["momentum"] = self.momentum
        return getattr(keras.optimizers, self.kind)(**options)

    @property
    def peeks(self) -> bool:
        """True where the schedule watches the test examples."""
        return isinstance(self.schedule, HalvedOnPlateau) and self.schedule.watches == "test"

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Return the callbacks that move the learning rate between epochs."""
        import keras

        schedule = self.schedule
        if isinstance(schedule, DecayAfter):
            return [keras.callbacks.LearningRateScheduler(schedule.rate_at)]
        if isinstance(schedule, HalvedOnPlateau):
            watched = "val_loss" if schedule.watches == "validation" else "test_loss"
            return [
                keras.callbacks.ReduceLROnPlateau(
                    watched,
                    mode="min",
                    factor=0.5,
                    patience=schedule.patience,
                    min_lr=schedule.least,
                    min_delta=0.0,
                )
            ]
        return []

    def __str__(self) -> str:
        if self == NOTHING_LEARNT:
            return "none: nothing is learnt"
        momentum = [f"momentum {self.momentum:g}"] if self.momentum else []
        clipping = [f"clipnorm {self.clip_norm:g}"] if self.clip_norm else []
        return f"{self.kind}({'; '.join([str(self.schedule), *momentum, *clipping])})"


#: Of a network without weights to learn, trained for 0 epochs.
NOTHING_LEARNT = Optimiser("SGD", Constant(0.0))


# Losses: `make` takes the standard deviations of the training targets, (outputs,)


@dataclass(frozen=True)
class MeanSquaredError:
    """Mean of squared errors, in the network's own units."""

    def make(self, future_scale: Array) -> LossFunction:
        """Return Keras's loss."""
        import keras

        loss: LossFunction = keras.losses.MeanSquaredError()
        return loss

    def __str__(self) -> str:
        return "MSE"


@dataclass(frozen=True)
class Huber:
    """Squared up to `delta`, linear beyond: single wild days do not steer the network.

    Attributes:
        relative: errors are counted in standard deviations of the training targets, horizon by
            horizon, and over the root of the horizon: far horizons hold less that can be known.
    """

    delta: float = 1.0
    relative: bool = False

    def make(self, future_scale: Array) -> LossFunction:
        """Return the loss of targets with these standard deviations."""
        import keras

        huber: LossFunction = keras.losses.Huber(delta=self.delta)
        if not self.relative:
            return huber
        roots = [horizon**0.5 for horizon in range(1, len(future_scale) + 1)]
        weights = (1 / future_scale / roots).astype("float32")
        return lambda actual, forecast: huber(actual * weights, forecast * weights)

    def __str__(self) -> str:
        unit = " of the error in standard deviations per horizon, over the root of the horizon"
        return f"Huber(delta={self.delta:g})" + (unit if self.relative else "")


@dataclass(frozen=True)
class DirectionAware:
    """Squared errors, those of forecasts in the wrong direction counted (1 + `weight`)-fold.

    For normalisations in which 0 is "no change". (MSE alone, L. Weng found, ignores the direction.)
    """

    weight: float = 1.0

    def make(self, future_scale: Array) -> LossFunction:
        """Return the loss, (batch,)."""
        from keras import ops

        def loss(actual: Any, forecast: Any) -> Any:
            wrong = ops.cast(ops.sign(actual) * ops.sign(forecast) < 0, actual.dtype)
            return ops.mean((1 + self.weight * wrong) * ops.square(actual - forecast), axis=-1)

        return loss

    def __str__(self) -> str:
        return f"MSE, wrong directions counted {1 + self.weight:g}-fold"


@dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy of a yes or no, or of one class among `many`, from its probability."""

    many: bool = False

    def make(self, future_scale: Array) -> LossFunction:
        """Return Keras's loss."""
        import keras

        losses = keras.losses
        loss: LossFunction = (
            losses.SparseCategoricalCrossentropy() if self.many else losses.BinaryCrossentropy()
        )
        return loss

    def __str__(self) -> str:
        return "cross-entropy"


@dataclass(frozen=True)
class Pinball:
    """Mean pinball loss of `quantiles.PROBABILITIES`, in units of each horizon.

    A horizon's unit is the standard deviation of its training targets. A network under this loss
    answers (batch, outputs * Q): the quantiles of the first session ahead, then of the second.
    """

    def make(self, future_scale: Array) -> LossFunction:
        """Return the loss of targets with these standard deviations; it has a `rescale`."""
        return ScaledPinball(future_scale)

    def __str__(self) -> str:
        return f"pinball of {len(PROBABILITIES)} quantiles, in standard deviations per horizon"


class ScaledPinball:
    """The loss that `Pinball` makes; another stock's scale does not trace the network again."""

    __name__ = "pinball"

    def __init__(self, future_scale: Array) -> None:
        import keras

        self._probability = np.array(PROBABILITIES, "float32")
        self._weights = keras.Variable(
            np.zeros((1, len(future_scale), 1)), dtype="float32", trainable=False
        )
        self.rescale(future_scale)

    def rescale(self, future_scale: Array) -> None:
        """Take the standard deviations of another stock's targets, (outputs,)."""
        self._weights.assign((1 / future_scale).astype("float32")[None, :, None])

    def __call__(self, actual: Any, forecast: Any) -> Any:
        from keras import ops

        quantiles = ops.reshape(forecast, (-1, self._weights.shape[1], len(self._probability)))
        error = (ops.expand_dims(actual, -1) - quantiles) * self._weights
        return ops.mean(
            ops.maximum(self._probability * error, (self._probability - 1) * error), axis=(1, 2)
        )


Loss: TypeAlias = MeanSquaredError | Huber | DirectionAware | CrossEntropy | Pinball
