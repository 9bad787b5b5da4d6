"""The leakage audit: it finds every published leak and every one made here, and finds nothing in what is honest."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import re

import numpy as np
import pandas as pd
import pytest

from pipeline import audit, cli, datasets
from pipeline.assembly import Parts
from pipeline.errors import NotEnoughHistory
from pipeline.models import find_recipe, with_modes
from pipeline.models.default import DEFAULT
from pipeline.models.optimisation import HalvedOnPlateau, Optimiser
from pipeline.normalisation import BlockMinMax
from pipeline.prices.adjustment import adjust
from pipeline.settings import Settings
from pipeline.store import Store
from pipeline.tables import ACTIONS, PRICE_COLUMNS, PRICES
from pipeline.universes import Universe, load_universes
from tests.made_days import SMALL
from tests.made_prices import random_walk

#: The last calendar year is as short as can be, for the recipes that are tested on it.
LAST = dt.date(2012, 7, 31)
HORIZON = 2
NARROW = 2


def narrow(recipe):
    """The same recipe with two units a layer and two layers at most: how wide a network is has nothing to do with what it may see."""
    if recipe.exercises or not hasattr(recipe.network, "units"):
        return recipe
    units, changes = recipe.network.units, {"units": NARROW}
    if isinstance(units, tuple):
        dropout = recipe.network.dropout
        changes = {"units": (NARROW,) * len(units[:2]), "dropout": dropout[:2] if isinstance(dropout, tuple) else dropout}
    return dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, **changes))


@functools.cache
def bars_of(*tickers, count=1200):
    made = {}
    for seed, ticker in enumerate(tickers):
        prices = PRICES.conform(random_walk(seed, count, LAST).rename(columns={"date": "session"}).assign(ticker=ticker))
        made[ticker] = audit.Bars(prices, ACTIONS.empty())
    return made


@pytest.fixture
def parts(tmp_path):
    """One worker for all audits of this process: TensorFlow is imported once."""
    with Parts(Settings(home=tmp_path / "home", workers=1), progress=lambda *_: None) as made:
        yield made


def universe_of(recipe, *tickers):
    return Universe(
        name="made", source="sample", tickers=tickers, target=recipe.targets[0], horizon=HORIZON, start=dt.date(2000, 1, 3)
    )


def audited(parts, recipe, *levels, cutoffs=1, epochs=1):
    recipe = narrow(recipe)
    tickers = ("AAA", "BBB") if recipe.knows_symbols else ("AAA",)
    return audit.audit(parts, recipe, universe_of(recipe, *tickers), bars_of(*tickers), cutoffs, epochs, levels)


def moved(report, level):
    return {line.what for line in report.moved if line.level == level}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [recipe for recipe in with_modes() if recipe.targets], ids=lambda recipe: recipe.name)
def test_an_honest_recipe_moves_nothing_and_a_faithful_one_is_caught(parts, recipe):
    report = audited(parts, recipe, "split", "window")
    compared = {(line.level, line.what) for line in report.compared}
    assert compared == {
        *(("split", what) for what in ("network files", "losses by epoch")),
        *((level, what) for level in ("split", "window") for what in ("inputs", "forecasts", "weights", "calibrated forecasts")),
    }
    assert all(line.cells > 0 for line in report.compared)
    if not recipe.leak:
        assert report.moved == []
    else:  # all published leaks are of the normalisation, which every input shows
        assert "inputs" in moved(report, "split") and "inputs" in moved(report, "window")
        assert "losses by epoch" in moved(report, "split")


@pytest.mark.parametrize("recipe", [recipe for recipe in with_modes() if recipe.exercises], ids=lambda recipe: recipe.name)
def test_a_recipe_that_makes_its_own_examples_has_nothing_to_audit(recipe, capsys):
    assert cli.main(["audit", recipe.name]) == 0
    assert capsys.readouterr().out.startswith(f"{recipe.name}: nothing to audit. It makes its own examples")


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "cutoffs"), [(SMALL, 1), (find_recipe("castilla"), 2)], ids=["default", "castilla"])
def test_no_byte_of_a_day_moves_with_what_comes_after_it(parts, recipe, cutoffs):
    report = audited(parts, recipe, "session", cutoffs=cutoffs)
    assert report.moved == []
    by_cutoff = pd.DataFrame(report.compared).groupby("cutoff")["what"].apply(set)
    assert len(by_cutoff) == cutoffs
    told = {"datasets", "network files", "models", "evaluations", "predictions", "promotions", "calibrations", "forecasts", "runs"}
    assert all(told <= what for what in by_cutoff)
    assert min(line.cells for line in report.compared if line.what in told) > 0
    assert list(parts.settings.home.glob("*")) == []


LATER = dt.date(2100, 1, 1)


@pytest.mark.slow
def test_a_store_that_adjusts_by_later_splits_is_caught_at_the_session_level(parts, monkeypatch):
    """The commonest leak there is: prices that were adjusted as of today."""

    def as_of_today(bars, actions, cutoff):
        history = adjust(bars, actions, LATER)
        return history[history["session"] <= pd.Timestamp(cutoff)].reset_index(drop=True)

    def all_there_is(self, source_id, tickers, cutoff, known_at, real=Store.revisions):
        return real(self, source_id, tickers, LATER, known_at)

    monkeypatch.setattr(datasets, "adjust", as_of_today)
    monkeypatch.setattr(Store, "revisions", all_there_is)
    report = audited(parts, find_recipe("ganegedara-average"), "session")
    assert {"datasets", "predictions", "forecasts"} <= moved(report, "session")
    assert "session" in report.verdict() and "looks ahead" in report.verdict()


@pytest.mark.slow
def test_a_learning_rate_that_watches_the_test_loss_is_caught_at_the_split_level(parts):
    watching = Optimiser("SGD", HalvedOnPlateau(2.0, least=1e-6, patience=1, watches="test"))
    for watches, caught in (("test", True), ("validation", False)):
        optimiser = dataclasses.replace(watching, schedule=dataclasses.replace(watching.schedule, watches=watches))
        recipe = dataclasses.replace(find_recipe("castilla"), name="peeking", optimiser=optimiser)
        report = audited(parts, recipe, "split", "window", epochs=6)
        assert ("network files" in moved(report, "split")) == caught
        assert "inputs" not in moved(report, "split") and moved(report, "window") == set()


@pytest.mark.slow
def test_a_normalisation_that_knows_the_session_forecast_is_caught_at_the_window_level(parts):
    recipe = dataclasses.replace(find_recipe("ganegedara-average"), name="peeking", normalisation=BlockMinMax(40, known="own"))
    report = audited(parts, recipe, "window")
    assert {"inputs", "forecasts"} <= moved(report, "window")
    [line] = [line for line in report.moved if line.what == "inputs"]
    assert re.match(r"AAA (validation|test) past\[\d+, \d+, \d+\]: \S+ -> \S+", line.moved)


@pytest.mark.slow
def test_the_command_prints_the_first_cell_that_moved_and_fails(tmp_path, capsys):
    files = tmp_path / "prices"
    files.mkdir()
    random_walk(3, 700).to_csv(files / "IBM.csv", index=False)
    home = ["--home", str(tmp_path / "home"), "--workers", "1", "--source", "csv", "--data", str(files), "--horizon", "1"]
    honest = cli.main(["audit", "ganegedara-average", "--cutoffs", "1", *home])
    told = capsys.readouterr().out
    assert honest == 0 and re.search(r"nothing moved in \d+ outputs of [\d,]+ cells", told)
    assert "session level: the newest" in told and "tickers: IBM" in told
    faithful = cli.main(["audit", "ganegedara-average.faithful", "--cutoffs", "1", "--format", "json", *home])
    rows = {(row["level"], row["what"]): row["moved"] for row in json.loads(capsys.readouterr().out)}
    assert faithful == 1
    assert rows["session", "datasets"] == "nothing"  # a dataset ends at its session, so a leak inside it cannot reach beyond
    assert " -> " in rows["split", "inputs"] and " -> " in rows["window", "inputs"]


@pytest.mark.parametrize(
    ("recipe", "asked", "tickers"),
    [("default", (), ["AAPL", "IBM"]), ("castilla", (), ["AAPL"]), ("default", ("MSFT", "FB"), ["MSFT", "FB"])],
)
def test_where_no_ticker_is_named_those_with_the_longest_histories_are_taken(parts, recipe, asked, tickers):
    universe = load_universes()["sample"]
    bars = audit.bars_of(parts, universe, find_recipe(recipe), asked, dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    assert list(bars) == tickers


def test_too_little_history_names_the_ticker_and_what_is_needed(parts):
    recipe = find_recipe("sezer-dis")
    universe = universe_of(recipe, "AAA")
    for levels in (("session",), ("split",)):
        with pytest.raises(NotEnoughHistory, match=r"AAA: 300 sessions.* needed to audit sezer-dis"):
            audit.audit(parts, recipe, universe, bars_of("AAA", count=300), levels=levels)


def test_what_is_shortened_is_told_and_windows_are_not():
    short = audit.shortened(DEFAULT, 2)
    assert (short.epochs, short.fine_tuning.epochs, short.split.min_train_windows) == (2, 1, audit.TRAINED)
    assert (short.window, short.normalisation, short.network) == (DEFAULT.window, DEFAULT.normalisation, DEFAULT.network)
    assert audit.shortened(find_recipe("ganegedara-average"), 2).epochs == 0


def test_another_future_has_other_bars_after_the_session_and_the_same_before():
    prices = bars_of("AAA")["AAA"].prices
    before = prices.copy()
    cut = len(prices) - 20
    other = audit.perturbed(prices, prices["session"].iloc[cut - 1].date())
    pd.testing.assert_frame_equal(prices, before)
    pd.testing.assert_frame_equal(other[:cut], prices[:cut])
    for name in (*PRICE_COLUMNS, "volume"):
        assert (other[name][cut:] != prices[name][cut:]).all()
    assert (other["high"] >= other[["open", "close", "low"]].max(axis=1)).all()
    moves, others = (np.diff(np.log(table["close"][cut:])) for table in (prices, other))
    assert np.corrcoef(moves, others)[0, 1] < 0  # what rose falls


def test_what_is_missing_stays_missing_in_another_future():
    prices = bars_of("AAA")["AAA"].prices.copy()
    prices.loc[len(prices) - 3, ["close", "volume"]] = np.nan
    other = audit.perturbed(prices, prices["session"].iloc[-10].date())
    pd.testing.assert_frame_equal(other.isna(), prices.isna())


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (np.array([[1.0, np.nan]]), np.array([[1.0, np.nan]]), ""),
        (np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]]), "[0, 1]: 2.0 -> 2.5"),
        (np.array([[1.0, 2.0]]), np.array([[1.0, np.nan]]), "[0, 1]: 2.0 -> nan"),
        (np.zeros(3), np.zeros(2), ": 3 rows -> 2"),
        (np.array(0.5), np.array(0.25), ": 0.5 -> 0.25"),
        (b"one", b"one", ""),
        (b"one", b"two", ": file 7692c3ad3540 -> 3fc4ccfe7458"),
        (
            pd.DataFrame({"ticker": ["A", "B"], "horizon": [1, 1], "y_hat": [1.0, 2.0]}),
            pd.DataFrame({"ticker": ["A", "B"], "horizon": [1, 1], "y_hat": [1.0, 3.0]}),
            "[B, 1].y_hat: 2.0 -> 3.0",
        ),
    ],
)
def test_the_first_cell_that_moved_is_named_with_both_values(before, after, told):
    assert audit.difference(before, after) == told
