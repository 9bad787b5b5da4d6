"""How a history is cut into windows: what a recipe says, made definite for a ticker, a cutoff, a target and a horizon. Light: no pandas."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass

import numpy as np

from pipeline import normalisation, splits
from pipeline.errors import NotEnoughHistory
from pipeline.normalisation import Normalisation
from pipeline.splits import Newest, Split

#: The parts of a spec, by the name that a dataset file knows them by.
PARTS = {
    part.__name__: part
    for part in (
        *(splits.Newest, splits.Fraction, splits.RowFraction, splits.LastYear, splits.Since),
        *(
            normalisation.ByVolatility,
            normalisation.LastClose,
            normalisation.PreviousWindow,
            normalisation.FirstValue,
            normalisation.MinMax,
        ),
        *(normalisation.BlockMinMax, normalisation.Unscaled),
    )
}


#: Sessions that say something about a forecaster that was not trained on the stock.
FEWEST_HELD_OUT = 40
#: Sessions that either half has at the most, where nothing is trained: as many as validation and test of the default recipe.
MOST_HELD_OUT = 252


@dataclass(frozen=True)
class Windowing:
    """What a network looks at, and how far it looks ahead at once.

    Attributes:
        context_length: sessions a window spans.
        columns: what is seen of a session; (): the target alone.
        outputs: sessions forecast at once; farther ones are reached by rolling forward. 0: as many as the run's horizon.
        block: sessions that make one step of the network's input: (context_length / block) steps of block times the columns.
        stride: training takes every so many-th window; stride = outputs = block: non-overlapping ones.
    """

    context_length: int
    columns: tuple[str, ...] = ()
    outputs: int = 1
    block: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))  # a file has a list
        if self.context_length % self.block:
            raise ValueError(f"{self.context_length} sessions are no whole number of blocks of {self.block}.")

    @property
    def steps(self) -> int:
        return self.context_length // self.block

    def __str__(self) -> str:
        seen = "1 session" if self.context_length == 1 else f"{self.context_length} sessions"
        block = "" if self.block == 1 else f" in blocks of {self.block}"
        moved = "sliding by one" if self.stride == 1 else f"moved by {self.stride} in training"
        return f"{seen}{block}, {moved}; forecasts {self.outputs or 'the horizon'} at once"


@dataclass(frozen=True)
class Spec:
    """How a history is cut.

    Attributes:
        smoothing: weight of the newest value when the target is smoothed exponentially before anything else; 0: it is not.
    """

    ticker: str
    cutoff: dt.date
    target: str
    horizon: int
    window: Windowing
    normalisation: Normalisation
    split: Split
    smoothing: float = 0.0

    @property
    def columns(self) -> tuple[str, ...]:
        return self.window.columns or (self.target,)

    @property
    def outputs(self) -> int:
        return self.window.outputs or self.horizon

    @property
    def reach(self) -> int:
        """Sessions after its last that a training or validation window must know."""
        return max(self.outputs, self.horizon)

    @property
    def needed_sessions(self) -> int:
        """Sessions of history without which there is no training."""
        last = np.busday_offset(self.cutoff, 1 - self.horizon, roll="backward").astype(object)
        context = self.window.context_length
        return splits.fewest_windows(self.split, self.reach, context, last) + context + self.horizon - 1

    @property
    def trainable(self) -> bool:
        return self.split.min_train_windows > 0

    @property
    def needs_history(self) -> bool:
        """Whether one window cannot be cut without the history before it."""
        return bool(self.smoothing) or isinstance(self.normalisation, normalisation.MinMax | normalisation.BlockMinMax)

    def without_training(self, sessions: int, as_it_is: bool = False) -> Spec:
        """The spec for a history of only `sessions`: half validation, half test, `MOST_HELD_OUT` each at most, so that a baseline has an error and
        intervals, and that a network that other stocks have trained is not measured on sessions that they trained it on.

        Args:
            as_it_is: keep window and normalisation where the history leaves `FEWEST_HELD_OUT` sessions for either half: a network that other
                stocks have trained can then be measured too.
        """
        gaps = 2 * (self.horizon - 1)
        kept = as_it_is and (sessions - self.window.context_length - gaps) // 2 >= FEWEST_HELD_OUT
        context = self.window.context_length if kept else max(1, min(self.window.context_length, sessions // 3))
        held_out = min((sessions - context - gaps) // 2, MOST_HELD_OUT)
        if held_out < 1:
            raise NotEnoughHistory(
                f"{self.ticker}: {sessions} sessions up to {self.cutoff} leave none to measure a forecast of {self.horizon} sessions on. "
                "Fetch from an earlier date, or ask for a shorter horizon."
            )
        return dataclasses.replace(
            self,
            window=self.window if kept else Windowing(context_length=context),
            normalisation=self.normalisation if kept else normalisation.Unscaled(),
            split=Split(Newest(held_out), Newest(held_out), min_train_windows=0),
        )

    def to_json(self) -> dict[str, object]:
        """Plain values; the parts by name."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        split = {"min_train_windows": self.split.min_train_windows, "embargo": self.split.embargo, "test": _named(self.split.test)}
        split["validation"] = None if self.split.validation is None else _named(self.split.validation)
        return {
            **plain,
            "cutoff": self.cutoff.isoformat(),
            "window": dataclasses.asdict(self.window),
            "normalisation": _named(self.normalisation),
            "split": split,
        }

    @classmethod
    def from_json(cls, values: dict) -> Spec:
        split = values["split"]
        return cls(
            **{
                **values,
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
        )


def _named(part: object) -> list:
    values = {name: str(value) if isinstance(value, dt.date) else value for name, value in dataclasses.asdict(part).items()}
    return [type(part).__name__, values]


def _part(name: str, values: dict) -> object:
    dates = {key: dt.date.fromisoformat(value) for key, value in values.items() if key == "first"}
    return PARTS[name](**{**values, **dates})
