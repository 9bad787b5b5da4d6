"""The picture of a study: every forecast over all test sessions, and the newest ones larger."""

import numpy as np
import pandas as pd
import pytest

from pipeline.reporting import charts
from pipeline.reporting.charts.study_charts import CLOSE_UP, study_figure


def predictions(sessions, default=1.0):
    """Return what two recipes forecast of a price that rises by 1 a session."""
    actual = np.arange(sessions) + 100.0
    dates = pd.bdate_range("2016-01-04", periods=sessions)
    table = pd.DataFrame({"date": dates, "actual": actual, "naive": actual - 1})
    return {
        "flat": table.assign(prediction=100.0, default=actual + default),
        "late": table.assign(prediction=actual - 2, default=actual + default),
    }


def test_many_sessions_are_drawn_once_whole_and_once_the_newest_of_them():
    made = predictions(3 * CLOSE_UP)
    whole, newest = study_figure("IBM, high", made).axes
    assert whole.get_title(loc="left") == (
        "IBM, high: one session ahead, 180 test sessions, RMSE in the prices' currency"
    )
    assert newest.get_title(loc="left") == "the newest 60 of them"
    labels = ["actual", "default 1.0000", "flat 103.49", "late 2.0000", "naive 1.0000"]
    for axes, first in ((whole, 0), (newest, 2 * CLOSE_UP)):
        assert [line.get_label() for line in axes.lines] == labels
        drawn = [line.get_ydata() for line in axes.lines]
        table = made["late"].iloc[first:]
        for line, name in ((0, "actual"), (1, "default"), (3, "prediction"), (4, "naive")):
            np.testing.assert_array_equal(drawn[line], table[name])
        assert (drawn[2] == 100).all()
    assert whole.get_legend() is None and newest.get_legend() is not None


@pytest.mark.parametrize(("sessions", "panels"), [(CLOSE_UP, 1), (CLOSE_UP + 1, 2)])
def test_few_sessions_are_drawn_once(sessions, panels):
    assert len(study_figure("IBM, high", predictions(sessions)).axes) == panels


def test_without_the_default_recipe_the_others_are_drawn():
    (axes,) = study_figure("IBM, high", predictions(10, default=np.nan)).axes
    assert [line.get_label().split()[0] for line in axes.lines] == [
        "actual",
        "flat",
        "late",
        "naive",
    ]


def test_the_picture_is_a_png():
    assert charts.study_plot("IBM, high", predictions(10)).startswith(b"\x89PNG")
