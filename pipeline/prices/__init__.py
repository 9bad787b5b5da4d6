"""Prices: sources, the one treatment of their rows, and the histories that a model may see."""

from pipeline.prices import adjustment, masking, misprints, price_basis, repair, usual
from pipeline.prices.adjustment import adjust
from pipeline.prices.calendar_fit import (
    ForeignDays,
    ending_calendar,
    foreign_days,
    require_own_days,
)
from pipeline.prices.csv_files import CsvSource
from pipeline.prices.event_files import (
    DIVIDEND,
    EVENT_KINDS,
    REPORT,
    REPORTED,
    EventFile,
    read_event_file,
)
from pipeline.prices.formats import FileSurvey, FolderSurvey, survey
from pipeline.prices.history import (
    Histories,
    Revisions,
    fetch_histories,
    histories_as_of,
    on_calendar,
)
from pipeline.prices.kept_histories import HistoryRequest, KeptHistories
from pipeline.prices.lake import LakeSource
from pipeline.prices.masking import mask
from pipeline.prices.own_database import SqlSource
from pipeline.prices.own_function import FunctionSource
from pipeline.prices.pacing import Pacing
from pipeline.prices.read_ahead import FilesReadAhead
from pipeline.prices.renamed_tickers import fetch_renamed
from pipeline.prices.repair import repaired, unsettled
from pipeline.prices.restating import (
    Restatement,
    absent_bars,
    basis_factor,
    is_behind,
    restatement,
    without_taken_back,
)
from pipeline.prices.sample import SampleSource
from pipeline.prices.services import SERVICES
from pipeline.prices.source import (
    AFTER_ANY_PRICE,
    BEFORE_ANY_PRICE,
    LATE,
    EventSource,
    Fetched,
    RawPrices,
    Source,
    bars_in_words,
    days_in_words,
    fetch,
    may_be_late,
    newest_session,
    require_known,
)
from pipeline.prices.yahoo import YahooSource

__all__ = [
    "AFTER_ANY_PRICE",
    "BEFORE_ANY_PRICE",
    "DIVIDEND",
    "EVENT_KINDS",
    "LATE",
    "REPORT",
    "REPORTED",
    "SERVICES",
    "CsvSource",
    "EventFile",
    "EventSource",
    "Fetched",
    "FileSurvey",
    "FilesReadAhead",
    "FolderSurvey",
    "ForeignDays",
    "FunctionSource",
    "Histories",
    "HistoryRequest",
    "KeptHistories",
    "LakeSource",
    "Pacing",
    "RawPrices",
    "Restatement",
    "Revisions",
    "SampleSource",
    "Source",
    "SqlSource",
    "YahooSource",
    "absent_bars",
    "adjust",
    "adjustment",
    "bars_in_words",
    "basis_factor",
    "days_in_words",
    "ending_calendar",
    "fetch",
    "fetch_histories",
    "fetch_renamed",
    "foreign_days",
    "histories_as_of",
    "is_behind",
    "mask",
    "masking",
    "may_be_late",
    "misprints",
    "newest_session",
    "on_calendar",
    "price_basis",
    "read_event_file",
    "repair",
    "repaired",
    "require_known",
    "require_own_days",
    "restatement",
    "survey",
    "unsettled",
    "usual",
    "without_taken_back",
]
