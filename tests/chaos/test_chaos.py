"""A short chaos: every fault but those of training and of the whole minute; see `make chaos`."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import pytest

from tests.chaos.faults import FAULTS, Fault, stopped
from tests.chaos.rounds import Rounds
from tests.chaos.world import World, made_world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the clock is turned by Linux's loader"),
]

SEED = 3
SHORT = FAULTS | {"stopped": Fault(stopped(2), heals=True)}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with made_world() as made:
        yield made


@pytest.fixture(scope="module")
def rounds(world: World) -> Rounds:
    return Rounds(world, random.Random(SEED), SHORT)


@pytest.mark.parametrize(
    "faults",
    [
        ("source late", "source half", "source hanging", "source lying", "source restating"),
        ("no connection", "disk full", "PostgreSQL killed", "connection killed", "guard killed"),
        ("run killed", "all killed", "stopped", "clock a day on", "clock a day back"),
    ],
    ids=["source", "database", "machine"],
)
def test_whatever_strikes_a_run_the_next_one_makes_everything_right(rounds: Rounds, faults):
    played = rounds.play(*faults)
    assert [each.name for each in played.struck] == list(faults)
    assert played.broken == [], played.line(0)


def test_a_full_disk_and_a_late_source_fail_a_run_that_says_so(rounds: Rounds, world: World):
    played = rounds.play("source late")
    assert played.struck[0].code == 1
    assert "has no bar of" in played.struck[0].end
