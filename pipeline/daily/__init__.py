"""The day: one file per step, what a session compares (its lineup), and the tables of its pages."""

from pipeline.daily import lineup, page_tables
from pipeline.daily.admission import INGEST_FAILED, passed, reasons_of
from pipeline.daily.currencies import with_currency
from pipeline.daily.dataset_files import OWN_ROLES, POOL_ROLES, dataset_file, read_dataset
from pipeline.daily.day_figures import DayCounts, counts_of, published_figures, watched_figures
from pipeline.daily.export import export_sessions, sessions_to_export
from pipeline.daily.ingest import probe
from pipeline.daily.ingest_events import ingest_events
from pipeline.daily.joint_forecasts import USUAL_PATHS
from pipeline.daily.kept_sums import KeptSums
from pipeline.daily.known_events import with_events
from pipeline.daily.lineup import Lineup, NetworkEntry
from pipeline.daily.network_requests import DATASET_ROLES
from pipeline.daily.plan import decisive_settings, plan, plan_each, run_of, to_ingest
from pipeline.daily.portfolio_risk import PastRisk, PortfolioRisk, past_risk, portfolio_risk
from pipeline.daily.prediction_files import spread_of_changes
from pipeline.daily.prepare_run import prepare_run
from pipeline.daily.price_readings import read_files_ahead
from pipeline.daily.publish import is_newest_session, speaks_for_universe
from pipeline.daily.regressions import regression_file
from pipeline.daily.report import (
    forecasts_text,
    page_file,
    priced_forecasts,
    reading_commands,
    report_file,
    report_text,
    verdict_of,
)
from pipeline.daily.sandbox import Sandbox
from pipeline.daily.scenarios import paths_file, store_paths
from pipeline.daily.session_processes import SessionProcess, shares_of
from pipeline.daily.shards import MOST_SHARDS, chunks, costs_of, shards
from pipeline.daily.steps import STEPS, TICKER_STEPS, make_forecasts, run_day
from pipeline.daily.tracked_stock import recipe_tags
from pipeline.daily.tracked_stock_metrics import promotion_line
from pipeline.daily.window_cuts import VALIDATION, spec_of

__all__ = [
    "DATASET_ROLES",
    "INGEST_FAILED",
    "MOST_SHARDS",
    "OWN_ROLES",
    "POOL_ROLES",
    "STEPS",
    "TICKER_STEPS",
    "USUAL_PATHS",
    "VALIDATION",
    "DayCounts",
    "KeptSums",
    "Lineup",
    "NetworkEntry",
    "PastRisk",
    "PortfolioRisk",
    "Sandbox",
    "SessionProcess",
    "chunks",
    "costs_of",
    "counts_of",
    "dataset_file",
    "decisive_settings",
    "export_sessions",
    "forecasts_text",
    "ingest_events",
    "is_newest_session",
    "lineup",
    "make_forecasts",
    "page_file",
    "page_tables",
    "passed",
    "past_risk",
    "paths_file",
    "plan",
    "plan_each",
    "portfolio_risk",
    "prepare_run",
    "priced_forecasts",
    "probe",
    "promotion_line",
    "published_figures",
    "read_dataset",
    "read_files_ahead",
    "reading_commands",
    "reasons_of",
    "recipe_tags",
    "regression_file",
    "report_file",
    "report_text",
    "run_day",
    "run_of",
    "sessions_to_export",
    "shards",
    "shares_of",
    "speaks_for_universe",
    "spec_of",
    "spread_of_changes",
    "store_paths",
    "to_ingest",
    "verdict_of",
    "watched_figures",
    "with_currency",
    "with_events",
]
