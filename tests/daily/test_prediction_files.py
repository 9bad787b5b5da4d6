"""Test predictions as CSV: read back as written, and their spread."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import spread_of_changes
from pipeline.daily.prediction_files import (
    decode_predictions,
    encode_predictions,
    predictions_table,
    results_csv,
)
from pipeline.windows import Newest, Split, Windowing, encode, load_dataset
from tests.made_windows import spec_of, walk


@pytest.fixture(scope="module")
def test_windows():
    history = walk(100)
    split = Split(Newest(5), Newest(5), min_train_windows=1)
    spec = spec_of(history, Windowing(10), horizon=2, split=split)
    return load_dataset(encode(history, spec)).test


@pytest.fixture(scope="module")
def table(test_windows):
    quantiles = test_windows.last[:, None, None] + np.arange(-3.0, 4.0) * np.ones((5, 2, 1))
    return predictions_table(test_windows, quantiles)


def test_a_table_has_a_row_per_window_and_horizon(test_windows, table):
    assert table["horizon"].tolist() == [1] * 5 + [2] * 5
    first = table[table["horizon"] == 1]
    np.testing.assert_array_equal(first["cutoff"], test_windows.origins)
    np.testing.assert_array_equal(first["session"], test_windows.sessions[:, 0])
    np.testing.assert_array_equal(first["actual"], test_windows.actual[:, 0])
    np.testing.assert_array_equal(first["prediction"], test_windows.last)
    assert (table["upper_95"] - table["lower_95"]).tolist() == [pytest.approx(6)] * 10
    assert (table["upper_98"] - table["lower_98"] > 6).all()
    assert (table["upper_50"] - table["lower_50"]).tolist() == [pytest.approx(2)] * 10


def test_a_table_comes_back_from_its_file(table):
    read = decode_predictions(encode_predictions(table))
    pd.testing.assert_frame_equal(read, table, check_dtype=False)


def test_results_are_written_as_the_sources_write_theirs(table):
    lines = results_csv(table).decode().splitlines()
    assert lines[0] == "date,actual,prediction" and len(lines) == 1 + 5


def test_the_spread_is_1_where_forecasts_move_as_prices_do_and_0_where_they_do_not_move(table):
    assert spread_of_changes(table.assign(prediction=table["actual"])) == pytest.approx(1)
    assert spread_of_changes(table) == pytest.approx(0)
    assert math.isnan(spread_of_changes(table.assign(actual=table["naive"])))
