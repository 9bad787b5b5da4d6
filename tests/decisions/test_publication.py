"""From choices to rows: figures of what is published, and forecasts calibrated at the cutoff."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.decisions import ChoiceReplay, Observed, promotion_rows, publication
from pipeline.decisions.blending import blend
from pipeline.joint import outer_quantiles
from pipeline.measures import calibration
from pipeline.models import EWMA
from pipeline.quantiles import INTERVALS, MEDIAN
from pipeline.run import Run
from pipeline.universes import Universe
from tests.decisions.made_choices import (
    CURRENT,
    CUTOFF,
    choice_among,
    knowing,
    stock_with,
    with_har,
)

SESSION = dt.date(2021, 5, 14)
RUN = Run(
    Universe("made", "sample", ("IBM",), horizon=2),
    SESSION,
    *4 * (CUTOFF,),
    forecast_sessions=(dt.date(2021, 5, 17), dt.date(2021, 5, 18)),
    known_at=dt.datetime(2021, 5, 15, tzinfo=dt.UTC),
)
FIGURES = ["test_rmse", "skill", "test_pinball", "pinball_skill"]


@pytest.fixture(scope="module")
def stock():
    return stock_with()


@pytest.fixture(scope="module")
def choice(stock):
    return choice_among(stock, [(CURRENT, knowing(stock, 0.5))])


def promoted(choice, weight):
    """Return the PROMOTIONS row of a choice."""
    weights = {} if weight is None else {"IBM": weight}
    [row] = promotion_rows(RUN, {"IBM": choice}, weights, {"IBM": CUTOFF}).to_dict("records")
    return row


def test_a_network_with_a_weight_is_published_with_the_rest_of_the_baseline(choice):
    row = promoted(choice, 0.6)
    assert (row["champion"], row["model_id"], row["weight"]) == ("lstm", "m1", 0.6)
    assert row["baseline"] == EWMA
    assert row["training_cutoff"] == pd.Timestamp(CUTOFF)
    assert row["reasons"].endswith(
        "60% of it and the rest of ewma, by validation and the evidence of all stocks together"
    )
    assert row["test_sessions"] == 100 and row["skill"] > 0 and row["pinball_skill"] > 0


def test_a_network_without_a_weight_leaves_the_baseline_but_shows_its_own_figures(choice):
    row = promoted(choice, 0.0)
    assert (row["champion"], row["model_id"], row["weight"]) == (EWMA, EWMA, 0.0)
    assert "no weight is left to it, so ewma is published alone" in row["reasons"]
    alone = promoted(choice, 1.0)
    assert [row[name] for name in FIGURES] == [alone[name] for name in FIGURES]


def test_without_a_network_there_are_figures_of_the_baselines_alone(stock):
    row = promoted(choice_among(stock, [], "too young"), None)
    assert (row["champion"], row["weight"]) == (EWMA, 0.0)
    assert all(np.isnan(row[name]) for name in FIGURES)
    assert row["naive_test_rmse"] > 0 and row["ewma_test_pinball"] > 0
    assert np.isnan(row["har_test_pinball"]) and np.isnan(row["pinball_skill_over_har"])


def test_har_is_the_rest_of_a_network_s_blend_and_has_figures_where_it_is_published(stock):
    measured = with_har(stock)
    choice = choice_among(measured, [(CURRENT, knowing(stock, 0.5))])
    blended, alone = promoted(choice, 0.6), promoted(choice, 0.0)
    assert (blended["champion"], blended["baseline"]) == ("lstm", "har")
    assert (alone["champion"], alone["model_id"]) == ("har", "har")
    assert "no weight is left to it, so har is published alone" in alone["reasons"]
    young = promoted(choice_among(measured, [], "too young"), None)
    assert young["champion"] == "har"
    assert [young[name] for name in FIGURES] == [alone[name] for name in FIGURES]
    assert abs(young["pinball_skill"]) < 0.05
    assert young["har_test_pinball"] == young["test_pinball"] == alone["har_test_pinball"]
    assert young["pinball_skill_over_har"] == 0
    ratio = blended["test_pinball"] / blended["har_test_pinball"]
    assert blended["har_test_pinball"] == alone["har_test_pinball"]
    assert blended["pinball_skill_over_har"] == pytest.approx(1 - ratio)
    assert [alone[name] for name in FIGURES] != [blended[name] for name in FIGURES]


@pytest.mark.parametrize("weight", [0.6, 0.0])
def test_what_is_published_with_har_has_what_it_forecasts_of_the_replay(stock, weight):
    measured = with_har(stock)
    choice = choice_among(measured, [(CURRENT, knowing(stock, 0.5))])
    plain = replay_of(stock, 0.5)
    replay = ChoiceReplay(plain.observed, plain.forecasts, None, measured.har)
    published = publication(RUN, [promoted(choice, weight)], {"IBM": choice}, {"IBM": replay})
    har = measured.har(replay.observed)
    raw = blend(replay.forecasts, har, weight) if weight else har
    expected = calibration.replay(replay.observed.actual, raw, replay.observed.position)
    np.testing.assert_allclose(published.forecasts["lower_80"], expected.quantiles[-1, :, 1])
    with pytest.raises(ValueError, match="har was not fitted"):
        publication(RUN, [promoted(choice, weight)], {"IBM": choice}, {"IBM": plain})


def test_no_choices_make_no_rows():
    assert promotion_rows(RUN, {}, {}, {}).empty


def replay_of(stock, share):
    """Return the test windows as a replay: the last one ends at the cutoff."""
    return ChoiceReplay(Observed.of(stock.dataset.test), knowing(stock, share).test, None)


@pytest.mark.parametrize("weight", [1.0, 0.6, 0.0])
def test_what_is_published_is_the_blend_calibrated_by_the_sessions_before(stock, choice, weight):
    replay = replay_of(stock, 0.5)
    published = publication(RUN, [promoted(choice, weight)], {"IBM": choice}, {"IBM": replay})
    observed, ewma = replay.observed, choice.fitted[EWMA](replay.observed)
    raw = blend(replay.forecasts, ewma, weight) if weight else ewma
    expected = calibration.replay(observed.actual, raw, observed.position)
    forecasts = published.forecasts
    assert forecasts["session"].dt.date.tolist() == list(RUN.forecast_sessions)
    assert (forecasts["last_value"] == observed.last[-1]).all()
    np.testing.assert_allclose(forecasts["y_hat"], expected.quantiles[-1, :, MEDIAN])
    for level, bounds in INTERVALS.items():
        for side, bound in zip(("lower", "upper"), bounds, strict=True):
            values = forecasts[f"{side}_{level}"]
            np.testing.assert_allclose(values, expected.quantiles[-1, :, bound])
    outer = outer_quantiles(expected.quantiles[-1])
    np.testing.assert_allclose(forecasts[["lower_98", "upper_98"]], outer)
    assert (forecasts["lower_98"] < forecasts["lower_95"]).all()
    assert (forecasts["upper_98"] > forecasts["upper_95"]).all()


def test_what_is_published_falls_by_declared_dividends_unless_it_is_naive(stock, choice):
    replay = replay_of(stock, 0.5)

    def published(champion, *money):
        row = promoted(choice, 0.0) | {"champion": champion}
        dividends = {"IBM": np.array(money)} if money else {}
        made = publication(RUN, [row], {"IBM": choice}, {"IBM": replay}, dividends)
        return made.forecasts[["last_value", "y_hat", "lower_95", "upper_95"]].to_numpy()

    before = published("ewma")
    last = before[0, 0]
    share = published("ewma", 0.0, 0.05 * last) / before
    np.testing.assert_allclose(share, [[1, 1, 1, 1], [1, 0.95, 0.95, 0.95]])
    assert np.array_equal(published("ewma", 0.1 * last, 0.0), before), "too large to be believed"
    assert np.array_equal(published("naive", 0.0, 0.05 * last), published("naive"))


def test_calibrations_count_the_replayed_sessions_whose_outcome_is_known(stock, choice):
    replay = replay_of(stock, 0.5)
    rows = publication(RUN, [promoted(choice, 1.0)], {"IBM": choice}, {"IBM": replay}).calibrations
    actual, raw = replay.observed.actual[:-1], replay.forecasts[:-1]
    assert rows["horizon"].tolist() == [1, 2]
    assert rows["sessions"].tolist() == np.isfinite(actual).sum(axis=0).tolist() == [99, 99]
    inside = (raw[:, :, 1] <= actual) & (actual <= raw[:, :, 5])
    assert rows["raw_coverage_80"].tolist() == pytest.approx(inside.mean(axis=0).tolist())


def test_a_network_that_was_not_replayed_cannot_be_published(stock, choice):
    nothing = ChoiceReplay(Observed.of(stock.dataset.test), None, None)
    with pytest.raises(ValueError, match="IBM: its replay has no forecasts of lstm"):
        publication(RUN, [promoted(choice, 0.6)], {"IBM": choice}, {"IBM": nothing})
