"""Charts of the day are pictures, the same each time, and see nothing after the cutoff."""

import pandas as pd
import pytest

from pipeline.reporting import charts
from tests.reporting.made_day import FORECAST_ROWS, FRIDAY, MONDAY, made_history

FORECASTS_OF_AAPL = FORECAST_ROWS[FORECAST_ROWS["ticker"] == "AAPL"]
PREDICTIONS = pd.DataFrame(
    {
        "session": [FRIDAY, MONDAY],
        "horizon": 1,
        "actual": [1.0, 2.0],
        "prediction": [1.5, 2.0],
        "naive": [1.0, 1.0],
        **{f"lower_{level}": [1.0, 1.5] for level in (50, 80, 95)},
        **{f"upper_{level}": [2.0, 2.5] for level in (50, 80, 95)},
    }
)
DRAWINGS = {
    "predictions": lambda: charts.prediction_plot("AAPL", PREDICTIONS, ""),
    "predictions in pence": lambda: charts.prediction_plot("AAPL", PREDICTIONS, "GBp"),
    "forecasts": lambda: charts.forecast_chart(made_history(), FORECASTS_OF_AAPL),
    "forecasts after two sessions": lambda: charts.forecast_chart(
        made_history(2), FORECASTS_OF_AAPL
    ),
}


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_charts_are_pictures_and_the_same_each_time(drawing):
    picture = DRAWINGS[drawing]()
    assert picture == DRAWINGS[drawing]()
    assert picture.startswith(b"\x89PNG") and b"matplotlib" not in picture


def test_a_chart_of_predictions_names_the_currency_where_it_is_known():
    pictures = {charts.prediction_plot("AAPL", PREDICTIONS, name) for name in ("", "GBp", "GBP")}
    assert len(pictures) == 3


def test_a_forecast_chart_sees_nothing_after_the_cutoff():
    history = made_history()
    later = pd.concat([history, history.tail(1).assign(session=MONDAY, close=999.0)])
    before_and_after = {charts.forecast_chart(rows, FORECASTS_OF_AAPL) for rows in (history, later)}
    assert len(before_and_after) == 1
