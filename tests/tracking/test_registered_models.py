"""Registered models: a version per network, and the alias on the one that is published."""

import dataclasses
import datetime as dt

import pytest

from pipeline.errors import NothingStored
from pipeline.tracking import PublishedModel
from tests.tracking.made_runs import AAPL, client_of, record_friday, versions_of

pytestmark = pytest.mark.slow

MARCH, FEBRUARY = PublishedModel("aapl-march"), PublishedModel("aapl-february")
RIDGE = PublishedModel("har", is_baseline=True)


def test_each_network_is_one_version_however_many_sessions_compare_it(tracker, folder):
    _, friday = record_friday(tracker)
    monday = tracker.record(tracker.open_session(dt.date(2013, 3, 4), "default", "close"), AAPL)
    assert versions_of(folder) == [
        ("sample.AAPL", 1, "aapl-march", "2013-03-01"),
        ("sample.AAPL", 2, "aapl-february", "2013-02-01"),
    ]
    client = client_of(folder)
    [model] = {
        output.model_id
        for run in (friday, monday)
        for output in client.get_run(run).outputs.model_outputs
    }
    shown = {metric.key: metric.value for metric in client.get_logged_model(model).metrics}
    assert shown.items() >= {"test_rmse": 9.5, "test_rmse_naive": 9.25}.items()


def test_the_champion_alias_follows_what_is_published(tracker, folder):
    record_friday(tracker)
    champions = []
    for champion in (MARCH, FEBRUARY, FEBRUARY, RIDGE, None):
        tracker.set_champions({"AAPL": champion}, lambda: True)
        model = client_of(folder).get_registered_model("sample.AAPL")
        version = model.aliases.get("champion")
        champions.append((version and int(version), model.tags["published"]))
    assert champions == [
        (1, "network"),
        (2, "network"),
        (2, "network"),
        (3, "har"),
        (None, "naive"),
    ]
    [ridge] = [v for v in client_of(folder).search_model_versions() if int(v.version) == 3]
    assert ridge.tags == {"model_id": "har", "ticker": "AAPL"}


def test_a_publication_writes_files_into_the_folder_of_its_champion(tracker, folder):
    record_friday(tracker)
    for day in (b"friday", b"monday"):
        for champion in (MARCH, RIDGE):
            published = dataclasses.replace(champion, served=lambda day=day: {"served.npz": day})
            tracker.set_champions({"AAPL": published}, lambda: True)
    files = {
        path.parent.parent.name: path.read_bytes()
        for path in (folder / "artifacts").rglob("served.npz")
    }
    versions = client_of(folder).search_model_versions("name = 'sample.AAPL'")
    of_version = {v.tags["model_id"]: files.get(v.source.rpartition("/")[2]) for v in versions}
    assert of_version == {"aapl-march": b"monday", "aapl-february": None, "har": b"monday"}
    assert not list((folder / "artifacts").rglob("*.draft"))


def test_nothing_is_written_where_a_later_session_has_been_published(tracker, folder):
    record_friday(tracker)
    published = dataclasses.replace(MARCH, served=lambda: {"served.npz": b"friday"})
    tracker.set_champions({"AAPL": published}, lambda: False)
    assert not list((folder / "artifacts").rglob("served.npz"))


def test_a_version_that_somebody_else_registered_is_not_crowned_where_a_baseline_is(
    tracker, folder
):
    tracker.prepare()
    client = client_of(folder)
    client.create_registered_model("sample.AAPL")
    client.create_model_version("sample.AAPL", "s3://elsewhere/model")
    tracker.set_champions({"AAPL": None}, lambda: True)
    assert client.get_registered_model("sample.AAPL").aliases == {}


def test_a_champion_that_nobody_registered_is_named(tracker):
    tracker.set_champions({"FB": None}, lambda: True)
    with pytest.raises(NothingStored, match=r"FB: model nope is not registered as sample\.FB"):
        tracker.set_champions({"FB": PublishedModel("nope")}, lambda: True)


@pytest.mark.parametrize("ticker", ["^GSPC", "BRK.B", "EURUSD=X"])
def test_every_ticker_makes_a_valid_name(tracker, folder, ticker):
    record_friday(tracker, dataclasses.replace(AAPL, ticker=ticker))
    assert {name for name, *_ in versions_of(folder)} == {f"sample.{ticker}"}
