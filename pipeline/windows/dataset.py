"""Windows as arrays, and the dataset that they make.

A window knows the prices that it was cut from, and with them the way back from a prediction:

    past[i, k, f]   what the network sees of the k-th session (or block of sessions) of window i,
                    normalised as the recipe says
    future[i, h]    the target of the session h + 1 after the window's last, normalised alike
    price           offset[i] + scale[i] * future[i, h], or
                    last[i] * exp(offset[i, h] + scale[i, h] * future[i, h]) where the normalisation
                    is of shocks
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.windows.normalisation import Normalise
from pipeline.windows.spec import Spec


@dataclass(frozen=True)
class Cut:
    """The cut of windows, as turning predictions back and rolling forward need it.

    Attributes:
        lead: sessions before a window that its normalisation looks at.
        target: the target's place among the columns; None: it is not one of them.
        of_shocks: see `Normalisation`.
    """

    normalise: Normalise
    outputs: int
    block: int
    lead: int
    target: int | None
    of_shocks: bool = False


@dataclass(frozen=True)
class Windows:
    """n windows, aligned by their first axis.

    Attributes:
        values: float64 (n, lead + context, columns), prices and shares; gaps are filled with the
            last known value. Dividends up to the last session are taken off the prices before them.
        target_values: float64 (n, lead + context), the target over the same sessions, prices.
        ahead: float64 (n, reach), the target in the sessions after, prices. NaN only in a test
            window beyond the horizon, and in a replay beyond its cutoff. (n, 0) of windows that
            were rolled forward.
        ahead_with_dividends: float64 (n, reach), the same with the dividends since the window's
            last session added back (see `dividends`).
        volatility: float64 (n,), of the target's relative change, as known at the window's last
            session (see `volatility`).
        position: int (n,), the number in the history of the window's last session; of windows
            that were rolled forward, of the last session that has happened.
        origins: datetime64[D] (n,), that session.
        sessions: datetime64[D] (n, horizon), the sessions forecast.
    """

    values: np.ndarray
    target_values: np.ndarray
    ahead: np.ndarray
    ahead_with_dividends: np.ndarray
    volatility: np.ndarray
    position: np.ndarray
    origins: np.ndarray
    sessions: np.ndarray
    cut: Cut

    def __len__(self) -> int:
        return len(self.position)

    @cached_property
    def _normalised(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        past, offset, scale = self.cut.normalise(self.values, self.target_values, self.position)
        steps, features = past.shape[1] // self.cut.block, past.shape[2] * self.cut.block
        return past.reshape(len(self), steps, features).astype("float32"), offset, scale

    @property
    def past(self) -> np.ndarray:
        """float32 (n, steps, features): the network's input."""
        return self._normalised[0]

    @property
    def offset(self) -> np.ndarray:
        """Prices (n,); of shocks, log changes (n, horizon)."""
        return self._normalised[1]

    @property
    def scale(self) -> np.ndarray:
        """Prices (n,); of shocks, log changes (n, horizon)."""
        return self._normalised[2]

    @cached_property
    def future(self) -> np.ndarray:
        """float32 (n, outputs): the network's targets, with dividends added back."""
        return self.from_prices(self.ahead_with_dividends[:, : self.cut.outputs]).astype("float32")

    @property
    def finite(self) -> np.ndarray:
        """bool (n,): windows that could be normalised; the others were divided by 0."""
        finite: np.ndarray = np.isfinite(self.past).all(axis=(1, 2))
        for values in (self.offset, self.scale):
            finite = finite & np.isfinite(values.reshape(len(self), -1)).all(axis=1)
        return finite

    @property
    def last(self) -> np.ndarray:
        """Prices (n,): the target at the window's last session, which is the naive forecast."""
        return self.target_values[:, -1]

    @property
    def target_past(self) -> np.ndarray:
        """Prices (n, context_length)."""
        return self.target_values[:, self.cut.lead :]

    @property
    def actual(self) -> np.ndarray:
        """Prices (n, horizon): the target in the sessions forecast."""
        return self.ahead[:, : self.sessions.shape[1]]

    @property
    def actual_with_dividends(self) -> np.ndarray:
        """Prices (n, horizon): the same with dividends added back.

        Errors of this decide how wide a distribution is; a forecast is scored by `actual`.
        """
        return self.ahead_with_dividends[:, : self.sessions.shape[1]]

    @property
    def unit(self) -> np.ndarray:
        """Money (n,): one recent volatility, in which a distribution's width is measured."""
        unit: np.ndarray = self.last * self.volatility
        return unit

    def from_prices(self, prices: np.ndarray) -> np.ndarray:
        """Return prices (n, h) of the first h sessions ahead as a network predicts them, (n, h)."""
        normalised: np.ndarray
        if self.cut.of_shocks:
            offset, scale = (part[:, : prices.shape[1]] for part in (self.offset, self.scale))
            normalised = (np.log(prices / self.last[:, None]) - offset) / scale
        else:
            normalised = (prices - self.offset[:, None]) / self.scale[:, None]
        return normalised

    def to_prices(self, predictions: np.ndarray) -> np.ndarray:
        """Return normalised predictions (n, h) as prices (n, h), float64.

        Of shocks, there may be several of each session ahead, next to each other.

        Raises:
            ValueError: there are not as many shocks of each session ahead.
        """
        predictions = predictions.astype("float64")
        prices: np.ndarray
        if self.cut.of_shocks:
            each, left_over = divmod(predictions.shape[1], self.cut.outputs)
            if left_over or not each:
                raise ValueError(
                    f"A network's {predictions.shape[1]} outputs cannot be shared out among the "
                    f"{self.cut.outputs} sessions ahead."
                )
            offset, scale = (np.repeat(part, each, axis=1) for part in (self.offset, self.scale))
            prices = self.last[:, None] * np.exp(offset + predictions * scale)
        else:
            prices = self.offset[:, None] + predictions * self.scale[:, None]
        return prices

    def take(self, rows: np.ndarray | slice, horizon: int | None = None) -> Windows:
        """Return some of the windows; with `horizon`, only that many sessions ahead."""
        taken = dataclasses.replace(
            self,
            values=self.values[rows],
            target_values=self.target_values[rows],
            ahead=self.ahead[rows, :horizon] if horizon == 0 else self.ahead[rows],
            ahead_with_dividends=self.ahead_with_dividends[rows, :horizon]
            if horizon == 0
            else self.ahead_with_dividends[rows],
            volatility=self.volatility[rows],
            position=self.position[rows],
            origins=self.origins[rows],
            sessions=self.sessions[rows, :horizon],
        )
        if normalised := vars(self).get("_normalised"):  # each window is by itself
            vars(taken)["_normalised"] = tuple(each[rows] for each in normalised)
        return taken

    def rolled(self, prices: np.ndarray) -> Windows:
        """Return the windows h sessions later, as if `prices` (n, h) had happened.

        Only the target's column takes the prices, the other columns keep their last values.
        """
        count = prices.shape[1]
        newest = np.repeat(self.values[:, -1:], count, axis=1)
        if self.cut.target is not None:
            newest[:, :, self.cut.target] = prices
        return dataclasses.replace(
            self,
            values=np.concatenate([self.values, newest], axis=1)[:, count:],
            target_values=np.concatenate([self.target_values, prices], axis=1)[:, count:],
            ahead=self.ahead[:, :0],
            ahead_with_dividends=self.ahead_with_dividends[:, :0],
        )


@dataclass(frozen=True)
class Dataset:
    """The windows of one ticker at one cutoff.

    Attributes:
        train: empty where nothing is trained (`Spec.without_training`).
        test: empty in a training file.
        left_out: by part, the number of windows that a missing or masked cell makes unusable.
        masked_cells: the number of the history's cells that are missing or masked.
    """

    spec: Spec
    train: Windows
    validation: Windows
    test: Windows
    left_out: Mapping[str, int]
    masked_cells: int

    @property
    def parts(self) -> dict[str, Windows]:
        """The three parts by name, in the order of time."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def usable(self) -> str:
        """The number of windows of each part, for people."""
        return ", ".join(f"{len(windows)} of {name}" for name, windows in self.parts.items())

    @property
    def trainable(self) -> bool:
        """True where every part that the split asks for has windows."""
        needed = [self.train]
        needed += [self.validation] if self.spec.split.validates else []
        needed += [self.test] if self.spec.split.tests else []
        return self.spec.trainable and min(map(len, needed)) > 0
