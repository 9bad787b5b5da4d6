"""The lake source: one table of all tickers, as Parquet files or as a Delta table.

It is a file or a folder, partitioned or not (`ticker=IBM/`), or a URL that fsspec reads. Only a
ticker's rows are read, by its column ticker or symbol, as a file's are; how its files are laid out
is looked at once, at first use.
"""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.addresses import is_url, without_login
from pipeline.errors import MalformedPrices, SettingsError, StockcastError, UnknownTicker
from pipeline.prices.formats import column_of, reason_of, remote_files, unreachable
from pipeline.prices.priced_tables import prices_of_frame
from pipeline.prices.source import RawPrices
from pipeline.universes import as_ticker

#: The folder that makes a folder a Delta table.
DELTA_LOG = "_delta_log"
#: How pandas names an index without a name, such as one of dates.
INDEX_PREFIX = "__index_level_"


class LakeSource:
    """Prices from a lake.

    Args:
        place: its path, or a URL that fsspec reads.
    """

    name = "lake"
    reads_all = True
    is_metered = False

    def __init__(self, place: str | Path) -> None:
        self._place = str(place) if is_url(str(place)) else str(Path(place).expanduser())

    def __str__(self) -> str:
        return without_login(self._place)

    def tickers(self) -> None:
        """Return None: there may be more than anybody lists."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        import pyarrow.dataset as ds

        if ticker not in self._spellings:
            raise UnknownTicker(
                f"{ticker} is not among the {len(self._spellings)} tickers of {self}. Spell it as "
                f"its column {self._ticker_column} does."
            )
        columns = [
            name
            for name in self._table.schema.names
            if column_of(name) or name.startswith(INDEX_PREFIX)
        ]
        chosen = ds.field(self._ticker_column).isin(self._spellings[ticker])
        try:
            rows = self._table.to_table(columns=columns, filter=chosen).to_pandas()
        except Exception as error:  # each file system has errors of its own
            raise self._problem(error) from None
        return prices_of_frame(rows, ticker, f"{ticker} from {self}", first, last)

    @cached_property
    def _spellings(self) -> dict[str, list[Any]]:
        """The cells of the ticker column, by the ticker that they spell."""
        import pyarrow.compute as pc

        try:
            cells = self._table.to_table(columns=[self._ticker_column])[self._ticker_column]
        except Exception as error:  # each file system has errors of its own
            raise self._problem(error) from None
        spellings: dict[str, list[Any]] = {}
        for cell in pc.unique(cells).to_pylist():
            if ticker := as_ticker(str(cell)):
                spellings.setdefault(ticker, []).append(cell)
        return spellings

    @cached_property
    def _ticker_column(self) -> str:
        names: list[str] = self._table.schema.names
        for name in names:
            if (column := column_of(name)) and column[0] == "ticker":
                return name
        raise SettingsError(
            f"{self} has no column ticker or symbol, by which rows are chosen; it has "
            f"{', '.join(names[:12])}. Add it, or read one file per ticker with the csv source."
        )

    @cached_property
    def _table(self) -> Any:
        """The lake as pyarrow's data set."""
        import pyarrow.dataset as ds

        files, path = remote_files(self._place)
        try:
            is_folder = files.info(path)["type"] == "directory"
            if is_folder and files.isdir(f"{path.rstrip('/')}/{DELTA_LOG}"):
                return self._delta_table()
            return ds.dataset(path, filesystem=files, format="parquet", partitioning="hive")
        except Exception as error:  # each file system has errors of its own
            raise self._problem(error) from None

    def _delta_table(self) -> Any:
        try:
            deltalake = import_module("deltalake")
        except ImportError:
            raise SettingsError(
                f"{self} is a Delta table, and the package that reads it is not installed. Install "
                "it (pip install deltalake), or export the table as Parquet."
            ) from None
        return deltalake.DeltaTable(self._place).to_pyarrow_dataset()

    def _problem(self, error: Exception) -> StockcastError:
        if isinstance(error, StockcastError):
            return error
        # Over HTTP, fsspec says so of every failure, and gives its cause.
        if isinstance(error, FileNotFoundError) and error.__cause__ is None:
            return SettingsError(
                f"{self} does not exist; the lake source needs a folder, file or URL of Parquet "
                "files or of a Delta table (flag --data or STOCKCAST_DATA)."
            )
        if is_url(self._place) and not isinstance(error, ValueError):  # as pyarrow's are
            return unreachable(self._place, error)
        reason = reason_of(error).replace(self._place, str(self))
        return MalformedPrices(f"{self}: cannot be read ({reason}). Mend or remove the file.")
