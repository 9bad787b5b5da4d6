"""Publications: every one is kept, and what stands is the newest that was not withdrawn."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from pipeline.storage.publications import LEFT_OUT
from pipeline.tables import FORECASTS, PUBLICATIONS, RUN_TICKERS, RUNS, SCORES
from tests.storage.made_rows import EVENING, HOUR, MONDAY, TUESDAY, WEDNESDAY

KEY = {"universe": "u", "recipe": "r", "target": "close", "cutoff": MONDAY}
COLUMNS = ["ticker", "horizon", "published_at", "y_hat", "withdrawn"]


def forecasts(**medians: list[float]) -> pd.DataFrame:
    """Return FORECASTS by ticker: a median per session ahead."""
    rows = [
        {**KEY, "ticker": ticker, "horizon": horizon, "session": session, "y_hat": value}
        for ticker, values in medians.items()
        for horizon, (value, session) in enumerate(
            zip(values, (TUESDAY, WEDNESDAY), strict=False), 1
        )
    ]
    table = pd.DataFrame(rows).assign(champion="ewma", model_id="")
    return FORECASTS.conform(table.reindex(columns=list(FORECASTS.columns)))


@pytest.fixture
def publish(store):
    """Publish by ticker, an hour after the time before unless `at` says when."""
    moments = iter(EVENING + number * HOUR for number in range(100))

    def publish(at: dt.datetime | None = None, **medians: list[float]) -> int:
        store.publications.clock = lambda: at or next(moments)
        return store.publications.publish(
            forecasts(**medians), [], EVENING, "made", **KEY, ticker=list(medians)
        )

    return publish


def revisions(store):
    table = store.load(PUBLICATIONS)
    table["published_at"] = [
        (moment - EVENING.replace(tzinfo=None)) / HOUR for moment in table["published_at"]
    ]
    return table[COLUMNS].values.tolist()


def test_each_change_is_a_revision_and_what_stands_is_the_newest(store, publish):
    assert publish(A=[1.0, 2.0], B=[5.0, 6.0]) == 4
    assert publish(A=[1.0, 2.5], B=[5.0, 6.0]) == 1
    assert revisions(store) == [
        ["A", 1, 0.0, 1.0, ""],
        ["A", 2, 0.0, 2.0, ""],
        ["A", 2, 1.0, 2.5, ""],
        ["B", 1, 0.0, 5.0, ""],
        ["B", 2, 0.0, 6.0, ""],
    ]
    assert store.load(FORECASTS)["y_hat"].tolist() == [1.0, 2.5, 5.0, 6.0]
    first = store.load(PUBLICATIONS).iloc[0]
    assert first["known_at"] == EVENING.replace(tzinfo=None) and first["published_by"] == "made"


def test_the_same_again_changes_nothing(store, publish):
    publish(A=[1.0, float("nan")])
    before = store.load(PUBLICATIONS)
    assert publish(A=[1.0, float("nan")]) == 0
    pd.testing.assert_frame_equal(store.load(PUBLICATIONS), before)


def test_what_is_withdrawn_stands_no_more_and_comes_back_as_a_revision(store, publish):
    publish(A=[1.0], B=[5.0])
    store.save(RUN_TICKERS, pd.DataFrame([{**KEY, "ticker": t, "run_id": "1"} for t in "AB"]))
    store.publications.clock = lambda: EVENING + 5 * HOUR
    beside = [(RUN_TICKERS, RUN_TICKERS.empty())]
    gone = store.publications.withdraw({"A": "jump"}, beside, "made", **KEY)
    again = store.publications.withdraw({"A": "jump"}, beside, "made", **KEY)
    assert (gone, again) == (1, 0)
    assert store.load(FORECASTS)["ticker"].tolist() == ["B"]
    assert store.load(RUN_TICKERS)["ticker"].tolist() == ["B"]
    assert publish(A=[1.0], at=EVENING + 6 * HOUR) == 1
    assert [row for row in revisions(store) if row[0] == "A"] == [
        ["A", 1, 0.0, 1.0, ""],
        ["A", 1, 5.0, 1.0, "jump"],
        ["A", 1, 6.0, 1.0, ""],
    ]


def test_a_session_ahead_that_is_not_forecast_again_is_withdrawn(store, publish):
    publish(A=[1.0, 2.0])
    assert publish(A=[1.0]) == 1
    assert revisions(store)[1:] == [["A", 2, 0.0, 2.0, ""], ["A", 2, 1.0, 2.0, LEFT_OUT]]
    assert store.load(FORECASTS)["horizon"].tolist() == [1]


def test_revisions_are_dated_in_their_order_though_the_clock_goes_back(store, publish):
    publish(A=[1.0], at=EVENING + 24 * HOUR)
    publish(A=[2.0], at=EVENING)
    moments = store.load(PUBLICATIONS)["published_at"]
    assert moments.is_monotonic_increasing and moments.is_unique
    assert store.load(FORECASTS)["y_hat"].tolist() == [2.0]


def test_what_is_written_beside_is_written_with_it_or_not_at_all(store, publish):
    publish(A=[1.0])
    run = pd.DataFrame([{**KEY, "ticker": "OTHER", "run_id": "1"}])
    with pytest.raises(ValueError, match="outside the group"):
        store.publications.publish(
            forecasts(A=[2.0]), [(RUN_TICKERS, run)], EVENING, "made", **KEY, ticker=["A"]
        )
    assert store.load(FORECASTS)["y_hat"].tolist() == [1.0] and len(revisions(store)) == 1


def test_what_has_no_score_is_found_with_all_its_revisions(store, publish):
    publish(A=[1.0, 2.0])
    publish(A=[1.5, 2.0])
    score = forecasts(A=[1.0, 2.0]).tail(1).assign(published_at=pd.NaT)
    flags = dict.fromkeys(("inside_80", "inside_95", "backfilled"), True)
    store.save(SCORES, score.reindex(columns=list(SCORES.columns)).assign(**flags))
    found = store.publications.unscored(MONDAY, WEDNESDAY, universe="u")
    assert found["y_hat"].tolist() == [1.0, 1.5]
    assert store.publications.unscored(WEDNESDAY, WEDNESDAY).empty


def test_a_later_run_moves_its_own_tickers_and_every_run_stays(store):
    def publish(run_id: str, **medians: list[float]) -> None:
        run = pd.DataFrame([{"run_id": run_id, **KEY}]).reindex(columns=list(RUNS.columns))
        members = pd.DataFrame([{**KEY, "ticker": t, "run_id": run_id} for t in medians])
        store.publications.publish(
            forecasts(**medians),
            [(RUNS, run), (RUN_TICKERS, members)],
            EVENING,
            "made",
            **KEY,
            ticker=list(medians),
        )

    publish("first", A=[1.0], B=[5.0])
    publish("later", B=[5.0])
    behind = {t: store.publications.run_of(**KEY, ticker=t)["run_id"].tolist() for t in "ABC"}
    assert behind == {"A": ["first"], "B": ["later"], "C": []}
    assert store.load(RUNS)["run_id"].tolist() == ["first", "later"]
