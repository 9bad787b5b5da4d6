"""Measures of forecasts and of evidence: pure functions of arrays and tables."""

from pipeline.measures import calibration, drift, metrics, scores
from pipeline.measures.drift import DRIFT_SESSIONS, HIGHEST_PSI, LOWEST_SKILL, coverage_band
from pipeline.measures.exceedances import (
    REJECTED_BELOW,
    ExceedanceTest,
    exceedance_test,
    exceeded,
    promised_share,
)
from pipeline.measures.metrics import directional_accuracy, realised, root_mean_squared_error, skill
from pipeline.measures.significance import CONFIDENCE, difference, t_statistic

__all__ = [
    "CONFIDENCE",
    "DRIFT_SESSIONS",
    "HIGHEST_PSI",
    "LOWEST_SKILL",
    "REJECTED_BELOW",
    "ExceedanceTest",
    "calibration",
    "coverage_band",
    "difference",
    "directional_accuracy",
    "drift",
    "exceedance_test",
    "exceeded",
    "metrics",
    "promised_share",
    "realised",
    "root_mean_squared_error",
    "scores",
    "skill",
    "t_statistic",
]
