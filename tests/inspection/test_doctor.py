"""The doctor names what is wrong and what to do, and marks what killed processes have left."""

import datetime as dt
import re
import shutil
import subprocess
import sys

import pytest

from pipeline.errors import SettingsError
from pipeline.inspection import Diagnosis, examine
from pipeline.settings import Settings
from pipeline.training import Workers

NOW = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)
#: Opens a run in MLflow, and dies before it is ended.
DYING = """
import datetime as dt, os, sys
from pipeline.tracking import Tracker
tracker = Tracker(sys.argv[1], sys.argv[2], "sample")
tracker.open_session(dt.date(2013, 3, 1), "default", "close")
os._exit(1)
"""


@pytest.fixture
def settings(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Settings(
        home=home,
        store_url=f"sqlite:///{home}/store.db",
        tracking_uri=f"sqlite:///{home}/mlflow.db",
    )


def test_a_wrong_setting_is_the_only_diagnosis():
    def wrong():
        raise SettingsError("workers is none; expected: a whole number (--workers).")

    message = "workers is none; expected: a whole number (--workers)."
    assert examine(wrong, NOW) == [Diagnosis("configuration", False, message)]


def test_without_a_universe_the_rest_is_looked_at_all_the_same(settings):
    diagnoses = examine(lambda: settings.replaced(universe="nope"), NOW)
    well = {diagnosis.what: diagnosis.is_well for diagnosis in diagnoses}
    assert list(well) == ["configuration", "home", "universe", "store", "artifacts", "sizes"]
    assert [what for what, is_well in well.items() if not is_well] == ["universe"]
    [universe] = [each.message for each in diagnoses if each.what == "universe"]
    assert universe.startswith("There is no universe 'nope'. The universes are:")


def test_a_wrong_entry_of_the_universes_file_is_named_beside_the_one_that_is_run(settings):
    file = settings.home / "universes.toml"
    good = '[good]\nsource = "sample"\ntickers = ["IBM"]\n'
    file.write_text(good + '[odd]\nsource = "bloomberg"\ntickers = ["IBM"]\n')
    diagnoses = examine(lambda: settings.replaced(universes=str(file), universe="nope"), NOW)
    [odd] = [each for each in diagnoses if each.what == "universe odd"]
    assert not odd.is_well and odd.message.startswith("Universe 'odd': source is 'bloomberg'")


def test_a_home_that_others_may_enter_is_named_and_closed_or_says_how(settings, tmp_path):
    settings.home.chmod(0o755)
    # Without a universe, so that MLflow is not asked.
    settings = settings.replaced(universe="nope")
    first, second = ({each.what: each for each in examine(lambda: settings, NOW)} for _ in range(2))
    assert first["home"] == Diagnosis(
        "home", True, f"{settings.home}; it was open to others (mode 755), and is closed"
    )
    assert second["home"] == Diagnosis("home", True, str(settings.home))
    settings.home.chmod(0o1777)  # as /tmp is: not ours to close
    third = {each.what: each for each in examine(lambda: settings, NOW)}
    assert third["home"] == Diagnosis(
        "home",
        False,
        f"Others than its owner may enter {settings.home} (mode 1777), and it holds passwords. "
        f"Close it as its owner: chmod 700 {settings.home}; or name a folder of your own "
        "(flag --home).",
    )


def test_the_gpu_that_networks_are_trained_on_is_looked_for_and_no_other(settings, monkeypatch):
    def no_gpu(workers):
        raise SettingsError("There is no GPU here.")

    monkeypatch.setattr(Workers, "require_gpu", no_gpu)
    # Without a universe, so that MLflow is not asked.
    settings = settings.replaced(universe="nope")
    on_cpu = examine(lambda: settings, NOW)
    on_gpu = examine(lambda: settings.replaced(device="gpu"), NOW)
    [device] = [each for each in on_gpu if each.what not in {other.what for other in on_cpu}]
    assert device == Diagnosis("device", False, "There is no GPU here.")


@pytest.mark.slow
def test_runs_that_killed_processes_have_left_are_marked_and_counted(settings, mlflow_database):
    shutil.copy(mlflow_database, settings.home / "mlflow.db")
    arguments = [settings.tracking_uri, str(settings.home / "artifacts")]
    subprocess.run([sys.executable, "-c", DYING, *arguments], check=False)
    first, second = ({each.what: each for each in examine(lambda: settings, NOW)} for _ in range(2))
    assert list(first) == [
        "configuration",
        "home",
        "universe",
        "store",
        "artifacts",
        "sizes",
        "training",
        "tracking",
        "session",
        "source",
    ]
    assert all(each.is_well for each in first.values())
    left = "MLflow answers; 1 run left by killed processes was marked KILLED"
    assert first["tracking"].message == left
    assert second["tracking"].message == "MLflow answers"
    sizes = second["sizes"].message  # so far, only the doctor has written an artifact
    assert re.fullmatch(
        r"27 bytes in 1 files; MLflow's files 27 bytes \(1\); the store .* KiB", sizes
    )
