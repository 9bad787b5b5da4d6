"""The function source: a Python function of one's own, from any installed package.

The package names it as an entry point of the group `stockcast.sources`:

    [project.entry-points."stockcast.sources"]
    my_prices = "my_package:prices"

The function takes a ticker, a first and a last day, and returns a data frame with the columns of a
price file, split and dividend among them where there are such; its dates may be the index. An empty
one means that there are no bars in the range, None that there is no such ticker. An `OSError`, as
timeouts and refused connections are, is an outage that can be tried again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import entry_points

import pandas as pd

from pipeline.errors import (
    MalformedPrices,
    SettingsError,
    SourceUnavailable,
    StockcastError,
    UnknownTicker,
)
from pipeline.prices.priced_tables import prices_of_frame
from pipeline.prices.source import RawPrices

SOURCE_GROUP = "stockcast.sources"


class FunctionSource:
    """Prices from a function.

    Args:
        function: the name of its entry point.
    """

    name = "function"
    reads_all = False
    is_metered = False

    def __init__(self, function: str) -> None:
        self._name = function

    def tickers(self) -> None:
        """Return None: a function lists none."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        answer = self._answer(ticker, first, last)
        if answer is None:
            raise UnknownTicker(
                f"The function {self._name} has no {ticker}. Spell it as the function does."
            )
        if not isinstance(answer, pd.DataFrame):
            raise MalformedPrices(
                f"{ticker}: the function {self._name} returned {type(answer).__name__}; a "
                "DataFrame, or None for a ticker that it does not know, is expected. Mend it."
            )
        return prices_of_frame(answer, ticker, f"{ticker} from {self._name}", first, last)

    def _answer(self, ticker: str, first: dt.date, last: dt.date) -> object:
        try:
            return self._function(ticker, first, last)
        except StockcastError:
            raise
        except OSError as error:
            raise SourceUnavailable(
                f"The function {self._name} has no answer for {ticker} ({_named(error)}). Try "
                "again later."
            ) from error
        except Exception as error:  # it is somebody else's
            raise MalformedPrices(
                f"{ticker}: the function {self._name} fails ({_named(error)}). Mend it."
            ) from error

    @cached_property
    def _function(self) -> Callable[[str, dt.date, dt.date], object]:
        found = {each.name: each for each in entry_points(group=SOURCE_GROUP)}
        if self._name not in found:
            raise SettingsError(
                f"There is no function {self._name!r} among the entry points of {SOURCE_GROUP}: "
                f"{', '.join(sorted(found)) or 'there are none'}. Install the package that has it "
                "where this program is installed."
            )
        try:
            function: Callable[[str, dt.date, dt.date], object] = found[self._name].load()
        except Exception as error:  # importing runs somebody else's code
            raise SettingsError(
                f"The function {self._name} ({found[self._name].value}) cannot be imported "
                f"({_named(error)}). Mend its package."
            ) from error
        return function


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
