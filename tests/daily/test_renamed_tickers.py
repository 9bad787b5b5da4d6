"""A renamed stock: its prices under both names are one history."""

import dataclasses

import pytest

from pipeline.daily import plan
from pipeline.errors import SettingsError
from pipeline.tables import CHECKS, PRICE_REVISIONS
from pipeline.universes import Universe, load_universes
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import NOW, UNIVERSE
from tests.made_prices import LAST, random_walk

RENAMED = dataclasses.replace(UNIVERSE, tickers=("META", "AAA"), aliases={"META": "FB"})


def closes(parts):
    stored = parts.store.prices.bars("sample", "META", LAST, None)
    return stored.set_index("session")["close"]


def by_date(bars):
    return bars.set_index("date")["close"]


@pytest.fixture
def whole(source):
    """All bars of a stock that is FB up to its last 40 sessions, 5 of which both names have."""
    bars = random_walk(9, 300)
    source.bars["FB"], source.bars["META"] = bars[:-35], bars[-40:]
    return bars


def test_the_history_of_a_renamed_stock_is_that_of_both_names(parts, source, whole):
    run = quick_day(parts, universe=RENAMED, last="publish")
    assert closes(parts).tolist() == by_date(whole).tolist()
    assert sorted(parts.store.load(PRICE_REVISIONS)["ticker"].unique()) == ["AAA", "META"]
    assert parts.rows(CHECKS, run, ["META"])["verdict"].tolist() == ["passed"]
    take_steps(parts, run, last="ingest")  # again
    assert len(parts.store.load(PRICE_REVISIONS, ticker="META")) == 300
    assert not [m for step, t, m in parts.messages if t == "META" and "not used" in m]


def test_before_it_is_renamed_the_former_name_is_its_price(parts, source, whole):
    before = whole["date"].iloc[-60].date()
    quick_day(parts, before, RENAMED, last="ingest")
    assert closes(parts).tolist() == by_date(whole[:-59]).tolist()
    quick_day(parts, universe=RENAMED, last="ingest")
    assert closes(parts).tolist() == by_date(whole).tolist()


def test_where_both_names_disagree_the_new_one_counts_and_it_is_said(parts, source, whole):
    columns = ["open", "high", "low", "close"]
    source.bars["FB"] = source.bars["FB"].assign(**(source.bars["FB"][columns] * 2))
    quick_day(parts, universe=RENAMED, last="ingest")
    assert closes(parts)[-40:].tolist() == by_date(whole)[-40:].tolist()
    assert any(
        message.endswith("not used: bars of FB on the same sessions, with 2 times the close")
        for _, ticker, message in parts.messages
        if ticker == "META"
    )


def test_a_service_is_asked_for_the_former_name_only_where_it_is_needed(parts, source, whole):
    asked = []
    fetch_raw = source.fetch_raw
    source.reads_all = False
    source.fetch_raw = lambda ticker, *rest: asked.append(ticker) or fetch_raw(ticker, *rest)
    quick_day(parts, whole["date"].iloc[-2].date(), RENAMED, last="ingest")
    assert closes(parts).tolist() == by_date(whole[:-1]).tolist() and "FB" in asked
    asked.clear()
    run = plan(parts, RENAMED, LAST, NOW)
    asked.clear()
    take_steps(parts, run, last="ingest")
    assert closes(parts).tolist() == by_date(whole).tolist() and "FB" not in asked


def test_aliases_are_a_key_and_not_in_the_json_of_universes_without(tmp_path):
    assert "aliases" not in UNIVERSE.to_json()
    assert Universe.from_json(RENAMED.to_json()) == RENAMED
    file = tmp_path / "universes.toml"
    file.write_text('[u]\nsource = "sample"\ntickers = ["META"]\naliases = {MTEA = "FB"}\n')
    with pytest.raises(SettingsError, match="names aliases of MTEA, which are not among its tick"):
        load_universes(file)
    with pytest.raises(SettingsError, match=r"'\.\./x' is no ticker"):
        dataclasses.replace(RENAMED, aliases={"META": "../x"})
