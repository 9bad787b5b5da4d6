"""Results by ticker, and the errors of those that have none: one's fault is not the others'."""

from __future__ import annotations

from collections.abc import Mapping
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
