"""Results by ticker, and the errors of those that have none: one's fault is not the others'.

This is the one place that collects failures ticker by ticker. An error that the product does not
raise on purpose counts as the ticker's as well: its data have met a defect of the program, and the
others need not wait until that is mended.
"""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.errors import MachineExhausted, RunError, StockcastError, TryAgain

Result = TypeVar("Result")

#: What the operating system reports where the machine, not a file, is at fault.
EXHAUSTED = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
}
_FREE = "Free some, and repeat."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcomes(Generic[Result]):
    """The outcome of work on several tickers.

    Attributes:
        results: by ticker.
        failures: by ticker, why it has no result.
    """

    results: Mapping[str, Result] = field(default_factory=dict)
    failures: Mapping[str, StockcastError] = field(default_factory=dict)


def outcome_of_each(
    names: Iterable[str],
    work: Callable[[str], Result],
    report: Callable[[str, StockcastError], object] = lambda name, error: None,
) -> Outcomes[Result]:
    """Do work for one name after the other, tickers for example; one that fails stops no other.

    Args:
        work: returns a name's result, or raises.
        report: is called at each failure.
    """
    results: dict[str, Result] = {}
    failures: dict[str, StockcastError] = {}
    for name in names:
        try:
            results[name] = work(name)
        except Exception as error:
            failures[name] = as_own_error(name, error)
            report(name, failures[name])
    return Outcomes(results, failures)


def outcome_together(
    names: Sequence[str], work: Callable[[list[str]], Mapping[str, Result]]
) -> Outcomes[Result]:
    """Do work that is quicker for all names at once; one whose part of it fails stops no other.

    Where the work fails, each half of the names is tried alone, and so on down to the names that it
    fails for. An error that waiting can mend is everyone's.

    Args:
        work: returns the results of some names, or raises.
    """
    try:
        return Outcomes(work(list(names)) if names else {})
    except Exception as error:
        everyones = error if isinstance(error, TryAgain) else _exhaustion(error)
        if everyones is not None:
            return Outcomes(failures=dict.fromkeys(names, everyones))
        if len(names) == 1:
            return Outcomes(failures={names[0]: as_own_error(names[0], error)})
    half = len(names) // 2
    return joined([outcome_together(part, work) for part in (names[:half], names[half:])])


def joined(outcomes: Iterable[Outcomes[Result]]) -> Outcomes[Result]:
    """Return the outcomes of different names as one."""
    results: dict[str, Result] = {}
    failures: dict[str, StockcastError] = {}
    for each in outcomes:
        results |= each.results
        failures |= each.failures
    return Outcomes(results, failures)


def as_own_error(name: str, error: Exception) -> StockcastError:
    """Return an error that work on a ticker has raised; an unexpected one is logged and wrapped."""
    if isinstance(error, StockcastError):
        return error
    if exhausted := _exhaustion(error):
        return exhausted
    log.error("%s: unexpected %s", name, type(error).__name__, exc_info=error)
    first_line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    own = RunError(
        f"{name}: unexpected {type(error).__name__}: {first_line}. Its data have met a defect of "
        "the program, whose traceback is in the log."
    )
    own.add_note("".join(traceback.format_exception(error)))
    return own


def _exhaustion(error: Exception) -> MachineExhausted | None:
    """Return the error where it is the machine that lacks something, not the data."""
    if isinstance(error, MemoryError):
        return MachineExhausted(f"There is no memory left. {_FREE}")
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        file = f" ({error.filename})" if error.filename else ""
        return MachineExhausted(f"{error.strerror}{file}. {_FREE}")
    return None


def worth_trying(failures: Mapping[str, StockcastError]) -> list[str]:
    """Return the names that a later try may help."""
    return [name for name, error in failures.items() if isinstance(error, TryAgain)]


def raise_together(failures: Mapping[str, StockcastError]) -> None:
    """Raise the one failure, or an error that names all; nothing where there is none.

    The error can be tried again where one of the failures can.
    """
    if not failures:
        return
    errors = list(failures.values())
    first = next((error for error in errors if isinstance(error, TryAgain)), errors[0])
    if all(error is first for error in errors):
        raise first
    named = " ".join(f"{ticker}: {error}" for ticker, error in failures.items())
    raise type(first)(f"{len(failures)} tickers failed. {named}")
