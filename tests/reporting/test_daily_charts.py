"""Charts of the day are pictures, the same each time, and see nothing after the cutoff."""

import pandas as pd
import pytest

from pipeline.reporting import charts
from pipeline.reporting.charts.figures import DIGIT_WIDTH, new_figure, number_width
from tests.reporting.made_day import CALIBRATION_ROWS, FORECAST_ROWS, FRIDAY, MONDAY, made_history

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


def drift_rows(tickers: str) -> pd.DataFrame:
    """Return DRIFT rows of two sessions for tickers of one letter, each at a level of its own."""
    levels = {ticker: place / 10 for place, ticker in enumerate(tickers)}
    figures = ("coverage_80", "coverage_95", "pinball_skill", "psi")
    return pd.DataFrame(
        {"ticker": ticker, "cutoff": session, **dict.fromkeys(figures, level)}
        for session in (FRIDAY, MONDAY)
        for ticker, level in levels.items()
    )


DRAWINGS = {
    "predictions": lambda: charts.prediction_plot("AAPL", PREDICTIONS, ""),
    "predictions in pence": lambda: charts.prediction_plot("AAPL", PREDICTIONS, "GBp"),
    "forecasts": lambda: charts.forecast_chart(made_history(), FORECASTS_OF_AAPL),
    "calibrations": lambda: charts.calibration_chart(CALIBRATION_ROWS),
    "drift of few tickers": lambda: charts.drift_chart(drift_rows("AB")),
    "drift of many tickers": lambda: charts.drift_chart(drift_rows("ABCDEFGH")),
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


def test_no_line_of_many_tickers_leads_from_one_to_the_next():
    pictures = {charts.drift_chart(drift_rows(order)) for order in ("ABCDEFGH", "HABCDEFG")}
    assert len(pictures) == 1


@pytest.mark.parametrize(
    ("highest", "longest"), [(4e-6, "0.0000040"), (52.0, "50"), (4e7, "40000000")]
)
def test_a_margin_has_room_for_prices_that_are_written_out(highest, longest):
    _, axes = new_figure(5.4, 2.6, is_fitted=False)
    axes.set_ylim(0, highest)
    assert number_width(axes) == len(longest) * DIGIT_WIDTH
