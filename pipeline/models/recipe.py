"""The port of `models/`: what a recipe must say about itself. No Keras here; a network imports it when it is built."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Protocol

from pipeline.models.optimisation import Loss, Optimiser
from pipeline.normalisation import Normalisation
from pipeline.spec import Spec, Windowing
from pipeline.splits import Split

if TYPE_CHECKING:
    import keras
    import numpy as np

    from pipeline.windows import Windows

#: What a mode is called by, after a dot: `sezer-dis.faithful`. Without it a recipe is honest.
FAITHFUL = "faithful"


@dataclass(frozen=True)
class Shape:
    """What a network must fit.

    Attributes:
        steps, features: of its input "past", (batch, steps, features).
        outputs: of its output, (batch, outputs).
        past_mean, past_scale (steps, features), future_scale (outputs,): means and standard deviations over the training examples.
        future_quantiles (outputs, Q): the training targets' quantiles (see `quantiles`).
        symbols: the stocks that share the network; () where each has its own.
    """

    steps: int
    features: int
    outputs: int
    past_mean: np.ndarray
    past_scale: np.ndarray
    future_scale: np.ndarray
    future_quantiles: np.ndarray
    symbols: tuple[str, ...] = ()


class Network(Protocol):
    """A network as plain values: a frozen dataclass, whose repr says everything and whose str is for people."""

    def build(self, shape: Shape, lstm: type) -> keras.Model:
        """A new, uncompiled functional Keras model with the input "past" and, where stocks share it, "symbol" (strings).

        Args:
            lstm: the LSTM layer class to use: the fused one in training, `keras.layers.LSTM` in what is saved.

        A network may also have `start(model, train, validation)`, which gives a model just built better weights than random ones, from
        the `Examples` that training sees.
        """
        ...


@dataclass(frozen=True)
class Examples:
    """What a network learns from or is measured on: inputs by name, each (n, ...), and targets (n, outputs)."""

    inputs: dict[str, np.ndarray]
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Exercise:
    """Made examples for a recipe that needs no prices.

    Attributes:
        naive: what the network is measured against on `test`, as the network answers, (n, ...), and `naive_is` what that says in words.
        validation: measured after every epoch; None: nothing is.
        windows: what `test` was cut from, where there are sessions to look ahead over.
        alphabet: the characters that the targets number, where they number any.
    """

    train: Examples
    test: Examples
    naive: np.ndarray
    naive_is: str
    validation: Examples | None = None
    windows: Windows | None = None
    alphabet: str = ""


@dataclass(frozen=True)
class FineTuning:
    """How each stock's own network goes on from one that all stocks have trained together: fewer, smaller steps on its own windows.

    The pooled network counts as the state before the first epoch: where nothing learnt from the stock alone is better on its validation
    sessions, the pooled network is what comes out.
    """

    optimiser: Optimiser
    epochs: int
    batch_size: int
    patience: int

    def __str__(self) -> str:
        return (
            f"{self.optimiser}, at most {self.epochs} epochs, batches of {self.batch_size}, until {self.patience} bring nothing better "
            "on the stock's validation sessions"
        )


@dataclass(frozen=True)
class Faithful:
    """How the published protocol peeked: what of the recipe it had otherwise, and the leak in words."""

    leak: str
    changes: Mapping[str, object]


@dataclass(frozen=True)
class Recipe:
    """A named way to build a dataset and a model.

    Attributes:
        name: as `--recipe` takes it.
        summary: one line for `stockcast recipes`.
        source: the paper, report or tutorial it comes from.
        targets: the columns it may forecast, its source's own first. () for one that makes its own examples.
        window, normalisation, split: how a history becomes examples; None where examples are made without one.
        network: what is built.
        optimiser, loss, epochs, batch_size: how it is trained.
        patience: so many epochs without a better validation loss end the training, and the best epoch's weights are kept; None: all epochs are
            trained, and the last one's are kept.
        smoothing: weight of the newest value in an exponential smoothing of the target itself; 0: none.
        pooled: all stocks of a run share one network.
        fine_tuning: how a stock's network goes on from the one that all stocks of a run have trained (see `pool`); None: it begins anew.
        shuffle: whether the examples are shuffled at every epoch.
        faithful: how its source peeked; None where it did not.
        leak: in the mode `faithful`, what leaks.
        study: what `stockcast reproduce` calls the comparison with its source; "": there is none.
        tested: first and last day that its source was tested on, where its figures are only to be compared with those of the same days.
        published: its source's test RMSE in dollars by ticker.
        published_loss: its source's final losses on normalised windows, by what they were measured on.
        exercises: examples by name, made from a seed (and a text, where one is given), for one that needs no prices.
    """

    name: str
    summary: str
    source: str
    targets: tuple[str, ...]
    window: Windowing | None
    normalisation: Normalisation | None
    split: Split | None
    network: Network
    optimiser: Optimiser
    loss: Loss
    epochs: int
    batch_size: int
    patience: int | None = None
    smoothing: float = 0.0
    pooled: bool = False
    fine_tuning: FineTuning | None = None
    shuffle: bool = True
    faithful: Faithful | None = None
    leak: str = ""
    study: str = ""
    tested: tuple[dt.date, dt.date] | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    published_loss: Mapping[str, float] = field(default_factory=dict)
    exercises: Callable[..., dict[str, Exercise]] | None = None

    @property
    def mode(self) -> str:
        return FAITHFUL if self.leak else "honest"

    @property
    def rolls(self) -> bool:
        """Whether farther sessions are forecast from nearer forecasts."""
        return self.window.outputs > 0

    @property
    def knows_symbols(self) -> bool:
        """Whether its network is told whose window it sees."""
        return self.pooled or self.fine_tuning is not None

    @property
    def pool(self) -> Recipe:
        """The recipe of the network that `fine_tuning` begins with."""
        return replace(self, name=f"{self.name}.pool", pooled=True, fine_tuning=None)

    @property
    def tuned(self) -> Recipe:
        """This recipe with its fine tuning as its training."""
        own = self.fine_tuning
        return replace(self, optimiser=own.optimiser, epochs=own.epochs, batch_size=own.batch_size, patience=own.patience)

    def spec(self, ticker: str, cutoff: dt.date, target: str, horizon: int, split: Split | None = None) -> Spec:
        """How a ticker's history is cut for this recipe; `split` instead of its own."""
        return Spec(ticker, cutoff, target, horizon, self.window, self.normalisation, split or self.split, self.smoothing)

    def in_mode(self, mode: str) -> Recipe:
        """This recipe as its source had it, leak included. `mode`: "faithful"."""
        if mode != FAITHFUL or self.faithful is None:
            raise ValueError(f"{self.name} has no mode {mode!r}")
        changes = dict(self.faithful.changes)
        return replace(self, name=f"{self.name}.{mode}", leak=self.faithful.leak, faithful=None, **changes)

    def described(self) -> dict[str, str]:
        """What `stockcast recipes` says: one entry per part, in words."""
        return {
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "column": " or ".join(self.targets) or "none: it makes its own examples",
            "sees": "" if self.exercises else ", ".join(self.window.columns) or "the same column",
            "window": str(self.window or ""),
            "normalisation": str(self.normalisation or "none")
            + (f" of the target smoothed by {self.smoothing:g}" if self.smoothing else ""),
            "split": str(self.split or ""),
            "network": str(self.network) + (", shared by all stocks" if self.pooled else ""),
            "loss": str(self.loss) if self.epochs else "none: nothing is learnt",
            "optimiser": str(self.optimiser) if self.epochs else "",
            "training": f"{self.epochs} epochs, batches of {self.batch_size}"
            + (f", until {self.patience} bring nothing better on validation" if self.patience is not None else ""),
            "fine tuning": f"per stock, from a network pooled over all stocks: {self.fine_tuning}" if self.fine_tuning else "",
            "mode": f"faithful, with its leak: {self.leak}" if self.leak else "honest",
            "reproduce": f"stockcast reproduce {self.study}" if self.study else "",
            "also as": f"{self.name}.{FAITHFUL}: as published, with its leak: {self.faithful.leak}" if self.faithful else "",
            "published RMSE": ", ".join(f"{ticker} {rmse:g}" for ticker, rmse in self.published.items()),
            "published loss": ", ".join(f"{part} {loss:g}" for part, loss in self.published_loss.items()),
        }

    def parameters(self) -> dict[str, object]:
        """Everything that decides the outcome, as plain values; logged with every training run."""
        told = {"name", "summary", "source", "faithful", "study", "tested", "published", "published_loss", "exercises"}
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in told}
        return {name: value if isinstance(value, int | float | None) else repr(value) for name, value in values.items()}

    def config_hash(self) -> str:
        """A short hash of `parameters`: a changed recipe makes new models, an unchanged one reuses them."""
        return hashlib.sha256(json.dumps(self.parameters(), sort_keys=True).encode()).hexdigest()[:16]
