"""A sandbox is a home of its own: nothing is fetched, and nothing is tracked."""

import datetime as dt

import pytest

from pipeline.daily.sandbox import Sandbox, SilentTracker
from pipeline.errors import NothingStored
from pipeline.models import RECIPES
from pipeline.parts import Parts
from pipeline.settings import Settings
from pipeline.tracking import Tracker
from tests.made_days import SMALL, SMALL_RECIPES, UNIVERSE

DAY = dt.date(2013, 3, 1)
NOW = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)


@pytest.fixture
def parts(tmp_path):
    with Parts(Settings(home=tmp_path / "home", workers=1), progress=lambda *_: None) as made:
        yield made


@pytest.fixture
def sandbox(parts, tmp_path):
    with Sandbox(tmp_path / "sandbox", parts.settings, SMALL_RECIPES) as made:
        yield made


def test_all_that_is_written_is_in_its_own_home(parts, sandbox, tmp_path):
    sandbox.artifacts.write("models/one.keras", b"one")
    assert sandbox.store.url == f"sqlite:///{tmp_path}/sandbox/store.db"
    assert (tmp_path / "sandbox" / "artifacts" / "models" / "one.keras").read_bytes() == b"one"
    assert not parts.settings.home.exists()


def test_the_settings_that_decide_and_the_recipes_are_those_asked_for(parts, sandbox, tmp_path):
    assert sandbox.settings.seed == parts.settings.seed
    assert sandbox.workers is parts.workers
    assert sandbox.recipes.for_price("default") == SMALL
    with Sandbox(tmp_path / "other", parts.settings) as other:
        assert other.recipes is RECIPES


def test_nothing_is_fetched(sandbox):
    source = sandbox.source(UNIVERSE)
    assert source.tickers() is None
    with pytest.raises(NothingStored, match="AAA: a sandbox fetches nothing"):
        source.fetch_raw("AAA", DAY, DAY, NOW)


def test_the_tracker_stands_in_for_every_method_of_the_real_one(sandbox):
    public = {name for name in vars(Tracker) if not name.startswith("_")}
    assert public <= set(vars(SilentTracker))
    tracker = sandbox.tracker("made")
    assert isinstance(tracker, Tracker)
    run_id = tracker.open_session(DAY, "default", "close")
    assert run_id == tracker.ensure_session(DAY, "default", "close")
    tracker.finish(run_id, {"skill": 0.1})
    assert tracker.end_abandoned() == [] and tracker.address_of("any") is None
