"""Homes for days: with real parts, with quick ones, and a copy of the day that tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.run import Run
from tests.daily.quick_days import QuickParts, quick_day
from tests.made_days import MadeParts, made_source
from tests.made_once import MadeOnce
from tests.made_prices import MadeSource


@pytest.fixture
def source() -> MadeSource:
    return made_source()


@pytest.fixture
def make_parts(
    tmp_path: Path, source: MadeSource, mlflow_database: Path
) -> Iterator[Callable[..., MadeParts]]:
    """Parts in a home of their own at each call, closed afterwards."""
    made: list[MadeParts] = []

    def make(home: str = "home", prices: MadeSource | None = None, **changes: Any) -> MadeParts:
        (tmp_path / home).mkdir()
        shutil.copy(mlflow_database, tmp_path / home / "mlflow.db")
        made.append(MadeParts(tmp_path / home, prices or source, **changes))
        return made[-1]

    yield make
    for parts in made:
        parts.__exit__()


@pytest.fixture
def parts(tmp_path: Path, source: MadeSource) -> Iterator[QuickParts]:
    """Quick parts; see `quick_days`."""
    with QuickParts(tmp_path, source) as made:
        yield made


@pytest.fixture(scope="session")
def quick_original(made_once: MadeOnce) -> tuple[Path, Run]:
    """The home of a quick day whose networks are published, up to `watch`."""

    def make(home: Path) -> None:
        with QuickParts(home, made_source(signalled=True)) as parts:
            run = quick_day(parts)
        (home / "run.json").write_text(json.dumps(run.to_json()))

    home = made_once("quick_day", make)
    return home, Run.from_json(json.loads((home / "run.json").read_text()))


@pytest.fixture
def done(quick_original: tuple[Path, Run], tmp_path: Path) -> Iterator[tuple[QuickParts, Run]]:
    """A copy of the quick day, with parts that have not been used yet."""
    home, run = quick_original
    shutil.copytree(home, tmp_path / "copy")
    with QuickParts(tmp_path / "copy", made_source(signalled=True)) as parts:
        yield parts, run


@pytest.fixture
def made_copy(made_day: tuple[MadeParts, Run], tmp_path: Path) -> Iterator[tuple[MadeParts, Run]]:
    """A copy of the day that tests share, for those that change something."""
    original, run = made_day
    shutil.copytree(original.settings.home, tmp_path / "copy")
    with MadeParts(tmp_path / "copy", original.made) as parts:
        yield parts, run


@pytest.fixture
def scored(scored_home: Path, source: MadeSource, tmp_path: Path) -> Iterator[QuickParts]:
    """Quick parts in a copy of the days that a module's fixture `scored_home` has scored."""
    shutil.copytree(scored_home, tmp_path / "copy")
    with QuickParts(tmp_path / "copy", source) as made:
        yield made
