"""Progress, for people: a line per step and ticker, with counts where there are many; in a terminal, a bar below the lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

#: Tickers up to which nobody needs a count.
FEW = 12
_STEP, _TICKER = 14, 8


def line(step: str, ticker: str, message: str) -> str:
    return f"{step:<{_STEP}} {ticker:<{_TICKER}} {message}"


class Lines:
    """Tells what steps say (step, ticker or "", message), a line each; of many tickers, also to how many of them a step has come.

    Args:
        total: the tickers that a step goes through.
        say: what is done with a line.
    """

    def __init__(self, total: int = 0, say: Callable[[str], None] | None = None) -> None:
        self.total = total
        self._say = say or (lambda told: print(told, flush=True))
        self._seen: dict[str, set[str]] = {}

    def __call__(self, step: str, ticker: str, message: str) -> str:
        """Tells the line, and returns it."""
        self._count(step, ticker)
        counted = f"{self.done(step)}/{self.total} {message}" if ticker and self.total > FEW else message
        text = line(step, ticker, counted)
        self._say(text)
        return text

    def follow(self, text: str) -> None:
        """Tells a line that another process has counted."""
        self._count(text[:_STEP].strip(), text[_STEP + 1 : _STEP + 1 + _TICKER].strip())
        self._say(text)

    def _count(self, step: str, ticker: str) -> None:
        self._seen.setdefault(step, set()).update({ticker} - {""})

    def done(self, step: str) -> int:
        """The tickers that a step has spoken of."""
        return len(self._seen.get(step, ()))

    def close(self) -> None:
        """Nothing is told any more."""


class Bars(Lines):
    """The same lines, above a bar that shows how far the current step is."""

    def __init__(self, total: int, terminal: TextIO) -> None:
        super().__init__(total, self._write)
        self._terminal = terminal
        self._step = ""
        self._bar: tqdm | None = None

    def _count(self, step: str, ticker: str) -> None:
        super()._count(step, ticker)
        self._show(step)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _show(self, step: str) -> None:
        if step != self._step or self._bar is None:
            from tqdm import tqdm

            self.close()
            self._step = step
            self._bar = tqdm(total=self.total, desc=f"{step:<{_STEP - 1}}", unit="ticker", file=self._terminal, leave=False)
        self._bar.n = min(self.done(step), self.total)
        self._bar.refresh()

    def _write(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text, file=self._terminal)


def for_people(total: int, stream: TextIO | None = None) -> Lines:
    """Bars where somebody watches a terminal, else lines."""
    stream = stream or sys.stdout
    return Bars(total, stream) if stream.isatty() else Lines(total, lambda told: print(told, file=stream, flush=True))
