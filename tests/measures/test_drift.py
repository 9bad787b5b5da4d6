"""Drift: bands against sums over the binomial, the index against a loop, warnings with advice."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.measures import drift


def scores(sessions, inside=(0.8, 0.95), pinball=1.0, ewma=1.0, horizons=5):
    """Return the SCORES columns that drift looks at.

    Args:
        inside: the share of the sessions that lay in the 80% and in the 95% interval.
    """
    days = pd.bdate_range("2013-01-01", periods=sessions)
    rows = pd.DataFrame(
        {"session": np.repeat(days, horizons), "horizon": list(range(1, horizons + 1)) * sessions}
    )
    place = np.repeat(np.arange(sessions) / sessions, horizons)
    return rows.assign(
        ticker="A",
        backfilled=False,
        inside_80=place < inside[0],
        inside_95=place < inside[1],
        pinball=pinball,
        ewma_pinball=ewma,
    )


def judge(table, psi=math.nan):
    """Return the judgement of all scores of one ticker."""
    question = {"ticker": "A", "cutoff": pd.Timestamp("2100-01-01"), "psi": psi}
    [judgement] = drift.judge_each(table.assign(ticker="A"), pd.DataFrame([question]))
    return judgement


@pytest.mark.parametrize(
    ("in_time", "backfilled", "judged"),
    [(60, 60, (False, 60)), (20, 60, (False, 20)), (19, 60, (True, 60)), (19, 18, (False, 19)),
     (0, 60, (True, 60)), (0, 0, (False, 0))],
)  # fmt: skip
def test_only_what_was_published_in_time_is_judged_once_it_is_enough(in_time, backfilled, judged):
    good = scores(60, inside=(1, 1)).tail(5 * in_time)
    bad = scores(60, inside=(0, 0)).tail(5 * backfilled).assign(backfilled=True)
    judgement = judge(pd.concat([good, bad]))
    assert (judgement.backfilled, judgement.sessions) == judged
    assert judgement.row()["backfilled"] == judgement.backfilled
    if judgement.sessions >= drift.FEWEST_SCORED_SESSIONS:
        assert judgement.coverage_80 == (0 if judgement.backfilled else 1)


@pytest.mark.parametrize(("level", "sessions"), [(80, 60), (95, 60), (80, 21), (95, 20), (80, 2)])
def test_a_band_leaves_out_what_is_rarer_than_its_tail(level, sessions):
    count, share = round(sessions * drift.INDEPENDENT_SHARE), level / 100
    chances = [
        math.comb(count, hits) * share**hits * (1 - share) ** (count - hits)
        for hits in range(count + 1)
    ]
    low, high = (round(bound * count) for bound in drift.coverage_band(level, sessions))
    assert sum(chances[:low]) <= drift.BAND_TAIL < sum(chances[: low + 1])
    assert sum(chances[high + 1 :]) <= drift.BAND_TAIL < sum(chances[high:])


def test_forecasts_within_their_bands_warn_of_nothing():
    judged = judge(scores(60), psi=0.1)
    assert (judged.sessions, judged.warnings) == (60, {})
    assert (judged.coverage_80, judged.coverage_95, judged.pinball_skill) == (
        pytest.approx(0.8),
        pytest.approx(0.95),
        0.0,
    )


@pytest.mark.parametrize(
    ("changes", "psi", "kind", "warning"),
    [
        (
            {"inside": (0.5, 0.95)},
            0.1,
            "coverage_80",
            r"50% of the actual prices of the last 60 sessions .* too narrow: look for a split",
        ),
        (
            {"inside": (1.0, 1.0)},
            0.1,
            "coverage_80",
            r"100% of the actual prices .* too wide: the market has calmed",
        ),
        (
            {"inside": (0.8, 0.8)},
            0.1,
            "coverage_95",
            r"80% of the actual prices .* the 95% interval.* too narrow",
        ),
        (
            {"pinball": 1.05},
            0.1,
            "pinball_skill",
            r"-5\.0% against the EWMA random walk .* `stockcast backtest`",
        ),
        ({}, 0.4, "psi", r"stability index is 0\.40, at most 0\.25 is usual"),
    ],
    ids=["narrow", "wide", "95% too narrow", "skill", "psi"],
)
def test_what_leaves_its_band_is_warned_of(changes, psi, kind, warning):
    judged = judge(scores(60, **changes), psi)
    assert list(judged.warnings) == [kind]
    assert pd.Series(judged.warnings[kind]).str.contains(warning).all()
    assert drift.warnings_of(judged.row()["warnings"]) == judged.warnings


def test_the_newest_sessions_alone_are_judged():
    before, since = scores(200, inside=(0.2, 0.2), pinball=2.0), scores(60)
    since["session"] += before["session"].max() - pd.Timestamp("2012-12-31")
    assert judge(pd.concat([before, since]), 0.1).row() == judge(since, 0.1).row()


def test_many_tickers_and_cutoffs_are_judged_as_each_by_itself():
    tables = {"A": scores(90, pinball=1.1), "B": scores(70, inside=(0.5, 0.9)), "C": scores(30)}
    tables["B"] = tables["B"][tables["B"]["session"] > pd.Timestamp("2013-02-01")]
    days = pd.to_datetime(["2012-12-31", "2013-01-31", "2013-03-29", "2013-12-31"])
    questions = pd.DataFrame(
        [
            {"ticker": ticker, "cutoff": day, "psi": 0.1}
            for ticker in ("B", "A", "C", "NONE")
            for day in days
        ]
    )
    all_scores = pd.concat([table.assign(ticker=ticker) for ticker, table in tables.items()])
    judged = drift.judge_each(all_scores, questions)
    for judgement, row in zip(judged, questions.itertuples(), strict=True):
        table = tables.get(row.ticker, tables["A"].iloc[:0])
        pd.testing.assert_series_equal(
            pd.Series(judgement.row()),
            pd.Series(judge(table[table["session"] <= row.cutoff], row.psi).row()),
        )


def test_too_few_sessions_are_not_judged():
    judged = judge(scores(drift.FEWEST_SCORED_SESSIONS - 1, inside=(0, 0), pinball=9.0))
    assert judged.warnings == {}
    assert np.isnan(
        [judged.coverage_80, judged.coverage_95, judged.pinball_skill, judged.psi]
    ).all()
    assert drift.warnings_of(judged.row()["warnings"]) == {}


def test_skill_is_of_the_rows_that_have_both_losses():
    table = scores(60, pinball=0.9)
    table.loc[table["session"] < table["session"].unique()[30], "ewma_pinball"] = np.nan
    table.loc[table["ewma_pinball"].isna(), "pinball"] = 100.0
    assert judge(table).pinball_skill == pytest.approx(0.1)


def test_fewer_sessions_have_a_wider_band():
    assert drift.skill_bound(15) == pytest.approx(2 * drift.skill_bound(60))
    assert drift.skill_bound(500) == drift.skill_bound(60) == drift.LOWEST_SKILL


def stability(reference, newest):
    return drift.population_stability(drift.Reference.of(reference), newest)


def test_the_stability_index_is_the_sum_of_a_plain_loop():
    random = np.random.default_rng(1)
    reference, newest = random.normal(0, 1, (1000, 2)), random.normal(0.5, 1.5, (300, 2))
    newest[:7, 0] = np.nan
    indices = []
    for feature in range(2):
        ordered = sorted(reference[:, feature])
        edges = [np.quantile(ordered, tenth / 10) for tenth in range(1, 10)]
        cells = []
        for values in (reference[:, feature], newest[:, feature]):
            counts = [0.5] * 10
            for value in [value for value in values if not np.isnan(value)]:
                counts[sum(value > edge for edge in edges)] += 1
            cells.append([count / sum(counts) for count in counts])
        indices.append(
            sum((now - before) * math.log(now / before) for before, now in zip(*cells, strict=True))
        )
    assert stability(reference, newest) == pytest.approx(np.mean(indices))


def test_the_same_inputs_are_stable_and_too_few_are_not_judged():
    values = np.random.default_rng(2).normal(size=(500, 3))
    assert stability(values, values) == 0
    assert stability(values, values + 3) > drift.HIGHEST_PSI
    assert math.isnan(stability(values, values[: drift.FEWEST_STABILITY_WINDOWS - 1]))
    constant = np.ones((500, 1))
    assert stability(constant, constant) == 0
