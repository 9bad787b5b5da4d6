"""Scores: earlier forecasts next to the prices of their sessions."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import plan
from pipeline.daily.score import _baseline_predictions
from pipeline.models import EWMA, HAR
from pipeline.quantiles import QUANTILE_COLUMNS
from pipeline.quantiles import losses as quantile_losses
from pipeline.tables import CHECKS, FINDINGS, FORECASTS, PUBLICATIONS, SCORES
from tests.daily.quick_days import quick_day, scored_days, take_steps
from tests.made_days import NOW, TRAINED, UNIVERSE
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

ONE = dataclasses.replace(UNIVERSE, tickers=("AAA",))
SESSIONS = [dt.date(2013, 2, 27), dt.date(2013, 2, 28), LAST]


@pytest.fixture(scope="module")
def scored_home(tmp_path_factory):
    """The home of AAA's three sessions."""
    return scored_days(tmp_path_factory.mktemp("scored"), ONE, SESSIONS)


def test_forecasts_are_scored_when_their_session_has_closed(scored):
    scores = scored.store.load(SCORES)
    assert [(f"{row.cutoff:%d}", row.horizon) for row in scores.itertuples()] == [
        ("27", 1),
        ("27", 2),
        ("28", 1),
    ]


def test_an_error_is_the_actual_value_less_the_forecast(scored, source):
    [score] = scored.store.load(SCORES, cutoff=SESSIONS[1]).to_dict("records")
    close = source.bars["AAA"]["close"].iloc[-1]
    assert score["actual"] == pytest.approx(close)
    assert score["error"] == pytest.approx(close - score["y_hat"])
    assert score["naive_error"] == score["error"], "ewma's median is the last price"


def test_scores_follow_a_corrected_price(scored, source):
    first = {"cutoff": SESSIONS[0], "horizon": 1}
    before = scored.store.load(SCORES, **first)["actual"].iloc[0]
    bars = source.bars["AAA"]
    bars.loc[bars.index[-2], ["open", "high", "low", "close"]] *= 1.01
    quick_day(scored, LAST, ONE, last="score", now=NOW + dt.timedelta(days=1))
    assert scored.store.load(SCORES, **first)["actual"].iloc[0] == pytest.approx(1.01 * before)


def test_a_wrong_print_takes_back_its_score_and_a_correction_brings_it(scored, source):
    """The print of the 28th is undone at the next open, which is when the gate masks it."""
    of_print = {"session": SESSIONS[1]}
    first = scored.store.load(SCORES, **of_print)
    assert len(first) == 1
    bars, day = source.bars["AAA"], pd.Timestamp(SESSIONS[1])
    right = bars.copy()
    bars.loc[bars["date"] == day, ["high", "close"]] *= 2
    quick_day(scored, LAST, ONE, last="score", now=NOW + dt.timedelta(days=1))
    assert scored.store.load(SCORES, **of_print).empty
    assert scored.messages[-1][2].endswith("1 withheld: their price is masked or condemned")
    source.bars["AAA"] = right
    quick_day(scored, LAST, ONE, last="score", now=NOW + dt.timedelta(days=2))
    pd.testing.assert_frame_equal(scored.store.load(SCORES, **of_print), first)


def test_a_price_gives_no_score_while_the_newest_verdict_condemns_it(scored):
    of_day, run = {"session": SESSIONS[1]}, plan(scored, ONE, SESSIONS[1], NOW)
    first = scored.store.load(SCORES, **of_day)
    scored.store.replace(CHECKS, CHECKS.empty(), cutoff=LAST)  # the next session is not there yet
    jump = {"rule": "jump_unexplained", "session": SESSIONS[1], "message": "It jumps."}
    cells = [
        {**run.key, **jump, "ticker": "AAA", "column": column, "severity": severity}
        for column, severity in (("close", "quarantine"), ("open", "record"))
    ]
    scored.store.save(FINDINGS, pd.DataFrame(cells))
    take_steps(scored, run, "score", "score")
    assert (len(first), len(scored.store.load(SCORES, **of_day))) == (1, 0)
    # The next session finds nothing wrong with it.
    quick_day(scored, LAST, ONE, last="score")
    pd.testing.assert_frame_equal(scored.store.load(SCORES, **of_day), first)


def test_no_forecast_is_scored_across_a_change_of_the_basis_until_the_source_mends_it(scored):
    """The newest verdict finds that the 28th changes it; forecasts of the 28th are after that."""
    first = scored.store.load(SCORES)
    run = plan(scored, ONE, LAST, NOW)
    change = {
        "rule": "basis_changed",
        "session": SESSIONS[1],
        "message": "1/100 of the bars before",
    }
    cell = {**run.key, **change, "ticker": "AAA", "column": "close", "severity": "quarantine"}
    scored.store.save(FINDINGS, pd.DataFrame([cell]))
    take_steps(scored, run, "score", "score")
    left = scored.store.load(SCORES)
    assert left["cutoff"].dt.date.unique().tolist() == [SESSIONS[1]]
    assert scored.messages[-1][2].endswith("2 withheld: their price is masked or condemned")
    scored.store.replace(FINDINGS, FINDINGS.empty(), **run.key, ticker=["AAA"])
    take_steps(scored, run, "score", "score")
    pd.testing.assert_frame_equal(scored.store.load(SCORES), first)


def test_the_first_publication_before_the_open_counts_whatever_is_published_later(parts, source):
    """The session is repeated after a correction of its bar, when its outcome is known."""
    evening, next_evening = (
        dt.datetime(2013, 2, day, 22, tzinfo=dt.UTC) for day in (SESSIONS[0].day, SESSIONS[1].day)
    )
    of_day = {"cutoff": SESSIONS[0], "horizon": 1}
    bars = source.bars["AAA"]
    parts.store.publications.clock = lambda: evening
    quick_day(parts, SESSIONS[0], ONE, last="score")
    parts.store.publications.clock = lambda: next_evening
    quick_day(parts, SESSIONS[1], ONE, last="score")
    first = parts.store.load(SCORES, **of_day)
    assert first["backfilled"].tolist() == [False]
    assert first["published_at"].tolist() == [pd.Timestamp(evening).tz_localize(None)]
    bars.loc[bars["date"] == pd.Timestamp(SESSIONS[0]), ["open", "high", "low", "close"]] *= 1.02
    for session in SESSIONS[:2]:
        quick_day(parts, session, ONE, last="score", now=NOW + dt.timedelta(days=1))
    again = parts.store.load(SCORES, **of_day)
    medians = parts.store.load(PUBLICATIONS, **of_day)["y_hat"].tolist()
    assert medians[1] == pytest.approx(1.02 * medians[0])
    assert parts.store.load(FORECASTS, **of_day)["y_hat"].tolist() == medians[1:]
    assert again["y_hat"].tolist() == medians[:1]
    assert again["error"].tolist() == pytest.approx(first["error"].tolist())
    # The second day's were published in time, and the first day's for the day after it.
    assert not parts.store.load(SCORES)["backfilled"].any()


def test_what_is_published_after_the_open_is_scored_as_backfilled(scored):
    assert scored.store.load(SCORES)["backfilled"].all()


def test_scoring_again_changes_nothing(scored):
    before = scored.store.load(SCORES)
    take_steps(scored, plan(scored, ONE, LAST, NOW), "score", "score")
    pd.testing.assert_frame_equal(scored.store.load(SCORES), before)
    assert scored.messages[-1][2].endswith("0 scores new or changed")


def test_a_split_is_seen_from_its_day_on_and_forecasts_are_in_the_dollars_of_their_cutoff(
    parts, source
):
    day = pd.Timestamp("2013-02-26")
    bars = source.bars["AAA"]
    after = bars["date"] >= day
    bars.loc[after, ["open", "high", "low", "close"]] /= 2
    bars.loc[after, "volume"] *= 2
    source.actions["AAA"] = pd.DataFrame({"date": [day], "kind": ["split"], "value": [2.0]})
    before, later = (
        quick_day(parts, dt.date(2013, 2, number), ONE, last="score") for number in (25, 26)
    )
    tape = bars.set_index("date")["close"]
    last = [parts.rows(FORECASTS, run)["last_value"].iloc[0] for run in (before, later)]
    assert last == [tape[pd.Timestamp("2013-02-25")], tape[day]]
    score = parts.store.load(SCORES, ticker="AAA", cutoff=before.session, horizon=1).iloc[0]
    assert score["actual"] == pytest.approx(2 * tape[day])


def test_universes_with_other_trainings_do_not_write_over_each_others_random_walk(parts):
    one, other = (
        dataclasses.replace(TRAINED, name=name, retrain=retrain, tickers=("OLD",))
        for name, retrain in (("a", "monthly"), ("b", "daily"))
    )
    asked = ["OLD"], [pd.Timestamp(SESSIONS[0])]
    run = quick_day(parts, SESSIONS[0], one, last="evaluate")
    before = _baseline_predictions(parts, run, *asked)
    of_other = dataclasses.replace(run, universe=other)
    quick_day(parts, SESSIONS[0], other, last="evaluate")
    again, elsewhere = (_baseline_predictions(parts, each, *asked) for each in (run, of_other))
    for name in (EWMA, HAR):
        pd.testing.assert_frame_equal(again[name], before[name])
        assert len(before[name]) == 5
        assert not before[name]["q025"].equals(elsewhere[name]["q025"])


def test_har_is_scored_beside_what_is_published_and_the_random_walk(parts):
    before = quick_day(parts, SESSIONS[1], TRAINED, last="publish")
    quick_day(parts, LAST, TRAINED, last="score")
    scores = parts.store.load(SCORES, **before.key)
    losses = scores[["pinball", "ewma_pinball", "har_pinball"]]
    assert len(scores) == 4 and losses.notna().all(axis=None)
    own = scores["ticker"] == "OLD"
    cutoffs = [pd.Timestamp(SESSIONS[1])]
    har = _baseline_predictions(parts, before, ["OLD"], cutoffs)[HAR].iloc[0]
    [score] = scores[own].to_dict("records")
    last = score["actual"] - score["naive_error"]
    quantiles = har[list(QUANTILE_COLUMNS)].to_numpy("float64")[None, None]
    expected = quantile_losses(np.array([[score["actual"]]]), quantiles, np.array([last]))
    assert score["har_pinball"] == pytest.approx(expected[0, 0])
