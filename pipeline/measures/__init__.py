"""Measures of forecasts and of evidence: pure functions of arrays and tables."""

from pipeline.measures import calibration, drift, metrics, scores
from pipeline.measures.distributions import CRPS_WEIGHTS, crps, pit_moments, pit_p_value, qlike
from pipeline.measures.drift import DRIFT_SESSIONS, HIGHEST_PSI, LOWEST_SKILL, coverage_band
from pipeline.measures.exceedances import (
    REJECTED_BELOW,
    ExceedanceTest,
    exceedance_test,
    exceeded,
    promised_share,
)
from pipeline.measures.metrics import directional_accuracy, realised, root_mean_squared_error, skill
from pipeline.measures.published_intervals import FEWEST_SESSIONS, interval_record
from pipeline.measures.scores import FORECAST_COLUMNS
from pipeline.measures.significance import (
    CONFIDENCE,
    CORRELATED_SESSIONS,
    Estimate,
    difference,
    kept_share,
    mean_estimate,
    ratio_estimate,
    share_estimate,
    t_statistic,
)

__all__ = [
    "CONFIDENCE",
    "CORRELATED_SESSIONS",
    "CRPS_WEIGHTS",
    "DRIFT_SESSIONS",
    "FEWEST_SESSIONS",
    "FORECAST_COLUMNS",
    "HIGHEST_PSI",
    "LOWEST_SKILL",
    "REJECTED_BELOW",
    "Estimate",
    "ExceedanceTest",
    "calibration",
    "coverage_band",
    "crps",
    "difference",
    "directional_accuracy",
    "drift",
    "exceedance_test",
    "exceeded",
    "interval_record",
    "kept_share",
    "mean_estimate",
    "metrics",
    "pit_moments",
    "pit_p_value",
    "promised_share",
    "qlike",
    "ratio_estimate",
    "realised",
    "root_mean_squared_error",
    "scores",
    "share_estimate",
    "skill",
    "t_statistic",
]
