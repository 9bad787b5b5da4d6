"""The gate on prices in another unit, or on both sides of a split that the source leaves out."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from pipeline.quality import Gate
from pipeline.tables import PRICE_COLUMNS
from tests.quality.made_bars import (
    SESSIONS,
    SUITES,
    clean,
    findings_of,
    judge,
    jumping,
    split_unannounced,
    times,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("age", [1, 3, 6, 150])
def test_a_drop_by_a_splits_ratio_is_a_quarantine_with_the_remedy_however_long_it_lasts(age):
    i = len(SESSIONS) - age
    bars = split_unannounced(clean("HALF"), i)
    before, after, day = bars["close"][i - 1], bars["close"][i], SESSIONS[i]
    verdict = judge(bars)
    assert findings_of(verdict, "HALF", "basis_changed") == [("close", "quarantine")]
    assert verdict.quarantined == {
        "HALF": f"{day}: close {before:g}, then {after:g} in ordinary trading: 1/2 of the bars "
        "before, the ratio of a split of 2:1 (expected all bars on one basis, or a split of this "
        f'session). Correct the bars, or add the split; if it was a move, add "HALF {day}" to '
        "`accepted` of basis_changed in expectations/prices.json"
    }
    split = {"ticker": ["HALF"], "session": [day], "kind": ["split"], "value": [2.0]}
    assert judge(bars, split).findings.empty


def test_a_block_in_another_unit_quarantines_while_it_stands_and_not_after_its_repair():
    right = clean("RAND")
    block = slice(len(SESSIONS) - 20, len(SESSIONS) - 11)
    wrong = right.copy()
    wrong.loc[block, PRICE_COLUMNS] /= 100
    verdict = judge(wrong)
    begin, end = SESSIONS[block.start], SESSIONS[block.stop + 1]
    reasons = verdict.quarantined["RAND"].split(f"{begin}: ")
    assert reasons[0].startswith(f"{end}: close ")
    assert "ordinary trading: 100 times the bars before, the ratio of another unit" in reasons[0]
    assert "1/100 of the bars before, the ratio of another unit of money (" in reasons[1]
    assert judge(right).findings.empty


def test_one_bar_in_another_unit_is_a_wrong_print_that_is_masked():
    verdict = judge(times(0.1)(clean("ONCE"), 100))
    assert findings_of(verdict, "ONCE", "wrong_print") == [("close", "mask")]
    assert set(verdict.findings["rule"]) == {"wrong_print"}


def test_a_split_that_the_prices_do_not_show_is_named():
    split = {"ticker": ["SPLIT"], "session": [SESSIONS[90]], "kind": ["split"], "value": [3.0]}
    reason = judge(clean("SPLIT"), split).quarantined["SPLIT"]
    assert reason.startswith(f"{SESSIONS[90]}: close ")
    assert f"3 times the bars before, the ratio of its split of {SESSIONS[90]} (" in reason


def test_a_real_move_is_confirmed_by_the_next_sessions_as_before():
    bars = jumping(1.5)(clean("NEWS"), 200)
    bars.loc[200, "volume"] *= 12
    verdict = judge(bars)
    assert findings_of(verdict, "NEWS", "jump_unexplained") == [("close", "record")]
    assert verdict.quarantined == {}


def test_a_change_that_somebody_has_accepted_is_only_recorded(tmp_path):
    folder = tmp_path / "expectations"
    shutil.copytree(SUITES, folder)
    suite = json.loads((folder / "prices.json").read_text())
    [rule] = [each for each in suite["expectations"] if each["meta"]["rule"] == "basis_changed"]
    rule["meta"]["accepted"] = [f"HALF {SESSIONS[200]}"]
    (folder / "prices.json").write_text(json.dumps(suite))
    prices = [split_unannounced(clean(name), 200) for name in ("HALF", "OTHER")]
    verdict = judge(pd.concat(prices), gate=Gate(folder))
    assert findings_of(verdict, "HALF", "basis_changed") == [("close", "record")]
    assert sorted(verdict.quarantined) == ["OTHER"]
