"""Served forecasts: the rows up to a session give what was published of it, to the last digit."""

import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DamagedFile, NothingStored
from pipeline.quantiles import MEDIAN, PUBLISHED_QUANTILES
from pipeline.serving import EXAMPLE_FILE, SERVED_FILE, ServedForecast
from pipeline.serving.pyfunc_loader import _load_pyfunc, forecast_of
from pipeline.tables import FORECASTS
from pipeline.training import PredictJob
from tests.daily.quick_days import QuickParts, answer, quick_day, take_steps
from tests.daily.test_days_with_dividends import FUNDS, funds
from tests.made_days import UNIVERSE, made_source
from tests.made_prices import LAST
from tests.made_studies import AnsweringWorkers
from tests.serving.price_rows import published, rows_of

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    """Made-up networks answer as they do for the days."""
    monkeypatch.setattr(PredictJob, "run", answer)


def file_of(parts, ticker):
    return parts.tracked.served[ticker]()[SERVED_FILE]


def assert_served_as_published(parts, run, ticker):
    served = ServedForecast.decoded(file_of(parts, ticker))
    ours = forecast_of(served, rows_of(parts, run, ticker), b"network")
    theirs = published(parts, run, ticker)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True, check_dtype=False)
    assert len(ours) == run.universe.horizon * len(PUBLISHED_QUANTILES)


def test_the_rows_up_to_the_session_give_the_published_quantiles(done):
    parts, run = done
    take_steps(parts, run, "publish", "publish")
    assert set(parts.rows(FORECASTS, run)["champion"]) == {"previous", "pooled", "har"}
    for ticker in run.universe.tickers:
        assert_served_as_published(parts, run, ticker)


@pytest.mark.parametrize("target", ["close", "high", "adj_close"])
def test_so_do_those_of_a_stock_that_pays_dividends(target, tmp_path):
    universe = dataclasses.replace(FUNDS, target=target)
    with QuickParts(tmp_path, funds()) as parts:
        run = quick_day(parts, LAST, universe, last="publish")
        for ticker in FUNDS.tickers:
            assert_served_as_published(parts, run, ticker)


def test_so_do_those_with_gaps_and_wrong_prints(tmp_path):
    source = made_source(signalled=True)
    bars = source.bars["OLD"]
    bars.loc[bars.index[-9], "close"] *= 3  # it is masked, as the next open shows
    source.bars["OLD"] = bars.drop(bars.index[-30])
    with QuickParts(tmp_path, source) as parts:
        run = quick_day(parts, last="publish")
        served = ServedForecast.decoded(file_of(parts, "OLD"))
        assert served.unusable.any(axis=1).sum() == 2
        assert_served_as_published(parts, run, "OLD")


def points(job):
    """Answer as networks do that forecast one point of each session ahead."""
    answered = answer(job)
    if not isinstance(job, PredictJob):
        return answered
    return tuple(quantiles[:, :, MEDIAN] for quantiles in answered)


@pytest.mark.parametrize("recipe", ["weng-sp500-32", "castilla"])
def test_so_do_those_of_a_network_of_points(recipe, tmp_path, monkeypatch):
    """Their normalisations are by a window, or by a range that was fitted on training."""
    monkeypatch.setattr(PredictJob, "run", points)
    universe = dataclasses.replace(UNIVERSE, tickers=("OLD",), recipe=recipe)
    with QuickParts(tmp_path, made_source(signalled=True)) as parts:
        parts.workers = AnsweringWorkers(points)
        run = quick_day(parts, LAST, universe, last="publish")
        [champion] = parts.rows(FORECASTS, run)["champion"].unique()
        assert champion in ("lstm", "previous")
        assert_served_as_published(parts, run, "OLD")


def test_a_horizon_of_one_without_a_network(tmp_path):
    universe = dataclasses.replace(UNIVERSE, tickers=("AAA",), horizon=1)
    with QuickParts(tmp_path) as parts:
        run = quick_day(parts, LAST, universe, last="publish")
        assert parts.rows(FORECASTS, run)["champion"].tolist() == ["ewma"]
        assert_served_as_published(parts, run, "AAA")


def test_older_rows_than_are_needed_change_nothing_and_the_example_is_enough(done):
    parts, run = done
    take_steps(parts, run, "publish", "publish")
    example = json.loads(parts.tracked.served["OLD"]()[EXAMPLE_FILE])
    rows = pd.DataFrame(example["data"], columns=example["columns"])
    served = ServedForecast.decoded(file_of(parts, "OLD"))
    assert len(rows) == len(served.sessions) < len(rows_of(parts, run, "OLD"))
    ours = forecast_of(served, rows, b"network")
    theirs = published(parts, run, "OLD")
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True, check_dtype=False)


def test_equal_forecasts_are_equal_files_without_a_pickle(done):
    parts, run = done
    take_steps(parts, run, "publish", "publish")
    file = file_of(parts, "OLD")
    assert ServedForecast.decoded(file).encoded() == file
    with np.load(io.BytesIO(file), allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays)
    for damaged in (b"", file[:-100], b"PK" + bytes(200)):
        with pytest.raises(DamagedFile, match=r"served\.npz cannot be read"):
            ServedForecast.decoded(damaged)


def test_a_champion_that_cannot_be_served_is_published_all_the_same(done):
    parts, run = done
    take_steps(parts, run, "publish", "publish")
    for file in (parts.settings.home / "artifacts" / "datasets").rglob("*.npz"):
        file.unlink()
    assert parts.tracked.served["OLD"]() == {}
    step, ticker, message = parts.messages[-1]
    assert (step, ticker) == ("publish", "OLD")
    assert message.startswith("its model cannot be served: ")


def test_a_version_that_was_never_published_says_so(tmp_path):
    with pytest.raises(NothingStored, match=r"has no served\.npz: it has not been published"):
        _load_pyfunc(str(tmp_path))
