"""Price files as their producers write them: content, layout, cells, and rows by ticker.

- `file_content`: where a file is (folder, archive, URL) and its text
- `file_names`: which names are price files, and of which ticker
- `columns`: the spellings of each column, and the producers known by theirs
- `file_layout`: separator, title lines and header
- `number_cells`, `date_cells`: numbers and dates in all their spellings
- `file_actions`: splits and dividends of the file's own, and the basis of its prices
- `row_parsing`: numbers and dates in place of text, with what is wrong beside them
- `file_rows`: all of it together
- `file_survey`: what files are taken for, for people
"""

from pipeline.prices.formats.columns import column_of
from pipeline.prices.formats.file_actions import NO_ACTIONS
from pipeline.prices.formats.file_content import (
    PriceFile,
    files_at,
    reason_of,
    remote_files,
    unreachable,
)
from pipeline.prices.formats.file_names import (
    is_generic,
    is_surely_prices,
    name_of_original,
    name_ticker,
    no_ticker,
)
from pipeline.prices.formats.file_rows import (
    FileTable,
    TickerRows,
    exchange_of,
    names_tickers,
    read_table,
    table_of,
    tickers_of,
)
from pipeline.prices.formats.file_survey import FileSurvey, FolderSurvey, survey

__all__ = [
    "NO_ACTIONS",
    "FileSurvey",
    "FileTable",
    "FolderSurvey",
    "PriceFile",
    "TickerRows",
    "column_of",
    "exchange_of",
    "files_at",
    "is_generic",
    "is_surely_prices",
    "name_of_original",
    "name_ticker",
    "names_tickers",
    "no_ticker",
    "read_table",
    "reason_of",
    "remote_files",
    "survey",
    "table_of",
    "tickers_of",
    "unreachable",
]
