"""Parts of audits, and copies of a whole day."""

import shutil

import pytest

from pipeline.parts import Parts
from pipeline.settings import Settings
from tests.made_days import MadeParts, made_source


@pytest.fixture
def parts(tmp_path):
    """Parts with one worker for all audits of this process: TensorFlow is imported once."""
    settings = Settings(home=tmp_path / "home", workers=1)
    with Parts(settings, progress=lambda *_: None) as made:
        yield made


@pytest.fixture
def copied_day(made_day, tmp_path):
    """Parts on a copy of a whole day's home, for tests that change what is stored."""
    home = tmp_path / "copy"
    shutil.copytree(made_day[0].settings.home, home)
    with MadeParts(home, made_source(signalled=True)) as copied:
        yield copied
