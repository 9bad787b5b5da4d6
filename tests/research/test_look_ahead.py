"""A session's networks look ahead: which can and which cannot, and what is kept of it."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline import windows
from pipeline.daily import Lineup, NetworkEntry, lineup, plan
from pipeline.daily.dataset_files import DatasetEntry
from pipeline.errors import NothingStored, RunError, SettingsError
from pipeline.research.look_ahead import look_ahead, save_look_ahead
from pipeline.training import Networks
from pipeline.windows import Newest, Split, Windowing, load_dataset
from tests.made_days import NOW, TRAINED, MadeParts, made_source
from tests.made_studies import AnsweringWorkers
from tests.made_windows import spec_of, walk

CUTOFF = dt.date(2020, 2, 29)
SPLIT = Split(Newest(20), Newest(5), min_train_windows=1)


def rising(cut):
    """Forecast a tenth of a dollar more than the last price."""
    return ((cut.last + 0.1 - cut.offset) / cut.scale)[:, None]


def answer(job):
    return windows.look_ahead(job.windows, rising, job.length)


class AnsweredParts(MadeParts):
    workers = AnsweringWorkers(answer)


@pytest.fixture
def parts(tmp_path):
    with AnsweredParts(tmp_path, made_source()) as opened:
        yield opened


@pytest.fixture
def run(parts):
    return plan(parts, TRAINED, None, NOW)


def made_network(parts, model_id):
    parts.artifacts.write_derived(f"models/{model_id}.json", b"{}")
    parts.artifacts.write_derived(Networks.file_of(model_id), b"a network")


def draw_up(parts, run, ticker, columns=("close",), is_trained=True):
    """Store a lineup whose network sees these columns; return its dataset file."""
    history = walk(60).assign(ticker=ticker)
    spec = spec_of(history, Windowing(4, columns=columns), split=SPLIT, target="close")
    file = windows.encode(history, dataclasses.replace(spec, ticker=ticker))
    dataset = parts.artifacts.put_content("datasets", ".npz", file)
    entry = DatasetEntry("training", CUTOFF, dataset, "", 60, "")
    network = NetworkEntry("lstm", ticker, "default", f"of-{ticker}", dataset, CUTOFF)
    if is_trained:
        made_network(parts, network.model_id)
    lineup.save(parts, run, [Lineup(ticker, (entry,), (network,))])
    return file


def test_a_network_looks_ahead_over_the_test_sessions_of_its_dataset(parts, run):
    test = load_dataset(draw_up(parts, run, "OLD")).test
    outcomes = look_ahead(parts, run, ["OLD"], 8)
    assert outcomes.failures == {}
    assert outcomes.results["OLD"].table().equals(windows.look_ahead(test, rising, 8).table())
    assert parts.workers.jobs[-1].model == b"a network"


def test_a_ticker_without_a_network_is_a_failure_and_does_not_stop_the_others(parts, run):
    draw_up(parts, run, "OLD")
    draw_up(parts, run, "TWO", is_trained=False)
    outcomes = look_ahead(parts, run, ["YNG", "OLD", "TWO"], 8)
    assert list(outcomes.results) == ["OLD"] and list(outcomes.failures) == ["YNG", "TWO"]
    assert isinstance(outcomes.failures["YNG"], NothingStored)
    assert [str(error) for error in outcomes.failures.values()] == [
        f"{ticker} 2013-03-01: there is no network of default. "
        "`stockcast run --session 2013-03-01` trains it."
        for ticker in ("YNG", "TWO")
    ]


def test_a_network_that_does_not_see_its_target_cannot_look_ahead(parts, run):
    draw_up(parts, run, "OLD", columns=("open", "high"))
    error = look_ahead(parts, run, ["OLD"], 8).failures["OLD"]
    assert isinstance(error, SettingsError)
    assert str(error).startswith("OLD: default does not see the close that it forecasts")


def test_a_look_ahead_that_fails_is_a_failure(parts, run):
    draw_up(parts, run, "OLD")

    def fails(job):
        raise RunError("OLD: no memory is left.")

    parts.workers = AnsweringWorkers(fails)
    outcomes = look_ahead(parts, run, ["OLD"], 8)
    assert outcomes.results == {}
    assert str(outcomes.failures["OLD"]) == "OLD: no memory is left."


def test_a_table_and_a_picture_are_kept_for_each_ticker(parts, run):
    draw_up(parts, run, "OLD")
    looks = look_ahead(parts, run, ["OLD"], 8).results
    files = save_look_ahead(parts, run, looks)
    folder = "look_ahead/trained/2013-03-01-default-close"
    assert files == [parts.artifacts.url(f"{folder}/OLD.{kind}") for kind in ("csv", "png")]
    table = pd.read_csv(files[0], parse_dates=["date"])
    expected = looks["OLD"].table()
    assert list(table.columns) == list(expected.columns)
    np.testing.assert_allclose(table.drop(columns="date"), expected.drop(columns="date"))
    assert list(table["date"]) == list(expected["date"])
    assert parts.artifacts.read(f"{folder}/OLD.png").startswith(b"\x89PNG")


@pytest.mark.slow
def test_networks_of_a_day_look_ahead_and_only_those_that_there_are(made_day):
    parts, run = made_day
    outcomes = look_ahead(parts, run, ["OLD", "YNG", "AAA"], 20)
    assert list(outcomes.results) == ["OLD", "YNG"] and list(outcomes.failures) == ["AAA"]
    for ticker, look in outcomes.results.items():
        dataset = lineup.load(parts, run, [ticker])[ticker].training.dataset
        test = load_dataset(parts.artifacts.read(f"datasets/{dataset}.npz")).test
        np.testing.assert_array_equal(look.actual, test.actual[:, 0])
        assert np.isfinite(look.table().drop(columns="date")).all(axis=None)
        # All ways begin with the same forecast.
        first = [look.point_by_point[0], look.full_sequence[0], look.multiple_sequences[0]]
        np.testing.assert_allclose(first, first[0])
