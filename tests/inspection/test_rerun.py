"""A forecast that is made again is the same to the last bit, or what differs is named."""

import dataclasses
import datetime as dt
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.errors import NothingStored, SettingsError
from pipeline.inspection import find_explanation, rerun
from pipeline.inspection.explanation import settings_then
from pipeline.inspection.rerun import ADDED_COLUMNS
from pipeline.models import RECIPES
from pipeline.tables import EVENTS, FORECASTS, PRICE_REVISIONS, PROMOTIONS, RUN_TICKERS
from tests.made_days import SMALL, TRAINED, run_made_day
from tests.made_prices import LAST

pytestmark = pytest.mark.slow


def explained(parts, ticker):
    return find_explanation(parts, LAST, ticker, universe="trained")


def file_times(parts):
    folder = parts.settings.home / "artifacts"
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_made_again_it_is_the_same_to_the_last_bit_and_nothing_stored_moves(made_day):
    parts, _ = made_day
    files = file_times(parts)
    explanation = explained(parts, "OLD")
    comparison = rerun(parts, explanation)
    assert comparison.is_same and comparison.reasons == ()
    names = [check.what for check in comparison.checks]
    assert names[-3:] == ["promotions", "calibrations", "forecasts"]
    assert sum(name.startswith("network file") for name in names) == 3
    assert sum(name.startswith("dataset") for name in names) == len(explanation.datasets)
    assert file_times(parts) == files


def test_what_was_trained_on_a_gpu_is_not_made_again_on_the_cpu(made_day, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    parts, _ = made_day
    explanation = explained(parts, "OLD")
    settings = json.loads(explanation.request["settings"])
    assert "device" not in settings
    request = {**explanation.request, "settings": json.dumps({**settings, "device": "gpu"})}
    with pytest.raises(SettingsError) as caught:
        rerun(parts, dataclasses.replace(explanation, request=request))
    assert str(caught.value) == (
        "OLD 2013-03-01: its networks were trained on a GPU, of which the last digits are others "
        "than a CPU's, and TensorFlow sees no GPU here. Make it again on a machine with one."
    )


def test_on_a_gpu_today_what_was_trained_on_the_cpu_is_the_same(made_day):
    parts, _ = made_day
    explanation = explained(parts, "OLD")
    today = SimpleNamespace(settings=parts.settings.replaced(device="gpu"))
    assert settings_then(today, explanation.request).device == "cpu"


def test_a_cell_that_was_changed_by_hand_is_found(copied_day):
    rows = copied_day.store.load(FORECASTS, ticker="AAA")
    changed = rows.assign(y_hat=np.where(rows["horizon"] == 2, 99.0, rows["y_hat"]))
    copied_day.store.save(FORECASTS, changed)
    comparison = rerun(copied_day, explained(copied_day, "AAA"))
    [check] = [check for check in comparison.checks if check.differs]
    assert check.what == "forecasts"
    assert re.fullmatch(
        r"y_hat of horizon 2: 99\.0 then, \d+\.\d+ now; 1 cells in all", check.differs
    )
    assert "changed by hand" in comparison.reasons[-1]


def test_what_an_earlier_version_did_not_publish_is_no_difference(copied_day):
    for table, names in ((PROMOTIONS, ADDED_COLUMNS[:2]), (FORECASTS, ADDED_COLUMNS[2:])):
        rows = copied_day.store.load(table, ticker="AAA")
        copied_day.store.save(table, rows.assign(**dict.fromkeys(names, np.nan)))
    assert rerun(copied_day, explained(copied_day, "AAA")).is_same


def test_prices_corrected_since_do_not_change_what_is_made_again(copied_day):
    bars = copied_day.store.load(PRICE_REVISIONS, ticker="AAA").tail(3)
    later = bars.assign(
        close=bars["close"] * 1.01,
        high=bars["high"] * 1.02,
        known_at=bars["known_at"] + dt.timedelta(days=30),
    )
    copied_day.store.save(PRICE_REVISIONS, later)
    assert rerun(copied_day, explained(copied_day, "AAA")).is_same


def test_events_are_seen_again_as_they_were_known_then(copied_day, tmp_path):
    file = tmp_path / "events.csv"
    file.write_text(
        "ticker,date,kind,amount,known_at\nAAA,2013-03-05,dividend,0.5,2013-02-20\n"
        "OLD,2013-03-05,report,,2013-02-20\n"
    )
    universe = dataclasses.replace(TRAINED, events=str(file))
    before = copied_day.store.load(FORECASTS, ticker="AAA")
    run = run_made_day(copied_day, universe=universe)
    after = copied_day.store.load(FORECASTS, ticker="AAA")
    assert (after["y_hat"] < before["y_hat"]).tolist() == [False, True, True, True, True]
    copied_day.store.events.save(run.universe.events_id, ["AAA", "OLD"], EVENTS.empty(), LAST)
    assert rerun(copied_day, explained(copied_day, "AAA")).is_same


def test_a_recipe_changed_since_is_named(copied_day):
    copied_day.recipes = RECIPES.replaced(dataclasses.replace(SMALL, epochs=1))
    comparison = rerun(copied_day, explained(copied_day, "TWO"))
    assert not comparison.is_same
    assert any(check.differs.endswith("then, none now") for check in comparison.checks)
    assert any("has been changed since: configuration" in why for why in comparison.reasons)


def test_a_forecast_without_its_request_cannot_be_made_again(copied_day):
    copied_day.store.replace(RUN_TICKERS, RUN_TICKERS.empty(), universe="trained", ticker="AAA")
    message = r"AAA 2013-03-01: .* cannot be made again\. Repeat `stockcast run`"
    with pytest.raises(NothingStored, match=message):
        rerun(copied_day, explained(copied_day, "AAA"))
