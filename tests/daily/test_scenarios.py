"""Scenarios: joint paths of what stands, the same at every time, from nothing after the cutoff."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import STEPS, paths_file, store_paths
from pipeline.daily.joint_forecasts import joint_paths, published_margins
from pipeline.daily.report import day_of
from pipeline.daily.scenarios import stored_paths
from pipeline.errors import NothingStored
from pipeline.joint import quantiles_at, strata, value_at_risk
from pipeline.measures.scores import FORECAST_COLUMNS
from pipeline.quantiles import OUTER_PROBABILITIES, PROBABILITIES
from pipeline.storage import unpack_table
from pipeline.tables import FORECASTS, JOINT_PATHS, PRICE_REVISIONS, RUN_TICKERS, RUNS
from tests.daily.quick_days import QuickParts, quick_day
from tests.made_days import NOW, TRAINED, made_source
from tests.made_prices import LAST, MadeSource

PATHS = 200


def stored(parts, run) -> pd.DataFrame:
    table = unpack_table(parts.artifacts.read(paths_file(run.key)))
    return table.astype(JOINT_PATHS.columns)  # Parquet has no dates in seconds


def test_a_day_draws_none_unless_the_settings_ask_for_them(done):
    parts, run = done
    assert STEPS["scenarios"](parts, run) == ""
    assert not parts.artifacts.exists(paths_file(run.key))


def test_each_margin_is_exactly_the_published_distribution(done):
    parts, run = done
    parts.settings = parts.settings.replaced(paths=PATHS)
    address = STEPS["scenarios"](parts, run)
    assert address == parts.artifacts.url("scenarios/trained/2013-03-01-default-close.parquet")
    table = stored(parts, run)
    pd.testing.assert_frame_equal(table, JOINT_PATHS.conform(table))  # in the key's order
    forecasts = parts.rows(FORECASTS, run)
    assert len(table) == len(forecasts) * PATHS == 4 * 5 * PATHS
    for row in forecasts.to_dict("records"):
        own = table[(table["ticker"] == row["ticker"]) & (table["horizon"] == row["horizon"])]
        assert set(own["session"]) == {row["session"]}
        assert own["path"].tolist() == list(range(PATHS))
        published = np.array([row[name] for name in FORECAST_COLUMNS])
        draws = quantiles_at(strata(PATHS), PROBABILITIES, published)
        assert np.array_equal(np.sort(own["value"]), draws)
        outer = quantiles_at(np.array(OUTER_PROBABILITIES), PROBABILITIES, published)
        assert [row["lower_98"], row["upper_98"]] == outer.tolist()


def test_the_value_at_risk_99_of_one_stock_is_its_published_1_percent_quantile(done):
    parts, run = done
    drawn = joint_paths(parts, run.key, 5000, ["OLD"])
    gains = drawn.values[:, 0] / drawn.margins.last[0] - 1
    rows = parts.rows(FORECASTS, run, ["OLD"])
    published = 1 - (rows["lower_98"] / rows["last_value"]).to_numpy()
    assert value_at_risk(gains, 0.99) == pytest.approx(published, rel=0.005)


def test_a_path_goes_on_from_session_to_session(done):
    parts, run = done
    values = joint_paths(parts, run.key, PATHS).values
    ranks = pd.DataFrame(values[:, 1]).rank()
    assert ranks.corr()[3][4] > 0.7  # four and five sessions ahead share four of them


def test_repeating_changes_no_byte_and_another_seed_does(done):
    parts, run = done
    address = store_paths(parts, run.key, PATHS)
    data = parts.artifacts.read(paths_file(run.key))
    assert store_paths(parts, run.key, PATHS) == address
    assert parts.artifacts.read(paths_file(run.key)) == data
    drawn = joint_paths(parts, run.key, PATHS)
    assert np.array_equal(stored_paths(parts, drawn.margins), drawn.values)
    settings = parts.store.load(RUNS)["settings"].str.replace('"seed": 7', '"seed": 8')
    parts.store.save(RUNS, parts.store.load(RUNS).assign(settings=settings))
    reseeded = joint_paths(parts, run.key, PATHS).values
    assert not np.array_equal(reseeded, drawn.values)
    assert np.array_equal(np.sort(reseeded, axis=0), np.sort(drawn.values, axis=0))


def test_what_becomes_known_later_changes_nothing(done):
    parts, run = done
    before = joint_paths(parts, run.key, PATHS).values
    later = dt.datetime(2014, 1, 1)
    bars = parts.store.load(PRICE_REVISIONS, ticker="OLD")
    moved = bars.assign(close=bars["close"] * np.linspace(1, 3, len(bars)), known_at=later)
    after = moved.tail(30).assign(session=pd.date_range(LAST + dt.timedelta(1), periods=30))
    parts.store.save(PRICE_REVISIONS, moved)
    parts.store.save(PRICE_REVISIONS, PRICE_REVISIONS.conform(after))
    assert joint_paths(parts, run.key, PATHS).values.tobytes() == before.tobytes()


def test_a_young_ticker_takes_its_place_and_is_named(done):
    parts, run = done
    store_paths(parts, run.key, PATHS)
    lines = [message for step, _, message in parts.messages if step == "scenarios"]
    assert lines[0] == (
        "AAA has 93 of the 250 past sessions; on the others it moves as another stock did, drawn "
        "at random"
    )
    assert lines[-1].startswith(f"{PATHS} joint paths of 4 tickers, 5 sessions ahead: ")
    assert stored(parts, run).attrs["remarks"] == lines[:-1]


def test_a_ticker_without_a_forecast_is_in_no_path(done):
    parts, run = done
    parts.store.publications.withdraw({"TWO": "it jumps"}, [], "test", **run.key)
    margins = joint_paths(parts, run.key, PATHS).margins
    assert margins.tickers == ("AAA", "OLD", "YNG")


def test_stored_paths_of_forecasts_that_no_longer_stand_count_no_more(done):
    parts, run = done
    store_paths(parts, run.key, PATHS)
    parts.store.publications.withdraw({"TWO": "it jumps"}, [], "test", **run.key)
    assert stored_paths(parts, published_margins(parts, run.key)) is None


def test_the_day_s_page_has_what_all_stocks_may_lose_together(done):
    parts, run = done
    assert day_of(parts, run).together.empty
    store_paths(parts, run.key, PATHS)
    drawn = joint_paths(parts, run.key, PATHS)
    together = day_of(parts, run).together
    gains = (drawn.values / drawn.margins.last[:, None] - 1).mean(axis=1)
    assert together["session"].dt.date.tolist() == list(run.forecast_sessions)
    at_risk = -np.quantile(gains, 0.05, axis=0)
    assert together["value_at_risk_95"].to_numpy() == pytest.approx(at_risk)


def test_a_damaged_file_is_no_paths(done, caplog):
    parts, run = done
    store_paths(parts, run.key, PATHS)
    data = parts.artifacts.read(paths_file(run.key))
    parts.artifacts.write(paths_file(run.key), data[: len(data) // 2])
    assert day_of(parts, run).together.empty
    assert "is damaged. `stockcast scenarios` makes it again" in caplog.text


def test_too_little_history_is_said_plainly(tmp_path):
    bars = {ticker: made_source().bars[ticker].tail(75) for ticker in ("AAA", "BBB")}
    universe = dataclasses.replace(TRAINED, tickers=("AAA", "BBB"))
    with QuickParts(tmp_path, MadeSource(bars)) as parts:
        run = quick_day(parts, universe=universe, last="publish", now=NOW)
        [remark] = joint_paths(parts, run.key, PATHS).remarks()
    assert remark == (
        "too little history to learn how prices move together: 48 past sessions, 60 needed. Paths "
        "are random walks over the sessions ahead, and stocks know nothing of each other"
    )


def test_without_forecasts_or_their_run_the_message_names_the_step(done):
    parts, run = done
    elsewhere = {**run.key, "cutoff": dt.date(2013, 2, 1)}
    with pytest.raises(NothingStored, match=r"nothing is published .*--session 2013-02-01"):
        joint_paths(parts, elsewhere, PATHS)
    parts.store.replace(RUN_TICKERS, RUN_TICKERS.empty(), **run.key)
    with pytest.raises(NothingStored, match="did not keep its settings"):
        joint_paths(parts, run.key, PATHS)
