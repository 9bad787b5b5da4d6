"""The port of `models/`: what a recipe must say about itself. No Keras here; a recipe imports it when it builds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class Split:
    """How many of the newest windows, by target session, are held out. A gap of `horizon` sessions lies between the parts."""

    validation_sessions: int
    test_sessions: int
    #: Fewer training windows than this are no training.
    min_train_sessions: int = 250


@dataclass(frozen=True)
class Recipe:
    """A named way to build a dataset and a model.

    Attributes:
        name: as `--recipe` takes it.
        summary: one line for `stockcast recipes`.
        origin: the paper, report or tutorial it comes from.
        context_length: sessions a model looks back over.
        targets: the columns it may forecast.
        split: what is held out.
        network: one line that describes the network, such as "LSTM(32) -> Dense(horizon)".
        optimiser, loss: as people would name them.
        epochs, batch_size, patience: of training; `patience` epochs without a better validation loss end it.
        build: `build(recipe, past_scale, future_scale, lstm)` returns an uncompiled functional keras model that maps
            (batch, context_length, features) to (batch, horizon). `past_scale` (context_length, features) and `future_scale`
            (horizon,) are the standard deviations over the training windows; `lstm` is the layer class to use (the fused one in training, the
            plain one in what is saved).
        compile: `compile(model, future_scale)` gives the model its optimiser and loss.
    """

    name: str
    summary: str
    origin: str
    context_length: int
    targets: tuple[str, ...]
    split: Split
    network: str
    optimiser: str
    loss: str
    epochs: int
    batch_size: int
    patience: int
    build: Callable[[Recipe, np.ndarray, np.ndarray, type], keras.Model]
    compile: Callable[[keras.Model, np.ndarray], None]

    def parameters(self) -> dict[str, object]:
        """Everything that decides the outcome, as plain values; logged with every training run."""
        values = {name: value for name, value in asdict(self).items() if name not in ("build", "compile", "summary", "origin")}
        return {**values, "targets": list(self.targets)}

    def config_hash(self) -> str:
        """A short hash of `parameters`: a changed recipe makes new models, an unchanged one reuses them."""
        return hashlib.sha256(json.dumps(self.parameters(), sort_keys=True).encode()).hexdigest()[:16]
