"""Sessions that one process does in a row leave what each leaves that has a process of its own.

In between, networks are trained, a stock is quarantined for a session, an old bar is corrected and
a dividend is paid.
"""

import dataclasses
import datetime as dt

import pandas as pd
import pytest

from pipeline.daily import plan
from pipeline.prices import RawPrices
from pipeline.tables import STORED
from tests.daily.quick_days import QuickParts, take_steps
from tests.made_days import NOW, TRAINED, made_source
from tests.made_prices import MadeSource

pytestmark = pytest.mark.integration

UNIVERSE = dataclasses.replace(TRAINED, tickers=("OLD", "TWO", "AAA"))
#: The second begins with new networks.
SESSIONS = [dt.date(2013, 1, 31), dt.date(2013, 2, 1), dt.date(2013, 2, 4)]
CHANGED, CHANGED_ON, CORRECTED_BAR = "OLD", SESSIONS[2], pd.Timestamp("2012-06-15")
QUARANTINED, QUARANTINED_ON = "TWO", SESSIONS[1]


class ChangingSource(MadeSource):
    """A source that corrects a bar of last year on `CHANGED_ON`, and has a dividend of that day."""

    def fetch_raw(self, ticker, first, last, now):
        bars = self.bars[ticker].copy()
        if ticker == CHANGED and last >= CHANGED_ON:
            bars.loc[bars["date"] == CORRECTED_BAR, "volume"] += 1_000
        paid = pd.DataFrame(
            {"date": [pd.Timestamp(CHANGED_ON)], "kind": ["dividend"], "value": [0.5]}
        )
        return RawPrices(bars, paid if ticker == CHANGED else paid[:0])


def changing_source():
    return ChangingSource(made_source(signalled=True).bars)


def with_fixed_clocks(parts):
    """Let everything be dated alike, so that moments and ids of runs can be compared."""
    parts.store.publications.clock = lambda: NOW
    return parts


def stored(parts):
    return {table.name: parts.store.load(table) for table in STORED}


def files_below(home, folders, but=()):
    paths = [
        path
        for folder in folders
        for path in (home / "artifacts" / folder).rglob("*")
        if path.is_file() and path.suffix not in but
    ]
    return {str(path.relative_to(home)): path.read_bytes() for path in paths}


def assert_same_rows(ours, theirs):
    for name, rows in ours.items():
        pd.testing.assert_frame_equal(rows, theirs[name], obj=name)


def quick_session(parts, session):
    parts.gate.broken = {QUARANTINED: "made up"} if session == QUARANTINED_ON else {}
    take_steps(parts, plan(parts, UNIVERSE, session, NOW))
    return {key: repr((made.params, made.metrics)) for key, made in parts.tracked.records.items()}


def test_every_row_is_the_same_as_one_by_one(tmp_path):
    with QuickParts(tmp_path / "together", changing_source()) as parts:
        with_fixed_clocks(parts)
        for session in SESSIONS:
            together_tracked = quick_session(parts, session)
        together = stored(parts)
    one_by_one_tracked = {}
    for session in SESSIONS:
        with QuickParts(tmp_path / "one_by_one", changing_source()) as parts:
            one_by_one_tracked |= quick_session(with_fixed_clocks(parts), session)
            one_by_one = stored(parts)
    assert_same_rows(together, one_by_one)
    assert together_tracked == one_by_one_tracked
    folders = ("datasets", "regressions", "choices", "replays", "predictions", "stability")
    assert files_below(tmp_path / "together", folders) == files_below(
        tmp_path / "one_by_one", folders
    )
    # All that was to happen in between did.
    published = together["forecasts"].groupby("cutoff")["ticker"].apply(set).tolist()
    every = set(UNIVERSE.tickers)
    assert published == [every, every - {QUARANTINED}, every]
    bars = together["price_revisions"]
    corrected = bars[bars.duplicated(["ticker", "session"])]
    assert set(corrected["session"]) == {CORRECTED_BAR}
    assert together["action_revisions"]["kind"].tolist() == ["dividend"]
    trained = together["models"].query("ticker == 'OLD'")["training_cutoff"]
    assert set(trained.dt.strftime("%m-%d")) == {"12-03", "01-02", "02-01"}
