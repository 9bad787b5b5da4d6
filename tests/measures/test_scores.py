"""Realised errors, in the dollars that the forecast was made in."""

import pandas as pd
import pytest

from pipeline.measures.scores import count_withheld, counted, score
from pipeline.quantiles import PROBABILITIES, QUANTILE_COLUMNS
from pipeline.tables import FORECASTS, HISTORY, PRICES, PUBLICATIONS

THURSDAY, FRIDAY, MONDAY = pd.to_datetime(["2013-02-28", "2013-03-01", "2013-03-04"])


def forecast(session, horizon, **changes):
    """Return a FORECASTS row: 101 dollars, 1, 2 and 4 dollars to either bound."""
    bounds = {
        f"{side}_{level}": 101.0 + sign * width
        for level, width in ((50, 1.0), (80, 2.0), (95, 4.0), (98, 5.0))
        for side, sign in (("lower", -1), ("upper", 1))
    }
    row = {
        "universe": "u",
        "recipe": "r",
        "target": "close",
        "ticker": "IBM",
        "cutoff": THURSDAY,
        "horizon": horizon,
        "session": session,
        "last_value": 100.0,
        "y_hat": 101.0,
        "champion": "lstm",
        "model_id": "m",
    }
    return {**row, **bounds, **changes}


def prices(table, closes, **columns):
    """Return a table of prices whose bars have no height."""
    frame = pd.DataFrame({"session": list(closes), "close": list(closes.values()), "ticker": "IBM"})
    for column in table.columns:
        if column not in frame:
            frame[column] = frame["close"]
    return table.conform(frame.assign(**columns))


def walks(forecasts, width=3.0):
    """Return the random walk's forecasts: the last value, and six quantiles `width` apart."""
    quantiles = {name: 100.0 + (place - 3) * width for place, name in enumerate(QUANTILE_COLUMNS)}
    keys = [{name: row[name] for name in ("ticker", "cutoff", "horizon")} for row in forecasts]
    return pd.DataFrame([{**key, **quantiles} for key in keys])


def scored(forecasts, tape, adjusted=None, target="close", baseline=None, usable=None, **columns):
    ewma = walks(forecasts) if baseline is None else baseline
    return score(
        FORECASTS.conform(pd.DataFrame(forecasts)).assign(published_at=THURSDAY, backfilled=False),
        {"ewma": ewma, "har": walks(forecasts[:1], width=1.0)},
        prices(HISTORY, adjusted or tape, **columns),
        prices(HISTORY, usable or adjusted or tape, **columns),
        prices(PRICES, tape),
        target,
    )


def mean_pinball(actual, quantiles, last):
    total = 0.0
    for probability, quantile in zip(PROBABILITIES, quantiles, strict=True):
        error = actual - quantile
        total += probability * error if error > 0 else (probability - 1) * error
    return total / 7 / last


def test_errors_are_actual_minus_forecast_next_to_those_of_the_last_price():
    table = scored([forecast(FRIDAY, 1)], {THURSDAY: 100.0, FRIDAY: 104.0})
    columns = ["actual", "error", "naive_error", "inside_80", "inside_95"]
    assert table[columns].values.tolist() == [[104.0, 3.0, 4.0, False, True]]


def test_a_forecast_whose_bar_is_missing_waits():
    table = scored([forecast(FRIDAY, 1), forecast(MONDAY, 2)], {THURSDAY: 100.0, FRIDAY: 101.0})
    assert table["horizon"].tolist() == [1]


def test_a_split_in_between_is_undone():
    tape, adjusted = {THURSDAY: 100.0, FRIDAY: 51.0}, {THURSDAY: 50.0, FRIDAY: 51.0}
    assert scored([forecast(FRIDAY, 1)], tape, adjusted)["actual"].tolist() == [102.0]


def test_a_dividend_in_between_counts_towards_the_adjusted_close():
    # 2 dollars were paid on Friday: Thursday's adjusted close is 98% of its price on the tape.
    table = scored(
        [forecast(FRIDAY, 1, target="adj_close")],
        {THURSDAY: 100.0, FRIDAY: 98.0},
        adj_close=[98.0, 98.0],
        target="adj_close",
    )
    assert table["actual"].tolist() == pytest.approx([100.0])


def test_losses_are_those_of_a_plain_loop_next_to_the_random_walks_on_the_same_bar():
    forecasts = [forecast(FRIDAY, 1), forecast(MONDAY, 2, last_value=50.0)]
    table = scored(forecasts, {THURSDAY: 100.0, FRIDAY: 104.0, MONDAY: 95.5})
    published = [97.0, 99.0, 100.0, 101.0, 102.0, 103.0, 105.0]
    walk = [91.0, 94.0, 97.0, 100.0, 103.0, 106.0, 109.0]
    for name, quantiles in (("pinball", published), ("ewma_pinball", walk)):
        assert table[name].tolist() == pytest.approx(
            [mean_pinball(104.0, quantiles, 100.0), mean_pinball(95.5, quantiles, 50.0)]
        )
    har = mean_pinball(104.0, [97, 98, 99, 100, 101, 102, 103], 100.0)
    assert table["har_pinball"].tolist() == pytest.approx([har, float("nan")], nan_ok=True)


def test_the_random_walk_is_matched_by_cutoff_and_horizon_in_any_order_of_its_rows():
    forecasts = [forecast(FRIDAY, 1), forecast(MONDAY, 2)]
    baseline = pd.concat(
        [
            walks([forecasts[1]], width=6.0),
            walks([forecasts[0]]),
            walks([forecast(MONDAY, 1, cutoff=FRIDAY)], width=9.0),
        ]
    )
    table = scored(forecasts, {THURSDAY: 100.0, FRIDAY: 100.0, MONDAY: 100.0}, baseline=baseline)
    assert table["ewma_pinball"].iloc[1] == pytest.approx(2 * table["ewma_pinball"].iloc[0])
    assert table["ewma_pinball"].iloc[0] == pytest.approx(
        mean_pinball(100.0, [91, 94, 97, 100, 103, 106, 109], 100.0)
    )


def test_a_loss_without_its_quantiles_is_nan_and_the_rest_of_the_row_is_there():
    # The second is from before there were such bounds.
    forecasts = [forecast(FRIDAY, 1), forecast(MONDAY, 2, lower_50=None, upper_50=None)]
    tape = {THURSDAY: 100.0, FRIDAY: 104.0, MONDAY: 104.0}
    table = scored(forecasts, tape, baseline=walks([forecasts[1]]))
    assert table["pinball"].isna().tolist() == [False, True]
    assert table["ewma_pinball"].isna().tolist() == [True, False]
    assert table["error"].tolist() == [3.0, 3.0] and table["inside_95"].all()


def test_a_price_that_must_not_be_used_gives_no_score_and_changes_no_other():
    forecasts = [forecast(FRIDAY, 1), forecast(MONDAY, 2)]
    tape = {THURSDAY: 100.0, FRIDAY: 99.0, MONDAY: 104.0}
    # Masked at the cutoff too: the forecast was made from that price, right or wrong.
    usable = {**tape, THURSDAY: float("nan"), FRIDAY: float("nan")}
    every, left = scored(forecasts, tape), scored(forecasts, tape, usable=usable)
    pd.testing.assert_frame_equal(left, every[every["session"] == MONDAY].reset_index(drop=True))
    frames = (prices(HISTORY, of) for of in (tape, usable))
    assert count_withheld(FORECASTS.conform(pd.DataFrame(forecasts)), *frames, "close") == 1


#: Revisions of one forecast: hour of publication (the session opens at 10), value, withdrawn.
FIRST, SECOND, TAKEN_BACK, THIRD = (8, 1.0, ""), (9, 2.0, ""), (9, 2.0, "jump"), (9.5, 3.0, "")
LATE, TAKEN_BACK_LATE = (11, 4.0, ""), (12, 4.0, "jump")


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ([FIRST], (1.0, False)),
        ([FIRST, SECOND, LATE], (1.0, False)),
        ([FIRST, TAKEN_BACK], None),
        ([FIRST, TAKEN_BACK, THIRD, LATE], (3.0, False)),
        ([FIRST, TAKEN_BACK, LATE], (4.0, True)),
        ([FIRST, TAKEN_BACK_LATE], (1.0, False)),
        ([LATE], (4.0, True)),
        ([(10, 1.0, ""), LATE], (4.0, True)),
        ([LATE, TAKEN_BACK_LATE], None),
    ],
)
def test_the_first_publication_before_the_open_counts_or_else_the_one_that_stands(
    revisions, expected
):
    other = [{**forecast(MONDAY, 2), "published_at": FRIDAY, "withdrawn": ""}]
    own = [
        {
            **forecast(FRIDAY, 1, y_hat=value),
            "published_at": FRIDAY + pd.Timedelta(hours=hour),
            "withdrawn": withdrawn,
        }
        for hour, value, withdrawn in revisions
    ]
    table = pd.DataFrame([*other, *own]).assign(known_at=FRIDAY, published_by="made")
    table = PUBLICATIONS.conform(table.sample(frac=1, random_state=1))
    rows = counted(table, table["session"] + pd.Timedelta(hours=10))
    chosen = rows[rows["horizon"] == 1][["y_hat", "backfilled"]].itertuples(index=False, name=None)
    assert list(chosen) == ([] if expected is None else [expected])
    assert rows["horizon"].tolist()[-1] == 2
