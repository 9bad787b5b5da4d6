"""Joint distributions: paths of all stocks together, portfolios of them, and their measures."""

from pipeline.joint.dependence import (
    FEWEST_PAST_SESSIONS,
    MOST_PAST_SESSIONS,
    Dependence,
    dependence_of,
    past_changes,
)
from pipeline.joint.margins import outer_quantiles, quantiles_at, strata
from pipeline.joint.multivariate_scores import energy_score, variogram_score
from pipeline.joint.portfolio import Portfolio, expected_shortfall, gains_of, value_at_risk
from pipeline.joint.portfolio_file import read_portfolio
from pipeline.joint.risk_record import SCENARIOS, PastForecast, RiskRecord, record_of
from pipeline.joint.shuffle import gaussian_copula, independent, schaake_shuffle

__all__ = [
    "FEWEST_PAST_SESSIONS",
    "MOST_PAST_SESSIONS",
    "SCENARIOS",
    "Dependence",
    "PastForecast",
    "Portfolio",
    "RiskRecord",
    "dependence_of",
    "energy_score",
    "expected_shortfall",
    "gains_of",
    "gaussian_copula",
    "independent",
    "outer_quantiles",
    "past_changes",
    "quantiles_at",
    "read_portfolio",
    "record_of",
    "schaake_shuffle",
    "strata",
    "value_at_risk",
    "variogram_score",
]
