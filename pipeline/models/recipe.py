"""Recipes: named ways to build and train a network.

There are two kinds. A `PriceRecipe` learns from prices and forecasts them; an `ExerciseRecipe`
makes its own examples. No Keras here: a network imports it when it is built.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.arrays import Array
from pipeline.models.network import Examples, Network
from pipeline.models.optimisation import Constant, Loss, Optimiser
from pipeline.windows import Normalisation, Spec, Split, Windowing

if TYPE_CHECKING:
    from pipeline.windows import Windows

#: The name of the mode that repeats a source's leak: `sezer-dis.faithful`.
FAITHFUL = "faithful"
#: The devices that a network may be trained on.
CPU, GPU = DEVICES = "cpu", "gpu"


@dataclass(frozen=True)
class Exercise:
    """Made examples for a recipe that needs no prices.

    Attributes:
        naive: the naive answers to `test`, (n, ...), which the network is measured against.
        naive_is: the naive forecast in words.
        validation: measured after every epoch; None: nothing is.
        windows: what `test` was cut from, where there are sessions to look ahead over.
        alphabet: the characters that the targets number; "": they number none.
    """

    train: Examples
    test: Examples
    naive: Array
    naive_is: str
    validation: Examples | None = None
    windows: Windows | None = None
    alphabet: str = ""


@dataclass(frozen=True)
class OnePass:
    """Training that computes each session of a history once, and not in every window that sees it.

    A history is cut into stretches, which the network reads from their first session on. After as
    many sessions as a window has, each further one ends a window that is learnt from: its forecast
    is compared with what came. So back-propagation through time is truncated at a stretch's
    beginning (R. Williams, J. Peng, 1990), and a recurrent layer has seen up to `span` - 1 sessions
    more than the window that the trained network is given.

    What a normalisation shows of a session must be the same in all windows.

    Attributes:
        span: windows that end in each stretch.
    """

    span: int

    def __str__(self) -> str:
        return f"one pass over stretches in which {self.span} windows end"


@dataclass(frozen=True)
class FineTuning:
    """Fewer, smaller steps on a stock's own windows, which go on from the pooled network.

    The pooled network counts as the state before the first epoch: where nothing learnt from the
    stock alone is better on its validation sessions, the pooled network is the result.

    Attributes:
        layer: the only layer that is tuned, of a network that is trained in one pass; "": all are.
    """

    optimiser: Optimiser
    epochs: int
    batch_size: int
    patience: int
    layer: str = ""

    def __post_init__(self) -> None:
        optimiser = self.optimiser
        if self.layer and not (
            optimiser.kind == "Adam" and isinstance(optimiser.schedule, Constant)
        ):
            raise ValueError(
                f"The layer {self.layer} alone is tuned by Adam at one learning rate, not by "
                f"{optimiser}."
            )

    def __str__(self) -> str:
        layer = f"layer {self.layer} alone: " if self.layer else ""
        return (
            f"{layer}{self.optimiser}, at most {self.epochs} epochs, batches of {self.batch_size}, "
            f"until {self.patience} bring nothing better on the stock's validation sessions"
        )


@dataclass(frozen=True)
class Faithful:
    """A published protocol's leak, and the recipe's fields that repeat it.

    Attributes:
        leak: the leak in words.
        changes: by field of the recipe, the value that the protocol had.
    """

    leak: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named way to build and train a network.

    Attributes:
        name: as `--recipe` takes it.
        summary: one line for `stockcast recipes`.
        source: the paper, report or tutorial it comes from.
        patience: training ends after so many epochs without a better validation loss, and the best
            epoch's weights are kept; None: all epochs are trained and the last weights kept.
        shuffle: whether the examples are shuffled at every epoch.
        device: one of `DEVICES`; a GPU's last digits are others. It is no choice of a recipe's
            file: a deployment sets it (see `Recipes.on`).
    """

    #: Fields that do not decide what is learnt.
    DESCRIPTIVE: ClassVar[frozenset[str]] = frozenset({"name", "summary", "source"})
    #: Fields that came later, with the value of before: with it, a recipe keeps its hash.
    LATER: ClassVar[Mapping[str, object]] = {"one_pass": None, "device": CPU}

    name: str
    summary: str
    source: str
    network: Network
    optimiser: Optimiser
    loss: Loss
    epochs: int
    batch_size: int
    patience: int | None = None
    shuffle: bool = True
    device: str = CPU

    def described(self) -> dict[str, str]:
        """Return one entry per part, in words, as `stockcast recipes` prints them."""
        raise NotImplementedError

    def parameters(self) -> dict[str, object]:
        """Return everything that decides the outcome, as plain values."""
        values = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in self.DESCRIPTIVE
        }
        return {
            name: value if isinstance(value, int | float | None) else repr(value)
            for name, value in values.items()
            if name not in self.LATER or value != self.LATER[name]
        }

    def config_hash(self) -> str:
        """Return a short hash of `parameters`: a changed recipe makes new networks."""
        text = json.dumps(self.parameters(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def _way(self) -> str:
        """The way of training, in words that go before others."""
        return ""

    def _training_described(self) -> dict[str, str]:
        patience = f", until {self.patience} bring nothing better on validation"
        return {
            "loss": str(self.loss) if self.epochs else "none: nothing is learnt",
            "optimiser": str(self.optimiser) if self.epochs else "",
            "training": f"{self._way}{self.epochs} epochs, batches of {self.batch_size}"
            + (patience if self.patience is not None else ""),
        }


@dataclass(frozen=True, kw_only=True)
class PriceRecipe(Recipe):
    """A recipe that learns from prices and forecasts them.

    Attributes:
        targets: the columns it may forecast, its source's own first.
        window, normalisation, split: how a history becomes examples.
        smoothing: weight of the newest value in an exponential smoothing of the target; 0: none.
        pooled: all stocks of a run share one network.
        one_pass: how it is trained in one pass; None: on windows, each by itself.
        fine_tuning: how a stock's network goes on from the one that all stocks of a run have
            trained (see `pool`); None: it begins from random weights.
        faithful: how its source peeked; None: it did not.
        leak: in the mode `faithful`, what leaks.
        study: what `stockcast reproduce` calls the comparison with its source; "": there is none.
        tested: first and last day that its source was tested on, where its figures can only be
            compared with those of the same days.
        published: its source's test RMSE in money, by ticker.
        published_loss: its source's final losses on normalised windows, by part.
    """

    DESCRIPTIVE: ClassVar[frozenset[str]] = Recipe.DESCRIPTIVE | {
        "faithful",
        "study",
        "tested",
        "published",
        "published_loss",
    }

    targets: tuple[str, ...]
    window: Windowing
    normalisation: Normalisation
    split: Split
    smoothing: float = 0.0
    pooled: bool = False
    one_pass: OnePass | None = None
    fine_tuning: FineTuning | None = None
    faithful: Faithful | None = None
    leak: str = ""
    study: str = ""
    tested: tuple[dt.date, dt.date] | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    published_loss: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.one_pass and (not self.normalisation.memory or self.window.block > 1):
            raise ValueError(
                f"{self.name} is trained in one pass, but what it sees of a session (normalised "
                f"{self.normalisation}) is another thing in each window. Set one_pass=None."
            )
        if self.one_pass and self.peeks:
            raise ValueError(f"{self.name} looks at test sessions, which one pass does not show.")
        if self.one_pass is None and self.fine_tuning and self.fine_tuning.layer:
            raise ValueError(
                f"{self.name} tunes the layer {self.fine_tuning.layer} alone, which needs one_pass."
            )

    @property
    def mode(self) -> str:
        """The mode: "honest" or "faithful"."""
        return FAITHFUL if self.leak else "honest"

    @property
    def peeks(self) -> bool:
        """True where training looks at sessions that it must not see."""
        return self.optimiser.peeks or self.normalisation.peeks

    @property
    def _way(self) -> str:
        return f"{self.one_pass}, " if self.one_pass else ""

    @property
    def knows_symbols(self) -> bool:
        """True where its network gets each window's ticker as an input."""
        return self.pooled or self.fine_tuning is not None

    @property
    def pool(self) -> PriceRecipe:
        """The recipe of the network that `fine_tuning` goes on from."""
        return replace(self, name=f"{self.name}.pool", pooled=True, fine_tuning=None)

    @property
    def tuned(self) -> PriceRecipe:
        """This recipe with its fine tuning, on windows, as its training; itself without any."""
        tuning = self.fine_tuning
        if tuning is None:
            return self
        return replace(
            self,
            optimiser=tuning.optimiser,
            epochs=tuning.epochs,
            batch_size=tuning.batch_size,
            patience=tuning.patience,
            one_pass=None,
            fine_tuning=replace(tuning, layer=""),
        )

    def spec(
        self, ticker: str, cutoff: dt.date, target: str, horizon: int, split: Split | None = None
    ) -> Spec:
        """Return how a ticker's history is cut for this recipe; `split` instead of its own."""
        return Spec(
            ticker,
            cutoff,
            target,
            horizon,
            self.window,
            self.normalisation,
            split or self.split,
            self.smoothing,
        )

    def in_mode(self, mode: str) -> PriceRecipe:
        """Return this recipe as its source had it, leak included; `mode`: "faithful"."""
        if mode != FAITHFUL or self.faithful is None:
            raise ValueError(f"{self.name} has no mode {mode!r}")
        changes = dict(self.faithful.changes)
        return replace(
            self,
            name=f"{self.name}.{mode}",
            leak=self.faithful.leak,
            faithful=None,
            **changes,
        )

    def described(self) -> dict[str, str]:
        smoothed = f" of the target smoothed by {self.smoothing:g}" if self.smoothing else ""
        tuning = f"per stock, from a network pooled over all stocks: {self.fine_tuning}"
        losses = self.published_loss.items()
        faithful = f"{self.name}.{FAITHFUL}: as published, with its leak: "
        return {
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "column": " or ".join(self.targets),
            "sees": ", ".join(self.window.columns) or "the same column",
            "window": str(self.window),
            "normalisation": f"{self.normalisation}{smoothed}",
            "split": str(self.split),
            "network": str(self.network) + (", shared by all stocks" if self.pooled else ""),
            **self._training_described(),
            "fine tuning": tuning if self.fine_tuning else "",
            "mode": f"faithful, with its leak: {self.leak}" if self.leak else "honest",
            "reproduce": f"stockcast reproduce {self.study}" if self.study else "",
            "also as": faithful + self.faithful.leak if self.faithful else "",
            "published RMSE": ", ".join(f"{t} {rmse:g}" for t, rmse in self.published.items()),
            "published loss": ", ".join(f"{part} {loss:g}" for part, loss in losses),
        }


#: (seed, a text of the user's own or None) -> exercises by name.
MakeExercises = Callable[[int, str | None], dict[str, Exercise]]


@dataclass(frozen=True, kw_only=True)
class ExerciseRecipe(Recipe):
    """A recipe that makes its own examples, of which the answers are known.

    Attributes:
        exercises: makes the examples.
        cut: how the examples are cut from a series, in words: "window", "normalisation", "split".
    """

    DESCRIPTIVE: ClassVar[frozenset[str]] = Recipe.DESCRIPTIVE | {"exercises", "cut"}

    exercises: MakeExercises
    cut: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, str]:
        return {
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "column": "none: it makes its own examples",
            "sees": "",
            "window": self.cut.get("window", ""),
            "normalisation": self.cut.get("normalisation", "none"),
            "split": self.cut.get("split", ""),
            "network": str(self.network),
            **self._training_described(),
            "fine tuning": "",
            "mode": "honest",
            "reproduce": "",
            "also as": "",
            "published RMSE": "",
            "published loss": "",
        }
