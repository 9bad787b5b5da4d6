"""Charts: tables in, PNGs out; the same tables give the same bytes. No disk, clock or network."""

from pipeline.reporting.charts.backtest_charts import (
    horizons_plot,
    pit_plot,
    reliability_plot,
    sharpness_plot,
    through_time_plot,
)
from pipeline.reporting.charts.daily_charts import (
    DRIFT_CHART_SESSIONS,
    calibration_chart,
    drift_chart,
    forecast_chart,
    prediction_plot,
    skill_chart,
)
from pipeline.reporting.charts.embedding_chart import embedding_picture
from pipeline.reporting.charts.study_charts import (
    ablation_plot,
    answers_plot,
    bits_plot,
    look_ahead_plot,
    study_plot,
)

__all__ = [
    "DRIFT_CHART_SESSIONS",
    "ablation_plot",
    "answers_plot",
    "bits_plot",
    "calibration_chart",
    "drift_chart",
    "embedding_picture",
    "forecast_chart",
    "horizons_plot",
    "look_ahead_plot",
    "pit_plot",
    "prediction_plot",
    "reliability_plot",
    "sharpness_plot",
    "skill_chart",
    "study_plot",
    "through_time_plot",
]
