"""What is kept of a choice between two trainings, and what is made of it each session."""

import datetime as dt

import numpy as np
import pytest

from pipeline import assembly, choices, forecasters, windows
from pipeline.errors import NothingStored
from pipeline.models.baselines import BASELINES, EWMA, NAIVE
from pipeline.models.default import DEFAULT
from pipeline.networks import Network
from pipeline.settings import Settings
from pipeline.spec import Windowing
from pipeline.splits import Newest, Split
from tests.made_windows import spec_of, walk


@pytest.fixture
def parts(tmp_path):
    with assembly.parts(Settings(home=tmp_path, store_url=f"sqlite:///{tmp_path}/store.db")) as made:
        yield made


def stock(fewest=50, count=500):
    spec = spec_of(walk(count), Windowing(10), horizon=2, split=Split(Newest(100), Newest(100), min_train_windows=fewest))
    return forecasters.Stock("IBM", "d" * 32, windows.load_dataset(windows.encode(walk(count), spec)))


def network(role, model_id):
    return Network(role, "IBM", DEFAULT, model_id, "d" * 32, dt.date(2021, 1, 4), {"IBM": "d" * 32})


def said(the, factor):
    """A network that knows a part of what comes."""
    parts = {}
    for name in ("validation", "test"):
        part, walk_ = getattr(the.dataset, name), getattr(the.baselines[EWMA], name)
        parts[name] = forecasters.stored(walk_ + factor * (part.actual - part.last[:, None])[:, :, None])
    return forecasters.Said(**parts)


@pytest.mark.parametrize("networks", [0, 1, 2])
def test_a_choice_comes_back_from_its_file_as_it_was_made(parts, networks):
    the = stock()
    compared = [(network("lstm", "m1"), said(the, 0.3)), (network("previous", "m2"), said(the, 0.6))][:networks]
    made = choices.choose(parts, DEFAULT, the, compared, "" if networks else "too young", "told")
    choices.write(parts, "some", made, "run 1")
    read = choices.read(parts, "some")
    assert (read.ticker, read.decision, read.shown, read.headline) == (made.ticker, made.decision, made.shown, "told")
    assert read.network == (networks > 0)
    assert read.decision.champion == {0: made.decision.baseline, 1: "lstm", 2: "previous"}[networks]
    for part in ("validation", "test"):
        for name, values in vars(getattr(made, part)).items():
            np.testing.assert_array_equal(getattr(getattr(read, part), name), values)
        if networks:
            np.testing.assert_array_equal(getattr(read.said, part), getattr(made.said, part))
    for name in (NAIVE, EWMA):
        np.testing.assert_array_equal(read.baseline(name).test, the.baselines[name].test)
    if networks:
        np.testing.assert_array_equal(read.curve().losses, made.curve().losses)


def test_a_baseline_of_few_windows_comes_back_in_the_units_that_it_had(parts):
    the = stock(fewest=1, count=230)
    assert len(the.dataset.train) < 60
    choices.write(parts, "few", choices.choose(parts, DEFAULT, the, [], "too young", ""), "run 1")
    read = choices.read(parts, "few")
    for name in BASELINES:
        if name in (NAIVE, EWMA):
            np.testing.assert_array_equal(read.baseline(name).test, the.baselines[name].test)


def test_what_decides_a_choice_names_it(parts):
    training = {"dataset": "d1", "reason": ""}
    names = [
        choices.identity(parts, DEFAULT, training, [network("lstm", "m1")]),
        choices.identity(parts, DEFAULT, training, [network("lstm", "m2")]),
        choices.identity(parts, DEFAULT, training, [network("previous", "m1")]),
        choices.identity(parts, DEFAULT, {**training, "dataset": "d2"}, [network("lstm", "m1")]),
        choices.identity(parts, DEFAULT, {**training, "reason": "too young"}, [network("lstm", "m1")]),
        choices.identity(parts, DEFAULT, training, []),
    ]
    assert len(set(names)) == len(names)
    assert names[0] == choices.identity(parts, DEFAULT, dict(training), [network("lstm", "m1")])


def test_a_choice_is_complete_where_it_is_tracked_below_the_parent_that_there_is(parts):
    assert not choices.is_complete(parts, "some", "run 1")
    choices.write(parts, "some", choices.choose(parts, DEFAULT, stock(), [], "too young", ""), "run 1")
    assert choices.is_complete(parts, "some", "run 1")
    assert not choices.is_complete(parts, "some", "run 2")


def test_nothing_is_read_where_nobody_has_chosen(parts):
    with pytest.raises(NothingStored):
        choices.read(parts, "nobody")
