"""Scores are summed up by the database as a loop does it, and series are looked up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.measures import FORECAST_COLUMNS
from pipeline.storage import Span
from pipeline.tables import PROMOTIONS, PUBLICATIONS, SCORES, SERIES
from tests.measures.made_sums import interval_sums_by_loop, sums_by_loop
from tests.storage.made_rows import any_rows


def made_scores() -> pd.DataFrame:
    """Return scores of two tickers and horizons over three months; some lack a loss."""
    rng = np.random.default_rng(3)
    cutoffs = pd.bdate_range("2012-12-17", periods=40)
    rows = pd.MultiIndex.from_product(
        [["AAA", "BBB"], cutoffs, [1, 2]], names=["ticker", "cutoff", "horizon"]
    ).to_frame(index=False)
    count = len(rows)
    rows["session"] = rows["cutoff"] + pd.to_timedelta(rows["horizon"], unit="D")
    losses = ("pinball", "ewma_pinball", "har_pinball")
    for name in ("y_hat", "actual", "error", "naive_error", *losses):
        rows[name] = rng.normal(50 if name in ("y_hat", "actual") else 0, 1, count)
    rows.loc[rng.choice(count, 20), "pinball"] = np.nan
    rows.loc[rows["ticker"].eq("BBB") & rows["horizon"].eq(2), "ewma_pinball"] = np.nan
    rows.loc[rows["cutoff"] < cutoffs[15], "har_pinball"] = np.nan  # no version knew of it
    for name in ("inside_80", "inside_95", "backfilled"):
        rows[name] = rng.random(count) < 0.7
    named = {"universe": "u", "recipe": "r", "target": "close", "champion": "lstm"}
    return SCORES.conform(rows.assign(**named, published_at=rows["cutoff"]))


@pytest.mark.parametrize(
    "by",
    [["ticker"], ["horizon"], ["month"], ["recipe"], [*SERIES, "ticker", "horizon"]],
    ids="-".join,
)
def test_scores_are_summed_up_as_by_a_loop(store, by):
    scores = made_scores()
    store.save(SCORES, scores)
    last = scores["session"].iloc[60].date()
    for rows, filters in (
        (scores, {}),
        (scores[scores["session"] <= pd.Timestamp(last)], {"session": Span(last=last)}),
        (scores[scores["ticker"] == "AAA"], {"universe": "u", "ticker": ["AAA"]}),
    ):
        expected = sums_by_loop(rows, by)
        pd.testing.assert_frame_equal(store.score_sums(by, **filters), expected, check_dtype=False)


@pytest.mark.parametrize("by", [["horizon"], ["ticker", "horizon"]], ids="-".join)
def test_published_intervals_are_summed_up_as_by_a_loop(store, by):
    scores, random = made_scores(), np.random.default_rng(4)
    scores["backfilled"] = scores["ticker"] == "BBB"
    steps = np.sort(random.normal(0, 1, (len(scores), 9)), axis=1)
    columns = ("lower_98", *FORECAST_COLUMNS, "upper_98")
    quantiles = dict(zip(columns, (50 + steps).T, strict=True))
    published = scores.assign(
        last_value=50.0 + random.random(len(scores)),
        **quantiles,
        model_id="m",
        known_at=scores["cutoff"],
        published_by="",
        withdrawn="",
    )
    published.loc[:39, ["lower_98", "upper_98"]] = np.nan  # of the version before
    bounds = [name for name in FORECAST_COLUMNS if name != "y_hat"]
    published.loc[:9, bounds] = np.nan  # from before there were distributions
    later = published.assign(published_at=published["published_at"] + pd.Timedelta(days=9))
    store.save(SCORES, scores)
    store.save(PUBLICATIONS, PUBLICATIONS.conform(pd.concat([published, later])))
    last = scores["session"].iloc[60].date()
    for rows, filters in (
        (published, {}),
        (published[published["session"] <= pd.Timestamp(last)], {"session": Span(last=last)}),
        (published[published["ticker"] == "AAA"], {"universe": "u", "ticker": "AAA"}),
    ):
        sums = store.interval_sums(by, **filters)
        pd.testing.assert_frame_equal(sums, interval_sums_by_loop(rows, by), check_dtype=False)


def test_without_scores_there_are_no_sums(store):
    assert store.score_sums(["ticker"]).empty
    assert store.interval_sums(["ticker"]).empty


def test_each_series_is_found_with_its_newest_cutoff(store):
    assert store.series().empty
    days = ["2013-03-01", "2013-02-01", "2013-03-04", "2012-01-03", "2013-03-05"]
    names = [("u", "r", "close"), ("u", "r", "high"), ("u", "q", "close"), ("a'b", "r", "close")]
    for number, table in enumerate((PROMOTIONS, PUBLICATIONS)):
        for place, (universe, recipe, target) in enumerate(names[number:]):
            rows = any_rows(table).assign(universe=universe, recipe=recipe, target=target)
            store.save(table, rows.assign(cutoff=pd.Timestamp(days[place + 2 * number])))
    assert [tuple(row) for row in store.series().astype(str).values] == [
        ("a'b", "r", "close", "2013-03-05"),
        ("u", "q", "close", "2013-03-04"),
        ("u", "r", "close", "2013-03-01"),
        ("u", "r", "high", "2013-03-04"),
    ]
