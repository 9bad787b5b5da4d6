"""Inspection: leaks, the origin of a forecast, and the state of a deployment."""

from pipeline.inspection.audit import (
    AUDIT_LEVELS,
    AUDITED_CUTOFFS,
    AUDITED_EPOCHS,
    AuditReport,
    audit,
    nothing_to_audit,
)
from pipeline.inspection.audited_prices import TradedPrices, bars_of
from pipeline.inspection.comparing import ComparedOutput
from pipeline.inspection.doctor import Diagnosis, diagnosis_of, examine
from pipeline.inspection.explanation import Explanation, find_explanation
from pipeline.inspection.explanation_text import explanation_text
from pipeline.inspection.files_report import FilesReport, TickerReport
from pipeline.inspection.needed_files import NeededFiles, needed_files
from pipeline.inspection.price_files import inspect_files
from pipeline.inspection.rerun import RerunCheck, RerunComparison, rerun
from pipeline.inspection.retention import (
    MLFLOW_FILES,
    KindUsage,
    Usage,
    oldest_kept,
    remove_unneeded,
    size_text,
    usage_of,
)

__all__ = [
    "AUDITED_CUTOFFS",
    "AUDITED_EPOCHS",
    "AUDIT_LEVELS",
    "MLFLOW_FILES",
    "AuditReport",
    "ComparedOutput",
    "Diagnosis",
    "Explanation",
    "FilesReport",
    "KindUsage",
    "NeededFiles",
    "RerunCheck",
    "RerunComparison",
    "TickerReport",
    "TradedPrices",
    "Usage",
    "audit",
    "bars_of",
    "diagnosis_of",
    "examine",
    "explanation_text",
    "find_explanation",
    "inspect_files",
    "needed_files",
    "nothing_to_audit",
    "oldest_kept",
    "remove_unneeded",
    "rerun",
    "size_text",
    "usage_of",
]
