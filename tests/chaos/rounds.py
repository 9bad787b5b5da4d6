"""Rounds of chaos: a session is run with a fault, then without it, and everything must be right.

    python -m tests.chaos.rounds --rounds 100 --seed 1

Each round prints one line: the fault and its moment, how the run that it struck ended, whether the
next one made everything right, and seconds.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.invariants import INVARIANTS, Rows
from tests.chaos.world import (
    CALENDAR,
    FIRST_SESSION,
    Command,
    World,
    end_on_termination,
    made_world,
)

#: Every so many rounds, one has SQLite files in place of PostgreSQL.
SQLITE_EVERY = 6


@dataclass
class Struck:
    """A run with a fault.

    Attributes:
        moment: seconds after the run's beginning.
        met: what the fault says of itself.
        code: the exit code of the run.
        wrong: what is wrong with its end; "" where it has healed, or failed in one line.
    """

    name: str
    moment: float
    met: str
    code: int
    wrong: str

    def __str__(self) -> str:
        return f"{self.name:17}  at {self.moment:4.1f} s  {self.met}; exit code {self.code}"


@dataclass
class Round:
    """A round: the runs with faults, and what was wrong after the one without."""

    store: str
    session: str
    struck: list[Struck]
    broken: list[str]
    seconds: float

    def line(self, number: int) -> str:
        """Return it as a line."""
        faults = "; ".join(map(str, self.struck))
        verdict = "; ".join(self.broken) or "all is right"
        place = f"{number:3d}  {self.session}  {self.store:10}"
        return f"{place}  {faults}; then {verdict}  ({self.seconds:.0f} s)"


class Rounds:
    """Rounds in one world, each a session later.

    Args:
        faults: those that may be drawn, by name.
    """

    def __init__(self, world: World, chance: random.Random, faults: dict[str, Fault]) -> None:
        self._world, self._chance, self._faults = world, chance, faults
        self._sessions = iter(CALENDAR.sessions(FIRST_SESSION, FIRST_SESSION.replace(year=2025)))
        self._before: Rows | None = None
        self._lengths: dict[str, float] = {}
        self._took = 0.0  # seconds of the last run

    def undisturbed(self, universe: str) -> None:
        """Run a session without a fault, and note the seconds it takes."""
        self._world.go_to(next(self._sessions))
        broken = self._heal(universe)
        assert not broken, broken

    def play(self, *names: str) -> Round:
        """Run a session with a fault, or again with each of several, then without one."""
        began, universe = time.monotonic(), self._faults[names[0]].universe
        if self._before is None:
            self.undisturbed(universe)  # it also makes the databases, which takes a while
        if universe not in self._lengths:
            self.undisturbed(universe)
            self._lengths[universe] = self._took
        self._world.go_to(next(self._sessions))
        struck = [self._strike(name, self._lengths[universe]) for name in names]
        broken = [f"{each.name}: {each.wrong}" for each in struck if each.wrong]
        broken += self._heal(universe)
        seconds = time.monotonic() - began
        return Round(self._world.store, str(self._world.session), struck, broken, seconds)

    def _strike(self, name: str, length: float) -> Struck:
        """Run the session with a fault at a moment that is drawn from a run's length."""
        fault = self._faults[name]
        moment = 0.0 if fault.strikes_at_once else self._chance.uniform(0, length)
        with fault.prepared(self._world, self._chance) as strike:
            command = self._world.run(fault.universe)
            _wait(command, moment)
            met = strike(command)
            code = self._world.end_of(command)
        return Struck(name, moment, met, code, _wrong_of(fault, command, code))

    def _heal(self, universe: str) -> list[str]:
        """Run the session; return what is wrong then."""
        began = time.monotonic()
        command = self._world.run(universe)
        code = self._world.end_of(command)
        self._took = time.monotonic() - began
        if code and self._before is None:  # there is nothing yet to look at
            raise AssertionError(command.output.read_text())
        broken = [f"exit code {code}: {_last_line(command)}"] if code else []
        try:
            self._world.wait_until_alone()
        except AssertionError as error:
            broken.append(str(error))
        after = Rows.of(self._world)
        broken += [
            text for holds in INVARIANTS if (text := holds(self._before, after, self._world))
        ]
        self._before = after
        return broken


def _wait(command: Command, seconds: float) -> None:
    """Wait so long, or until the command has ended."""
    deadline = time.monotonic() + seconds
    while command.runs and time.monotonic() < deadline:
        time.sleep(0.02)


def _wrong_of(fault: Fault, command: Command, code: int) -> str:
    """Return what is wrong with the end of a run with a fault."""
    if "Traceback (most recent call last)" in command.output.read_text():
        return f"a traceback, and {_last_line(command)}"
    return f"it did not heal: {_last_line(command)}" if fault.heals and code else ""


def _last_line(command: Command) -> str:
    return (command.output.read_text().strip().splitlines() or [""])[-1]


def drawn_faults(chance: random.Random, count: int) -> Iterator[tuple[str, str]]:
    """Draw a store and a fault for each round; each fault comes as often as the others."""
    left: list[str] = []
    for number in range(1, count + 1):
        store = "sqlite" if number % SQLITE_EVERY == 0 else "postgresql"
        if not any(store in FAULTS[name].stores for name in left):
            left += FAULTS
        name = chance.choice([name for name in left if store in FAULTS[name].stores])
        left.remove(name)
        yield store, name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end_on_termination()
    chance, began = random.Random(options.seed), time.monotonic()
    print(f"seed {options.seed}, {options.rounds} rounds", flush=True)
    played: list[Round] = []
    with made_world() as postgresql, made_world("sqlite") as sqlite:
        worlds = (postgresql, sqlite)
        rounds = {world.store: Rounds(world, chance, FAULTS) for world in worlds}
        try:
            for number, (store, name) in enumerate(drawn_faults(chance, options.rounds), 1):
                played.append(rounds[store].play(name))
                print(played[-1].line(number), flush=True)
        finally:
            print(summary(played, time.monotonic() - began), flush=True)
    return 1 if any(each.broken for each in played) else 0


def summary(played: list[Round], seconds: float) -> str:
    """Return rounds by fault, with how many runs went on, and how many rounds left a wrong."""
    lines = [f"{'fault':17}  rounds  went on  something wrong"]
    for name in FAULTS:
        own = [each for each in played if each.struck[0].name == name]
        went_on, broken = sum(not each.struck[0].code for each in own), sum(map(is_broken, own))
        lines.append(f"{name:17}  {len(own):6}  {went_on:7}  {broken:15}")
    broken = sum(map(is_broken, played))
    lines.append(f"{len(played)} rounds in {seconds:.0f} s, {broken} of them left something wrong")
    return "\n".join(["", *lines])


def is_broken(played: Round) -> bool:
    return bool(played.broken)


if __name__ == "__main__":
    sys.exit(main())
