"""Results by ticker, and the errors of those that have none: one's fault is not the others'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.errors import StockcastError, TryAgain

Result = TypeVar("Result")


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
        work: returns a name's result, or raises `StockcastError`.
        report: is called at each failure.
    """
    results: dict[str, Result] = {}
    failures: dict[str, StockcastError] = {}
    for name in names:
        try:
            results[name] = work(name)
        except StockcastError as error:
            failures[name] = error
            report(name, error)
    return Outcomes(results, failures)


def raise_together(failures: Mapping[str, StockcastError]) -> None:
    """Raise the one failure, or an error that names all; nothing where there is none.

    The error can be tried again where one of the failures can.
    """
    if not failures:
        return
    errors = list(failures.values())
    first = next((error for error in errors if isinstance(error, TryAgain)), errors[0])
    if len(failures) == 1:
        raise first
    named = " ".join(f"{ticker}: {error}" for ticker, error in failures.items())
    raise type(first)(f"{len(failures)} tickers failed. {named}")
