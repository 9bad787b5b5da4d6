"""Processes that share the sessions of a backfill.

Sessions may be made in any order: `score` and `watch` look at all that have been run. A page alone
shows what had been scored when it was made, so who shares makes the pages again in their order.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from pipeline.daily.price_readings import read_files_ahead
from pipeline.daily.steps import run_day
from pipeline.errors import RunError
from pipeline.run import Run

if TYPE_CHECKING:
    from pipeline.parts import Parts
    from pipeline.settings import Settings

#: Seconds that a process has to end what it has open.
END_LIMIT = 30


class SessionProcess:
    """A process that does some sessions while this one does others.

    It is a fork, so it has to be made before anything is opened; it waits for its sessions.
    """

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("fork")
        self._end, its_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(its_end, self._end, settings), daemon=True
        )
        self._process.start()
        its_end.close()
        self._left: list[Run] = []

    def __enter__(self) -> SessionProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, in the middle of a session if need be."""
        self._end.close()
        if self._left:
            self._process.terminate()
        self._process.join(END_LIMIT)
        self._process.kill()

    def begin(self, runs: Sequence[Run]) -> None:
        """Let it do these runs, one after the other."""
        self._left = list(runs)
        with contextlib.suppress(BrokenPipeError):  # it is gone, as `news` will say
            self._end.send(self._left)

    def news(self, wait: bool = False) -> Iterator[tuple[Run, str]]:
        """Yield each run that has ended since, with its error in words; "": it is done.

        Args:
            wait: until all have.

        Raises:
            RunError: the process is gone.
        """
        while self._left and (wait or self._end.poll()):
            try:
                error = self._end.recv()
            except (EOFError, OSError):
                self._process.join(END_LIMIT)
                session, code = self._left[0].session, self._process.exitcode
                raise RunError(
                    f"{session}: the process that did it has ended with exit code {code}; its last "
                    "lines say why. Repeat the command, with fewer --processes if memory is short."
                ) from None
            yield self._left.pop(0), error


def shares_of(runs: Sequence[Run], count: int) -> list[list[Run]]:
    """Return runs in as many parts, each in a row, the first the longest."""
    size = -(-len(runs) // count)
    return [list(runs[at * size : (at + 1) * size]) for at in range(count)]


def _serve(end: Connection, others_end: Connection, settings: Settings) -> None:
    """Do the runs that are sent, and send the error of each, or ""."""
    from pipeline.parts import Parts

    others_end.close()  # so that it is seen when the other process is gone
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks for the work ends this process
    try:
        runs: list[Run] = end.recv()
    except EOFError:
        return
    with Parts(settings, progress=lambda *_: None) as parts:
        try:
            if runs:
                read_files_ahead(parts, runs[0])
            for run in runs:
                end.send(_error_of(parts, run))
        finally:
            parts.workers.close()


def _error_of(parts: Parts, run: Run) -> str:
    try:
        run_day(parts, run)
    except RunError as error:
        return str(error)
    return ""
