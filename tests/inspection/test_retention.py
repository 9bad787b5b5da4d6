"""What nobody needs goes, and what is published is explained and gone on from as if it were there.

Days are quick here (see `quick_days`); `test_pruning` has a real one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline.daily import lineup
from pipeline.errors import NothingStored
from pipeline.inspection import (
    KindUsage,
    explanation_text,
    find_explanation,
    needed_files,
    oldest_kept,
    remove_unneeded,
    size_text,
    usage_of,
)
from pipeline.storage import Artifacts
from pipeline.tables import STORED
from tests.daily.quick_days import QuickParts, quick_day, take_steps
from tests.made_days import TRAINED, made_source
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

#: Two sessions of a month, of which the older one trains, and one of the month before.
JANUARY, FEBRUARY, NEWEST = dt.date(2013, 1, 15), dt.date(2013, 2, 4), dt.date(2013, 2, 28)
KEEP_DAYS = 30
#: One ticker with networks of its own, one with the pooled one, one with none.
FEWER = dataclasses.replace(TRAINED, tickers=("OLD", "YNG", "AAA"))


@pytest.fixture(scope="session")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of three quick days, none of whose files was used for 100 days."""
    home = tmp_path_factory.mktemp("kept")
    with QuickParts(home, made_source(signalled=True)) as parts:
        for session in (JANUARY, FEBRUARY, NEWEST):
            quick_day(parts, session, FEWER)
    age(home)
    return home


@pytest.fixture
def kept(kept_home: Path, tmp_path: Path) -> Iterator[QuickParts]:
    """Parts on a copy of that home."""
    with copied(kept_home, tmp_path / "copy") as parts:
        yield parts


def copied(home: Path, to: Path) -> QuickParts:
    shutil.copytree(home, to)  # with the times of the files
    return QuickParts(to, made_source(signalled=True))


def age(home: Path, days: int = 100) -> None:
    for path in home.rglob("*"):
        moment = path.stat().st_mtime - days * 86400
        os.utime(path, (moment, moment))


def unneeded(parts: QuickParts) -> dict[str, KindUsage]:
    before = oldest_kept(dt.datetime.now(dt.UTC), KEEP_DAYS)
    found = usage_of(parts, needed_files(parts), before).kinds
    return {usage.kind.name: usage for usage in found if usage.unneeded}


def prune(parts: QuickParts, *kinds: str) -> int:
    """Remove all that is unneeded, or of some kinds; return how many files are gone."""
    before = oldest_kept(dt.datetime.now(dt.UTC), KEEP_DAYS)
    return sum(
        remove_unneeded(parts, usage, before)
        for name, usage in unneeded(parts).items()
        if not kinds or name in kinds
    )


def explanations(parts: QuickParts) -> list[str]:
    return [
        explanation_text(parts, find_explanation(parts, session, ticker, universe="trained"))
        for session in (JANUARY, FEBRUARY, NEWEST)
        for ticker in FEWER.tickers
    ]


def rows(parts: QuickParts) -> dict[str, pd.DataFrame]:
    return {table.name: parts.store.load(table) for table in STORED}


def files(parts: QuickParts) -> dict[str, tuple[int, float]]:
    return {each.name: (each.size, each.modified) for each in parts.artifacts.files()}


def test_old_sessions_lose_what_can_be_made_again_and_say_the_same(kept):
    before, stored = explanations(kept), rows(kept)
    kinds = unneeded(kept)
    assert {name: len(usage.unneeded) for name, usage in kinds.items()} == {
        "replays": 2 * len(FEWER.tickers),
        "regressions": 4,  # those of two old trainings, and what one forecasts from old sessions
        # Of two sessions, and of January for a stock too young for any other.
        "datasets": len(kinds["datasets"].unneeded),
        "measurements": len(kinds["measurements"].unneeded),
        "lists of datasets": 3,  # and of regressions; the next session makes them again
    }
    lives = {
        own.live.dataset
        for session in (JANUARY, FEBRUARY)
        for own in lineup.every(kept, universe="trained", cutoff=session)
        if own.datasets
    }
    assert {Path(name).stem for name in kinds["datasets"].unneeded} <= lives
    assert prune(kept) > 2 * len(FEWER.tickers)
    assert explanations(kept) == before and not any("NOT THERE" in text for text in before)
    for name, table in rows(kept).items():
        pd.testing.assert_frame_equal(table, stored[name])


def test_looking_changes_nothing_and_a_second_time_nothing_goes(kept):
    all_files = files(kept)
    unneeded(kept)
    assert files(kept) == all_files
    gone = prune(kept)
    assert len(files(kept)) == len(all_files) - gone
    assert unneeded(kept) == {} and prune(kept) == 0


def test_the_next_session_is_what_it_would_have_been(kept, kept_home, tmp_path):
    prune(kept)
    with copied(kept_home, tmp_path / "unpruned") as other:
        for parts in (kept, other):
            quick_day(parts, LAST, FEWER)
        assert kept.fits == other.fits  # nothing had to be trained again
        expected = rows(other)
    for name, table in rows(kept).items():
        moments = [column for column in ("published_at", "known_at") if column in table]
        pd.testing.assert_frame_equal(
            table.drop(columns=moments), expected[name].drop(columns=moments)
        )


def test_an_old_session_that_is_repeated_changes_nothing_but_its_files(kept):
    stored = rows(kept)
    prune(kept)
    quick_day(kept, JANUARY, FEWER)
    assert kept.fits == []
    for name, table in rows(kept).items():
        pd.testing.assert_frame_equal(table, stored[name])


def test_what_a_repeated_session_works_with_is_left_alone(kept):
    run = quick_day(kept, JANUARY, FEWER, last="evaluate")
    assert set(unneeded(kept)) <= {"replays", "regressions", "datasets", "measurements"}
    own = lineup.load(kept, run, ["OLD"])["OLD"]
    prune(kept)
    regressions = [f"regressions/{name}.npz" for name in (own.har, own.live_har)]
    for name in (
        own.replay_file,
        own.choice_file,
        f"datasets/{own.live.dataset}.npz",
        *regressions,
    ):
        assert kept.artifacts.exists(name)
    take_steps(kept, run, "promote")


def test_a_step_that_lacks_what_is_gone_withdraws_nothing(kept):
    run = quick_day(kept, JANUARY, FEWER, last="ingest")
    stored = rows(kept)
    replay = lineup.load(kept, run, ["OLD"])["OLD"].replay_file
    (Path(kept.settings.home) / "artifacts" / replay).unlink()
    with pytest.raises(NothingStored, match=r"replays of OLD are not there.*Run `evaluate`"):
        take_steps(kept, run, "publish", "publish")
    for name, table in rows(kept).items():
        pd.testing.assert_frame_equal(table, stored[name])


def test_a_network_stays_as_long_as_a_publication_was_compared_with_it(kept):
    kept.artifacts.write("models/1234.keras", b"of a backtest")
    age(Path(kept.settings.home) / "artifacts" / "models")
    january = lineup.every(kept, universe="trained", cutoff=JANUARY)
    networks = {network.model_id for own in january for network in own.networks}
    assert unneeded(kept)["networks"].unneeded == ["models/1234.keras"]
    prune(kept)
    assert all(kept.networks.has(model_id) for model_id in networks)


def test_what_was_killed_is_completed_by_the_next(kept):
    prune(kept, "replays")  # as one that was killed before it came to the rest
    rest = unneeded(kept)
    assert set(rest) == {"regressions", "datasets", "measurements", "lists of datasets"}
    assert prune(kept) == sum(len(usage.unneeded) for usage in rest.values())
    assert unneeded(kept) == {}


def test_a_file_that_is_used_again_since_it_was_looked_at_stays(kept):
    before = oldest_kept(dt.datetime.now(dt.UTC), KEEP_DAYS)
    usage = unneeded(kept)["replays"]
    kept.artifacts.renew(usage.unneeded[0])
    assert remove_unneeded(kept, usage, before) == len(usage.unneeded) - 1
    assert kept.artifacts.exists(usage.unneeded[0])


def test_mlflow_files_of_an_experiment_named_like_a_kind_are_not_touched(kept):
    kept.artifacts.write("replays/0123/artifacts/predictions.csv", b"of a universe named replays")
    kept.artifacts.write("reports/0123/artifacts/page.html", b"of a universe named reports")
    age(Path(kept.settings.home))
    before = oldest_kept(dt.datetime.now(dt.UTC), KEEP_DAYS)
    usage = usage_of(kept, needed_files(kept), before)
    assert sorted(usage.mlflow) == [
        "replays/0123/artifacts/predictions.csv",
        "reports/0123/artifacts/page.html",
    ]
    assert not any(set(usage.mlflow) & set(each.unneeded) for each in usage.kinds)


def test_old_pages_and_logs_go_and_leave_no_empty_folders(kept):
    home = kept.settings.home
    old = [
        home / "logs/tasks/dag_id=daily/run_id=1/task_id=plan/attempt=1.log",
        home / f"data_docs/trained/{JANUARY}/AAA.html",
    ]
    stay = [home / f"data_docs/trained/{NEWEST}/AAA.html", home / "logs/scheduler.log"]
    for path in (*old, *stay):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps("something"))
        os.utime(path, (0, 0))
    for session in (JANUARY, NEWEST):
        kept.artifacts.write(f"reports/trained/{session}-default-close.html", b"page")
        kept.artifacts.write(f"scenarios/trained/{session}-default-close.parquet", b"paths")
    age(home / "artifacts" / "reports")
    age(home / "artifacts" / "scenarios")
    prune(kept)
    assert all(path.exists() for path in stay)
    assert not any(path.exists() for path in (*old, old[0].parent, old[0].parents[2]))
    names = [name for name in files(kept) if name.startswith(("reports/", "scenarios/"))]
    assert sorted(names) == [
        f"reports/trained/{NEWEST}-default-close.html",
        f"scenarios/trained/{NEWEST}-default-close.parquet",
    ]


def test_of_a_folder_that_people_chose_for_tensorboard_only_its_own_files_go(kept_home, tmp_path):
    shutil.copytree(kept_home, tmp_path / "copy")
    board = tmp_path / "documents"
    events, letter = board / "IBM/train/events.out.tfevents.1.host", board / "IBM/letter.txt"
    for path in (events, letter):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    source = made_source(signalled=True)
    with QuickParts(tmp_path / "copy", source, tensorboard=str(board)) as parts:
        assert prune(parts, "TensorBoard") == 1
    assert letter.exists()
    assert not events.parent.exists()


def test_files_in_an_object_store_are_listed_renewed_and_removed_one_by_one():
    artifacts = Artifacts("memory://retention")
    artifacts.write("replays/a.npz", b"a")
    artifacts.write("replays/b.npz", b"bb")
    listed = {each.name: each for each in artifacts.files()}
    assert {name: each.size for name, each in listed.items()} == {
        "replays/a.npz": 1,
        "replays/b.npz": 2,
    }
    moment = listed["replays/b.npz"].modified
    assert abs(moment - dt.datetime.now(dt.UTC).timestamp()) < 600
    artifacts.renew("replays/b.npz")
    artifacts.renew("replays/absent.npz")
    assert artifacts.remove(["replays/a.npz"], moment - 3600) == []
    gone = ["replays/a.npz", "replays/absent.npz"]
    assert artifacts.remove(gone, moment + 3600) == gone
    assert [each.name for each in artifacts.files()] == ["replays/b.npz"]
    assert list(Artifacts("memory://nothing").files()) == []


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (5 * 2**40, "5,120.0 GiB")],
)
def test_sizes_are_written_in_binary_units(size, text):
    assert size_text(size) == text
