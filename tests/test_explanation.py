"""What made a published forecast is told from what is stored, and made again it is the same, or what differs is named."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import shlex
import shutil

import numpy as np
import pytest

from pipeline import cli, explanation, networks
from pipeline.errors import NothingStored, SettingsError
from pipeline.models import lent
from pipeline.tables import FORECASTS, PRICE_REVISIONS, PROMOTIONS, RUNS
from tests.made_days import SMALL, TRAINED, MadeParts, made_source
from tests.made_prices import LAST

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(made_day, tmp_path):
    """Parts on a copy of a whole day's home, for tests that change what is stored."""
    home = made_day[0].settings.home
    shutil.copytree(home, tmp_path / "home")
    with MadeParts(tmp_path / "home", made_source()) as parts:
        yield parts


def explained(parts, ticker):
    with lent(SMALL):
        return explanation.find(parts, LAST, ticker, universe="trained")


def again(parts, the):
    with lent(SMALL):
        return explanation.again(parts, the)


def test_a_published_row_is_told_with_its_data_networks_decision_and_settings(made_day):
    parts, run = made_day
    the = explained(parts, "OLD")
    text = explanation.text(parts, the)
    row = parts.rows(PROMOTIONS, run, ["OLD"]).iloc[0]
    rows = parts.store.load(PRICE_REVISIONS, ticker="OLD")
    assert f"published: {row['champion']}" in text
    assert all(reason in text for reason in str(row["reasons"]).split("; ")[:2])
    assert str(rows["known_at"].max()) in text
    for made in the.made:
        assert made.model_id in text and parts.artifacts.url(networks.model_file(made.model_id)) in text
    assert {made.role for made in the.made} == {"lstm", "previous", "pool"}
    assert text.count("(published)") == 1
    assert "went on from the pooled network" in text and "trained together by OLD, TWO" in text
    assert "NOT THERE" not in text
    assert all(f"{role}:" in text for role in the.data["role"])
    assert "tickers OLD, TWO, YNG, AAA; horizon 5, retrain monthly" in text
    assert "tensorflow" in text and "seed" in text


def test_a_forecast_without_a_network_says_so(made_day):
    parts, _ = made_day
    text = explanation.text(parts, explained(parts, "AAA"))
    assert "none: too little history" in text
    assert "published: ewma" in text


def test_one_horizon_alone(made_day):
    parts, _ = made_day
    the = explained(parts, "OLD")
    whole, one = explanation.text(parts, the), explanation.text(parts, the, 3)
    assert len(whole.splitlines()) - len(one.splitlines()) == 2 * (TRAINED.horizon - 1)
    with pytest.raises(SettingsError, match=r"horizon is 9; this forecast reaches 1, 2, 3, 4, 5"):
        explanation.text(parts, the, 9)


def test_made_again_it_is_the_same_to_the_last_bit_and_nothing_stored_moves(made_day):
    parts, _ = made_day
    files = {path: path.stat().st_mtime_ns for path in (parts.settings.home / "artifacts").rglob("*")}
    comparison = again(parts, explained(parts, "OLD"))
    assert comparison.same and comparison.reasons == ()
    names = [check.what for check in comparison.checks]
    assert names[-3:] == ["promotions", "calibrations", "forecasts"]
    assert sum(name.startswith("network file") for name in names) == 3
    assert sum(name.startswith("dataset") for name in names) == len(explained(parts, "OLD").data)
    assert {path: path.stat().st_mtime_ns for path in (parts.settings.home / "artifacts").rglob("*")} == files


def test_what_was_changed_by_hand_is_found(copied):
    rows = copied.store.load(FORECASTS, ticker="AAA")
    changed = rows.assign(y_hat=np.where(rows["horizon"] == 2, 99.0, rows["y_hat"]))
    copied.store.save(FORECASTS, changed)
    comparison = again(copied, explained(copied, "AAA"))
    [check] = [check for check in comparison.checks if check.differs]
    assert check.what == "forecasts"
    assert re.fullmatch(r"y_hat of horizon 2: 99\.0 then, \d+\.\d+ now; 1 cells in all", check.differs)
    assert "changed by hand" in comparison.reasons[-1]


def test_prices_corrected_since_do_not_change_what_is_made_again(copied):
    bars = copied.store.load(PRICE_REVISIONS, ticker="AAA").tail(3)
    later = bars.assign(close=bars["close"] * 1.01, high=bars["high"] * 1.02, known_at=bars["known_at"] + dt.timedelta(days=30))
    copied.store.save(PRICE_REVISIONS, later)
    assert again(copied, explained(copied, "AAA")).same


def test_a_recipe_changed_since_is_named(copied):
    other = dataclasses.replace(SMALL, epochs=1)
    with lent(other):
        the = explanation.find(copied, LAST, "TWO", universe="trained")
        text = explanation.text(copied, the)
        comparison = explanation.again(copied, the)
    assert "trained by nobody yet, or its recipe has changed since" in text
    assert not comparison.same
    assert any("none then" in check.differs for check in comparison.checks)


def test_what_an_older_version_published_cannot_be_made_again(copied):
    copied.store.replace(RUNS, RUNS.empty(), universe="trained", ticker="AAA")
    the = explained(copied, "AAA")
    assert "not kept by the version that published it" in explanation.text(copied, the)
    with pytest.raises(NothingStored, match=r"AAA 2013-03-01: .* cannot be made again\. Repeat `stockcast run`"):
        again(copied, the)


def test_the_command_prints_it_and_says_what_there_is(made_day, capsys):
    parts, _ = made_day
    home = f"--home {parts.settings.home} --store-url {parts.settings.store_url}"
    assert cli.main(shlex.split(f"explain 2013-03-01 AAA --universe trained {home}")) == 0
    out = capsys.readouterr().out
    assert out.startswith("AAA close, universe trained, recipe default: forecast after 2013-03-01\n")
    for asked, told in (
        (
            "2013-02-27 AAA",
            "AAA: no forecast made after 2013-02-27 is stored (universe trained). There are some made after 2013-03-01.",
        ),
        (
            "2013-03-01 AAA --recipe defualt",
            "no forecast of AAA is stored (universe trained, recipe defualt); there are some of universe trained, recipe default.",
        ),
        (
            "2013-03-01 ZZZ",
            "ZZZ 2013-03-01: no forecast of ZZZ is stored (universe trained); there are some of AAA, OLD, TWO, YNG.",
        ),
    ):
        assert cli.main(shlex.split(f"explain {asked} --universe trained {home}")) == 1
        assert told in capsys.readouterr().err
