"""Progress for people: a line per step and ticker, with counts where there are many tickers.

In a terminal, a bar below the lines shows how far the step is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

#: Tickers up to which lines have no counts.
MOST_UNCOUNTED = 12
STEP_WIDTH, TICKER_WIDTH = 14, 8


def line(step: str, ticker: str, message: str) -> str:
    """Return a line of progress; `ticker` "": it is about no single ticker."""
    return f"{step:<{STEP_WIDTH}} {ticker:<{TICKER_WIDTH}} {message}"


class Lines:
    """A line for each message of a step.

    Where there are many tickers, a line shows how many of them the step has reached.

    Args:
        total: tickers that a step goes through.
        write: what is done with a line; None: it is printed.
    """

    def __init__(self, total: int = 0, write: Callable[[str], object] | None = None) -> None:
        self.total = total
        self._write = write or _print
        self._seen: dict[str, set[str]] = {}

    def __call__(self, step: str, ticker: str, message: str) -> str:
        """Write a message, and return its line."""
        self._count(step, ticker)
        if ticker and self.total > MOST_UNCOUNTED:
            message = f"{self.done(step)}/{self.total} {message}"
        text = line(step, ticker, message)
        self._write(text)
        return text

    def follow(self, text: str) -> None:
        """Write a line that another process has counted."""
        ticker = text[STEP_WIDTH + 1 : STEP_WIDTH + 1 + TICKER_WIDTH]
        self._count(text[:STEP_WIDTH].strip(), ticker.strip())
        self._write(text)

    def done(self, step: str) -> int:
        """Return the number of tickers that a step has reached."""
        return len(self._seen.get(step, ()))

    def close(self) -> None:
        """End what is shown besides the lines."""

    def _count(self, step: str, ticker: str) -> None:
        self._seen.setdefault(step, set()).update({ticker} - {""})


class Bars(Lines):
    """The same lines, above a bar that shows how far the current step is."""

    def __init__(self, total: int, terminal: TextIO, about: str = "") -> None:
        super().__init__(total, self._write_above)
        self._terminal = terminal
        self._about = about
        self._step = ""
        self._bar: tqdm[NoReturn] | None = None

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _count(self, step: str, ticker: str) -> None:
        super()._count(step, ticker)
        self._show(step)

    def _show(self, step: str) -> None:
        from tqdm import tqdm

        if step != self._step or self._bar is None:
            self.close()
            self._step = step
            self._bar = tqdm(
                total=self.total,
                desc=f"{step:<{STEP_WIDTH - 1}}",
                unit="ticker",
                file=self._terminal,
                leave=False,
                postfix=self._about or None,
            )
        self._bar.n = min(self.done(step), self.total)
        self._bar.refresh()

    def _write_above(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text, file=self._terminal)


def for_people(total: int, stream: TextIO | None = None, about: str = "") -> Lines:
    """Return bars where somebody watches a terminal, else lines.

    Args:
        total: tickers that a step goes through.
        stream: None: standard output.
        about: what stands behind a bar.
    """
    output = stream or sys.stdout
    if output.isatty():
        return Bars(total, output, about)
    return Lines(total, lambda text: print(text, file=output, flush=True))


def _print(text: str) -> None:
    print(text, flush=True)
