"""Programs of this project search for garbage less often than Python does by default."""

import gc
from collections.abc import Iterator

import pytest

from pipeline.cli import main
from pipeline.garbage import THRESHOLDS


@pytest.fixture
def usual_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("usual_thresholds")
def test_a_command_searches_rarely():
    assert main(["--version"]) == 0
    assert gc.get_threshold() == THRESHOLDS
