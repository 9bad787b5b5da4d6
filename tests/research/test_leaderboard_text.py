"""The words and percentages that people read of a leaderboard."""

import pytest

from pipeline.research.leaderboard import leaderboard
from pipeline.research.leaderboard_text import readable_horizons, readable_leaderboard, verdicts
from tests.made_forecasts import forecasts_of


@pytest.fixture(scope="module")
def board():
    return leaderboard(forecasts_of())


def test_the_verdicts_name_who_loses(board):
    sentences = verdicts(board)
    assert "wide loses to naive and loses to ewma." in sentences
    assert "ewma beats naive." in sentences


def test_few_cutoffs_have_no_verdict():
    assert verdicts(leaderboard(forecasts_of(count=39)))[0].endswith(
        "cannot be distinguished from naive on 39 cutoffs (40 are the least)."
    )


def test_the_table_for_people_has_a_line_per_forecaster_in_percent(board):
    shown = readable_leaderboard(board)
    assert shown["recipe"].tolist() == list(dict.fromkeys(board["recipe"]))
    skills = shown.set_index("recipe")["skill against ewma"]
    assert skills["ewma"] == "itself"
    row = board[(board["recipe"] == "wide") & (board["horizon"] == 0)].iloc[0]
    skill, low, high = (100 * row[f"skill_ewma{end}"] for end in ("", "_low", "_high"))
    assert skills["wide"] == f"{skill:.2f}% [{low:.2f}, {high:.2f}]"
    assert readable_horizons(board).columns.tolist() == ["recipe", "1", "2"]


def test_har_is_an_opponent_where_it_takes_part(board):
    forecasts = forecasts_of().replace({"recipe": {"wide": "har"}})
    beside = leaderboard(forecasts)
    shown = readable_leaderboard(beside).set_index("recipe")
    assert shown.loc["har", "skill against har"] == "itself"
    row = beside[(beside["recipe"] == "ewma") & (beside["horizon"] == 0)].iloc[0]
    losses = beside[beside["horizon"] == 0].set_index("recipe")["pinball"]
    assert row["skill_har"] == pytest.approx(1 - losses["ewma"] / losses["har"])
    assert "ewma beats naive and beats har." in verdicts(beside)
    assert "skill against har" not in readable_leaderboard(board)
