"""Filters of rows: spans, lists and values of every kind; an unknown column is refused."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.storage import Span
from pipeline.tables import CHECKS, EVALUATIONS, SCORES
from tests.storage.made_rows import EVENING, MONDAY, any_rows


def test_a_span_is_a_filter_with_one_end_or_both(store):
    store.save(SCORES, any_rows(SCORES))  # of 1990, 2024 and 2100
    leap = dt.date(2024, 2, 29)
    spans = (Span(), Span(leap), Span(last=leap), Span(leap, leap))
    assert [len(store.load(SCORES, session=span)) for span in spans] == [3, 2, 2, 1]
    with pytest.raises(ValueError, match="no columns"):
        store.load(SCORES, day=Span(leap))


def test_filters_take_dates_timestamps_numbers_of_numpy_and_lists(store):
    store.save(SCORES, any_rows(SCORES))
    assert len(store.load(SCORES, session=dt.date(2024, 2, 29), horizon=np.int64(1))) == 1
    sessions = [pd.Timestamp("2024-02-29"), np.datetime64("1990-01-02")]
    assert len(store.load(SCORES, session=sessions, inside_80=[True, False])) == 2
    assert len(store.load(SCORES, horizon=[])) == 0
    with pytest.raises(ValueError, match="no columns"):
        store.load(SCORES, tickr="IBM")


def test_text_that_looks_like_sql_is_only_text(store):
    evil = "'; DROP TABLE checks; --"
    store.save(CHECKS, any_rows(CHECKS, 1).assign(ticker=evil))
    assert store.load(CHECKS, ticker=evil)["ticker"].tolist() == [evil]
    assert store.prices.last_sessions(evil, [evil], MONDAY, EVENING) == {}


def test_evaluations_of_a_dataset_are_found_by_split(store):
    rows = any_rows(EVALUATIONS).assign(split=["test", "validation", "test"])
    store.save(EVALUATIONS, rows)
    assert len(store.load(EVALUATIONS, split="test")) == 2


def test_replacing_with_rows_outside_the_group_is_refused(store):
    with pytest.raises(ValueError, match="outside the group"):
        store.replace(CHECKS, any_rows(CHECKS).assign(ticker="AAPL"), ticker="IBM")
    assert len(store.load(CHECKS)) == 0
