"""The Data Docs page of a shard."""

import json
import re
from html import escape

import pandas as pd
import pytest

from pipeline.quality import Gate
from tests.quality.made_bars import SUITES, clean, judge

pytestmark = pytest.mark.slow


def test_data_docs_are_one_page_per_shard_and_written_again_in_place(tmp_path):
    gate = Gate(SUITES, tmp_path)
    for _ in range(2):
        judge(clean("GOOD"), gate=gate, documented=True)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "made/2017-11-30/GOOD.html"
    ]
    page = paths[0].read_text(encoding="utf-8")
    assert "copied_cells" in page and "Success Percent" in page
    assert not re.search(r"//|<script|<img|onclick|href=\"(?!#)", page), "it needs nothing else"
    rules = json.loads((SUITES / "prices.json").read_text(encoding="utf-8"))["expectations"]
    reasons = {rule["meta"]["rule"]: rule["meta"]["reason"] for rule in rules}
    absent = [rule for rule, reason in reasons.items() if escape(reason, quote=False) not in page]
    assert absent == []


def test_the_page_of_several_tickers_has_a_short_name_that_stays(tmp_path):
    gate = Gate(SUITES, tmp_path)
    judge(pd.concat([clean("GOOD"), clean("FINE")]), gate=gate, documented=True)
    names = [path.name for path in tmp_path.rglob("*.html")]
    assert names == ["FINE-and-1-more-258f5d10.html"]


def test_no_page_is_written_where_none_is_asked_for(tmp_path):
    gate = Gate(SUITES, tmp_path)
    judge(clean("GOOD"), gate=gate)
    assert list(tmp_path.iterdir()) == [] and not gate.is_documented("made")
    judge(clean("GOOD"), gate=gate, documented=True)
    assert gate.is_documented("made") and not gate.is_documented("other")
