"""A run as JSON: stored requests and tasks read the same text that earlier versions wrote."""

import datetime as dt
import json

import pytest

from pipeline.errors import SettingsError
from pipeline.run import Run
from pipeline.universes import Universe

UNIVERSE = Universe(
    name="mine",
    source="csv",
    tickers=("IBM", "BRK.B"),
    horizon=2,
    retrain="weekly",
    data="prices",
    start=dt.date(2000, 3, 1),
    sectors={"IBM": "Information Technology"},
)
RUN = Run(
    universe=UNIVERSE,
    session=dt.date(2013, 3, 1),
    training_cutoff=dt.date(2013, 2, 25),
    previous_cutoff=dt.date(2013, 2, 19),
    pool_cutoff=dt.date(2013, 2, 1),
    previous_pool_cutoff=dt.date(2013, 1, 2),
    forecast_sessions=(dt.date(2013, 3, 4), dt.date(2013, 3, 5)),
    known_at=dt.datetime(2013, 3, 1, 22, 0, 5, 17, tzinfo=dt.UTC),
    replay=True,
)
#: The text that the first version wrote, byte for byte.
TEXT = (
    '{"universe": {"name": "mine", "source": "csv", "tickers": ["IBM", "BRK.B"], '
    '"calendar": "XNYS", "target": "close", "recipe": "default", "horizon": 2, '
    '"retrain": "weekly", "scheduled": false, "data": "prices", "start": "2000-03-01", '
    '"sectors": {"IBM": "Information Technology"}}, "session": "2013-03-01", '
    '"training_cutoff": "2013-02-25", "previous_cutoff": "2013-02-19", '
    '"pool_cutoff": "2013-02-01", "previous_pool_cutoff": "2013-01-02", '
    '"forecast_sessions": ["2013-03-04", "2013-03-05"], '
    '"known_at": "2013-03-01T22:00:05.000017+00:00", "replay": true}'
)


def test_a_run_is_written_as_the_same_text_as_ever():
    assert json.dumps(RUN.to_json()) == TEXT


def test_a_run_is_read_as_it_was():
    run = Run.from_json(json.loads(TEXT))
    assert run == RUN
    assert repr(run) == repr(RUN)


def test_a_universe_is_read_as_it_was():
    universe = Universe.from_json(json.loads(TEXT)["universe"])
    assert universe == UNIVERSE
    assert repr(universe) == repr(UNIVERSE)


def test_a_stored_request_of_an_older_version_lacks_what_has_a_default():
    values = json.loads(TEXT)["universe"]
    del values["sectors"], values["scheduled"]
    assert Universe.from_json(values) == Universe(**{**vars(UNIVERSE), "sectors": {}})


def test_a_universe_that_cannot_be_is_refused_when_it_is_read():
    with pytest.raises(SettingsError, match="horizon is 61; 1 to 60"):
        Universe.from_json({**json.loads(TEXT)["universe"], "horizon": 61})


def test_the_key_of_a_run_is_that_of_its_rows():
    assert RUN.series == {"universe": "mine", "recipe": "default", "target": "close"}
    assert RUN.key == {**RUN.series, "cutoff": RUN.session}
