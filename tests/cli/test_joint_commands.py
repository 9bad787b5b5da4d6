"""`stockcast scenarios` and `stockcast risk`, on a made store."""

import csv
import io
import json

import pandas as pd
import pytest

from pipeline.storage import Store
from tests.made_publications import CUTOFFS, LAST, fill
from tests.made_stores import store_in

pytestmark = pytest.mark.integration


@pytest.fixture
def stored(call):
    store = Store.open(store_in(call.home))
    fill(store)
    store.close()
    return call


@pytest.fixture
def portfolio(tmp_path):
    path = tmp_path / "portfolio.csv"
    path.write_text("ticker,shares\nAAA,30\nBRK.B,10\nZZZ,5\n", encoding="utf-8")
    return path


def test_scenarios_are_one_file_per_session(stored):
    code, out, _ = stored(f"scenarios {LAST} --paths 50")
    path = stored.home / "artifacts" / "scenarios" / "made" / f"{LAST}-default-close.parquet"
    assert code == 0 and out.splitlines()[-1].endswith(
        f"50 joint paths of 3 tickers, 5 sessions ahead: {path}"
    )
    before = path.read_bytes()
    assert len(pd.read_parquet(path)) == 3 * 5 * 50
    assert stored(f"scenarios {LAST} --paths 50")[0] == 0 and path.read_bytes() == before


def test_a_session_that_is_not_published_is_refused(stored):
    code, _, err = stored("scenarios 2013-01-02 --universe made")
    assert code == 1
    assert "Nothing is published for session 2013-01-02, universe made." in err


def test_the_risk_of_a_portfolio_and_its_record_are_printed(stored, portfolio):
    code, out, _ = stored(f"risk --portfolio {portfolio} --level 90 --paths 100")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith(f"Portfolio of 2 stocks of made on {LAST}, worth ")
    assert lines[1] == "100 joint paths."  # the made store has few sessions
    assert "too little history to learn how prices move together" in lines[2]
    assert "Left out, as nothing is published of them: ZZZ." in lines
    table = lines.index("") + 1
    assert lines[table].split("  ")[0] == "ahead"
    assert "value at risk 90%" in lines[table] and "expected shortfall 90%" in lines[table]
    assert len([line for line in lines[table + 1 :] if line[:7].strip().isdigit()]) >= 5
    record = f"Record of the same parts, sessions {CUTOFFS[0]} to {CUTOFFS[-2]}, "
    assert record + "forecasts published in time" in lines


def test_rows_are_those_of_the_risk_or_of_the_record(stored, portfolio):
    code, out, _ = stored(f"risk --portfolio {portfolio} --paths 100 --format json")
    rows = json.loads(out)
    assert code == 0 and [row["horizon"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["value_at_risk_99"] > rows[0]["value_at_risk_95"] > 0
    line = f"risk --portfolio {portfolio} --paths 100 --record --sessions 5 --format csv"
    record = list(csv.DictReader(io.StringIO(stored(line)[1])))
    assert len(record) == 3 * 2 * 5
    assert {row["joined"] for row in record} == {
        "scenarios", "independent draws", "Gaussian copula",
    }  # fmt: skip
    assert record[0]["energy"] and record[0]["kupiec"]


def test_without_a_record_the_rest_is_printed(stored, portfolio):
    line = f"risk --portfolio {portfolio} --session {CUTOFFS[0]} --paths 50"
    code, out, _ = stored(line)
    assert code == 0 and "there is no record" in out
    code, _, err = stored(f"{line} --record --format csv")
    assert code == 1 and "No session is scored yet" in err


@pytest.mark.parametrize("level", ["none", "50", "100", "95,"])
def test_a_wrong_level_is_refused(stored, portfolio, level):
    code, _, err = stored(f"risk --portfolio {portfolio} --level {level}")
    assert code == 2 and f"--level is '{level}'; expected: percents above 50" in err
