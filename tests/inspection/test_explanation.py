"""A published forecast is explained from what is stored."""

import dataclasses

import pytest

from pipeline.errors import NothingStored, SettingsError
from pipeline.inspection import explanation_text, find_explanation
from pipeline.models import RECIPES
from pipeline.tables import LINEUPS, PRICE_REVISIONS, PROMOTIONS, RUN_TICKERS
from tests.made_days import SMALL, TRAINED
from tests.made_prices import LAST

pytestmark = pytest.mark.slow


def explained(parts, ticker):
    return find_explanation(parts, LAST, ticker, universe="trained")


def test_a_published_row_is_shown_with_its_data_networks_decision_and_settings(made_day):
    parts, run = made_day
    explanation = explained(parts, "OLD")
    text = explanation_text(parts, explanation)
    row = parts.rows(PROMOTIONS, run, ["OLD"]).iloc[0]
    rows = parts.store.load(PRICE_REVISIONS, ticker="OLD")
    assert f"published: {row['champion']}" in text
    assert all(reason in text for reason in str(row["reasons"]).split("; ")[:2])
    assert str(rows["known_at"].max()) in text
    for network in explanation.networks:
        file = parts.artifacts.url(parts.networks.file_of(network.model_id))
        assert network.model_id in text and file in text
    assert {network.role for network in explanation.networks} == {"lstm", "previous", "pool"}
    assert text.count("(published)") == 1
    assert "went on from the pooled network" in text and "trained together by OLD, TWO" in text
    assert "NOT THERE" not in text and "changed since" not in text
    assert all(f"{role}:" in text for role in explanation.datasets["role"])
    assert "tickers OLD, TWO, YNG, AAA; horizon 5, retrain monthly" in text
    assert "tensorflow" in text and "seed" in text


def test_a_forecast_without_a_network_is_shown_as_such(made_day):
    parts, _ = made_day
    text = explanation_text(parts, explained(parts, "AAA"))
    assert "none: too little history" in text
    assert "published: har" in text


def test_a_young_stock_has_the_network_that_the_others_trained(made_day):
    parts, _ = made_day
    [network] = explained(parts, "YNG").networks
    assert (network.role, network.members) == ("pooled", ("OLD", "TWO"))


def test_one_horizon_alone(made_day):
    parts, _ = made_day
    explanation = explained(parts, "OLD")
    whole, one = explanation_text(parts, explanation), explanation_text(parts, explanation, 3)
    assert len(whole.splitlines()) - len(one.splitlines()) == 2 * (TRAINED.horizon - 1)
    with pytest.raises(SettingsError, match=r"horizon is 9; this forecast reaches 1, 2, 3, 4, 5"):
        explanation_text(parts, explanation, 9)


def test_a_recipe_changed_since_is_named(copied_day):
    copied_day.recipes = RECIPES.replaced(dataclasses.replace(SMALL, epochs=1))
    explanation = explained(copied_day, "TWO")
    text = explanation_text(copied_day, explanation)
    assert text.count("its recipe has been changed since") == len(explanation.networks) > 0


def test_a_recipe_on_another_device_today_is_no_change(copied_day):
    copied_day.recipes = RECIPES.replaced(SMALL).on("gpu")
    assert "changed since" not in explanation_text(copied_day, explained(copied_day, "TWO"))


def test_without_a_lineup_the_published_network_alone_is_shown(copied_day):
    networks = {network.role for network in explained(copied_day, "OLD").networks}
    copied_day.store.replace(LINEUPS, LINEUPS.empty(), universe="trained", ticker="OLD")
    explanation = explained(copied_day, "OLD")
    [network] = explanation.networks
    assert network.role == explanation.promotion["champion"] in networks
    text = explanation_text(copied_day, explanation)
    assert f"model {network.model_id} (published)" in text
    assert "did not keep which networks it compared" in text


def test_without_its_request_the_text_says_how_to_keep_it(copied_day):
    copied_day.store.replace(RUN_TICKERS, RUN_TICKERS.empty(), universe="trained", ticker="AAA")
    text = explanation_text(copied_day, explained(copied_day, "AAA"))
    assert "not kept by the version that published it" in text


@pytest.mark.parametrize(
    ("ticker", "day", "series", "message"),
    [
        (
            "AAA",
            27,
            {},
            "AAA: no forecast made after 2013-02-27 is stored (universe trained). "
            "There are some made after 2013-03-01.",
        ),
        (
            "AAA",
            None,
            {"recipe": "defualt"},
            "no forecast of AAA is stored (universe trained, recipe defualt); "
            "there are some of universe trained, recipe default.",
        ),
        (
            "ZZZ",
            None,
            {},
            "ZZZ 2013-03-01: no forecast of ZZZ is stored (universe trained); "
            "there are some of AAA, OLD, TWO, YNG.",
        ),
    ],
)
def test_where_nothing_was_published_the_error_says_what_there_is(
    made_day, ticker, day, series, message
):
    parts, _ = made_day
    session = LAST.replace(month=2, day=day) if day else LAST
    with pytest.raises(NothingStored) as error:
        find_explanation(parts, session, ticker, universe="trained", **series)
    assert message in str(error.value)
