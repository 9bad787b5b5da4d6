"""Specs: the way a history is cut, for one ticker, cutoff, target and horizon."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import NotEnoughHistory
from pipeline.windows import min_max, normalisation, train_test_splits
from pipeline.windows.normalisation import Normalisation
from pipeline.windows.train_test_splits import Newest, Split

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: The parts of a spec, by their names in a dataset file.
SPEC_PARTS: dict[str, type[DataclassInstance]] = {
    part.__name__: part
    for part in (
        train_test_splits.Newest,
        train_test_splits.Fraction,
        train_test_splits.RowFraction,
        train_test_splits.LastYear,
        train_test_splits.Since,
        train_test_splits.Numbered,
        normalisation.ByHar,
        normalisation.ByVolatility,
        normalisation.LastClose,
        normalisation.PreviousWindow,
        normalisation.FirstValue,
        normalisation.Unscaled,
        min_max.MinMax,
        min_max.BlockMinMax,
    )
}
#: Sessions that are enough to measure a forecaster that was not trained on the stock.
FEWEST_HELD_OUT = 40
#: Sessions that either half has at most, where nothing is trained: as many as validation and test
#: of the default recipe.
MOST_HELD_OUT = 252


@dataclass(frozen=True)
class Windowing:
    """The sessions that a network looks at, and those that it forecasts at once.

    Attributes:
        context_length: sessions that a window spans.
        columns: what is seen of a session; (): the target alone.
        outputs: sessions forecast at once; farther ones are reached by rolling forward. 0: as many
            as the run's horizon.
        block: sessions that make one step of the network's input: (context_length / block) steps of
            block times the columns.
        stride: training takes every stride-th window; stride = outputs = block: windows that do not
            overlap.
    """

    context_length: int
    columns: tuple[str, ...] = ()
    outputs: int = 1
    block: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))  # a file has a list
        if self.context_length % self.block:
            raise ValueError(
                f"{self.context_length} sessions are no whole number of blocks of {self.block}."
            )

    @property
    def steps(self) -> int:
        """The steps of the network's input."""
        return self.context_length // self.block

    def __str__(self) -> str:
        seen = "1 session" if self.context_length == 1 else f"{self.context_length} sessions"
        block = "" if self.block == 1 else f" in blocks of {self.block}"
        moved = "sliding by one" if self.stride == 1 else f"moved by {self.stride} in training"
        return f"{seen}{block}, {moved}; forecasts {self.outputs or 'the horizon'} at once"


@dataclass(frozen=True)
class Spec:
    """The way a history is cut into windows.

    Attributes:
        cutoff: the history's last session.
        target: the column that is forecast.
        horizon: sessions that are forecast.
        smoothing: weight of the newest value when the target is smoothed exponentially before
            anything else; 0: it is not.
        adds_dividends: changes are taken with dividends added back (see `dividends`). A dataset
            file says so where there is one to add.
        anchor: the quantiles of shocks about what a baseline forecasts, a row per session ahead
            (see `anchors`); (): those of the training targets.
    """

    ticker: str
    cutoff: dt.date
    target: str
    horizon: int
    window: Windowing
    normalisation: Normalisation
    split: Split
    smoothing: float = 0.0
    adds_dividends: bool = False
    anchor: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchor", tuple(map(tuple, self.anchor)))  # a file has lists

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a network sees."""
        return self.window.columns or (self.target,)

    @property
    def outputs(self) -> int:
        """Sessions forecast at once."""
        return self.window.outputs or self.horizon

    @property
    def reach(self) -> int:
        """Sessions after its last that a training or validation window must know."""
        return max(self.outputs, self.horizon)

    @property
    def needed_sessions(self) -> int:
        """Sessions of history without which there is no training."""
        cutoff = np.datetime64(self.cutoff, "D")
        newest = np.busday_offset(cutoff, 1 - self.horizon, roll="backward")
        last: dt.date = newest.astype(object)
        context = self.window.context_length
        fewest = train_test_splits.fewest_windows(self.split, self.reach, context, last)
        return fewest + context + self.horizon - 1

    @property
    def trainable(self) -> bool:
        """True where anything is trained; see `without_training`."""
        return self.split.min_train_windows > 0

    @property
    def needs_history(self) -> bool:
        """True where one window cannot be cut without the history before it."""
        return bool(self.smoothing) or self.normalisation.is_fitted

    def without_training(self, sessions: int, as_it_is: bool = False) -> Spec:
        """Return the spec for a history that is too short to train on.

        One half of it is validation, the other test, `MOST_HELD_OUT` sessions each at most. So a
        baseline has an error and intervals, and a network that other stocks have trained is not
        measured on sessions that they trained it on.

        Args:
            sessions: of the history.
            as_it_is: keep window and normalisation where the history leaves `FEWEST_HELD_OUT`
                sessions for either half: a network that other stocks have trained can then be
                measured too.

        Raises:
            NotEnoughHistory: no session is left for one of the halves.
        """
        context, gaps = self.window.context_length, 2 * (self.horizon - 1)
        kept = as_it_is and (sessions - context - gaps) // 2 >= FEWEST_HELD_OUT
        if not kept:
            context = max(1, min(context, sessions // 3))
        held_out = min((sessions - context - gaps) // 2, MOST_HELD_OUT)
        if held_out < 1:
            raise NotEnoughHistory(
                f"{self.ticker}: {sessions} sessions up to {self.cutoff}, {self._fewest_measured} "
                f"needed to measure a forecast of {self.horizon} sessions on. Wait until it has "
                "them, or ask for a shorter horizon (flag --horizon)."
            )
        return dataclasses.replace(
            self,
            window=self.window if kept else Windowing(context_length=context),
            normalisation=self.normalisation if kept else normalisation.Unscaled(),
            split=Split(Newest(held_out), Newest(held_out), min_train_windows=0),
        )

    @property
    def _fewest_measured(self) -> int:
        """Sessions from which `without_training` has one for either half."""
        ahead = 2 * self.horizon  # one window's in either half
        return max(3, min(ahead + self.window.context_length, 3 * (ahead - 1) // 2 + 1))

    def to_json(self) -> dict[str, object]:
        """Return plain values, with the parts by name."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if not self.adds_dividends:  # files without a dividend stay what they were, and their names
            del plain["adds_dividends"]
        if not self.anchor:
            del plain["anchor"]
        validation = self.split.validation
        split = {
            "min_train_windows": self.split.min_train_windows,
            "embargo": self.split.embargo,
            "test": _named(self.split.test),
            "validation": None if validation is None else _named(validation),
        }
        return {
            **plain,
            "cutoff": self.cutoff.isoformat(),
            "window": dataclasses.asdict(self.window),
            "normalisation": _named(self.normalisation),
            "split": split,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Spec:
        """Return the spec of `to_json`'s values; a split without an embargo has 0."""
        split = values["split"]
        parts = {
            "cutoff": dt.date.fromisoformat(values["cutoff"]),
            "window": Windowing(**values["window"]),
            "normalisation": _part(*values["normalisation"]),
            "split": Split(
                test=_part(*split["test"]),
                validation=_part(*split["validation"]) if split["validation"] else None,
                min_train_windows=split["min_train_windows"],
                embargo=split.get("embargo", 0),
            ),
        }
        return cls(**{**values, **parts})


def _named(part: DataclassInstance) -> list[object]:
    """Return a part's name and its fields; dates as text."""
    fields = dataclasses.asdict(part).items()
    values = {name: str(value) if isinstance(value, dt.date) else value for name, value in fields}
    return [type(part).__name__, values]


def _part(name: str, values: Mapping[str, Any]) -> Any:
    """Return the part of `_named`'s values."""
    dates = {key: dt.date.fromisoformat(value) for key, value in values.items() if key == "first"}
    return SPEC_PARTS[name](**{**values, **dates})
