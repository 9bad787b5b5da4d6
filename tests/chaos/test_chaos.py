"""A short chaos: two sessions, each run again with one fault after the other; see `make chaos`."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.rounds import Rounds
from tests.chaos.world import World, made_world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the clock is turned by Linux's loader"),
]

SEED = 3


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with made_world() as made:
        yield made


@pytest.fixture(scope="module")
def rounds(world: World) -> Rounds:
    return Rounds(world, random.Random(SEED), FAULTS)


@pytest.mark.parametrize(
    "faults",
    [
        ("source half", "source lying", "clock a day back"),
        ("disk full", "PostgreSQL killed", "all killed"),
    ],
    ids=["outside", "machine"],
)
def test_whatever_strikes_a_run_the_next_one_makes_everything_right(rounds: Rounds, faults):
    played = rounds.play(*faults)
    assert [each.name for each in played.struck] == list(faults)
    assert played.broken == [], played.line(0)
