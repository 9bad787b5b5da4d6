"""Datasets that networks learn from are found again until a revision touches their history."""

import datetime as dt
import shutil

import pandas as pd
import pytest

from pipeline.daily import dataset_file, written_cuts
from pipeline.prices import history
from pipeline.tables import DATASETS
from tests.daily.quick_days import quick_day, take_steps

pytestmark = pytest.mark.integration

CUT_STEPS = "pretrain", "build_windows"


@pytest.fixture
def encoded(monkeypatch):
    """The cutoffs of the datasets that are made, by ticker."""
    made = []
    encode = written_cuts.encode

    def spied(history, spec):
        made.append((spec.ticker, spec.cutoff))
        return encode(history, spec)

    monkeypatch.setattr(written_cuts, "encode", spied)
    return made


def cuts_of(parts):
    return parts.settings.home / "artifacts" / "cuts"


def built(parts, run):
    """Do the two steps; return the DATASETS rows."""
    take_steps(parts, run, *CUT_STEPS)
    return parts.rows(DATASETS, run)


def test_the_next_session_finds_what_networks_learn_from(parts, encoded):
    before = quick_day(parts, dt.date(2013, 2, 27), last="build_windows")
    encoded.clear()
    run = quick_day(parts, dt.date(2013, 2, 28), last="build_windows")
    assert run.training_cutoff == before.training_cutoff
    assert {cutoff for _, cutoff in encoded} == {run.session}
    rows, rows_before = (
        parts.rows(DATASETS, each).query("learnt != ''").drop(columns="cutoff")
        for each in (run, before)
    )
    assert len(rows) > 0
    pd.testing.assert_frame_equal(rows, rows_before)


def test_the_next_session_adjusts_histories_at_its_own_end_alone(parts, monkeypatch):
    quick_day(parts, dt.date(2013, 2, 27), last="build_windows")
    run = quick_day(parts, dt.date(2013, 2, 28), last="check")
    seen = set()
    adjust = history.adjust

    def spied(bars, actions, cutoff):
        seen.update((ticker, cutoff) for ticker in bars["ticker"].unique())
        return adjust(bars, actions, cutoff)

    monkeypatch.setattr(history, "adjust", spied)
    take_steps(parts, run, *CUT_STEPS)
    # A young stock gives no share to the network of all, which is looked at each time.
    assert {cutoff for ticker, cutoff in seen if ticker in ("OLD", "TWO")} == {run.session}


@pytest.mark.parametrize("days", [400, 100])
def test_a_corrected_bar_gives_what_would_be_made_without_files_of_before(done, encoded, days):
    parts, run = done
    bars = parts.made.bars["OLD"]
    bars.loc[bars.index[-days], "close"] *= 1.001
    take_steps(parts, run, "ingest", "check")
    found = built(parts, run)
    assert run.training_cutoff in {cutoff for ticker, cutoff in encoded if ticker == "OLD"}
    shutil.rmtree(cuts_of(parts))
    pd.testing.assert_frame_equal(built(parts, run), found)


def test_a_dataset_that_is_gone_or_damaged_is_made_again(done):
    parts, run = done
    rows = parts.rows(DATASETS, run).set_index(["ticker", "role"])
    files = [
        parts.settings.home / "artifacts" / dataset_file(rows.loc[("OLD", role), "dataset"])
        for role in ("training", "previous")
    ]
    whole = [file.read_bytes() for file in files]
    files[0].unlink()
    files[1].write_bytes(whole[1][:-1])
    built(parts, run)
    assert [file.read_bytes() for file in files] == whole


def test_a_damaged_list_of_what_was_written_is_written_again(done):
    parts, run = done
    files = sorted(cuts_of(parts).iterdir())
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(b"{")
    rows = parts.rows(DATASETS, run)
    pd.testing.assert_frame_equal(built(parts, run), rows)
    assert [file.read_bytes() for file in files] == whole
