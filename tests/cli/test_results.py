"""Commands that print what is stored, on a made store."""

import csv
import io

import pytest

from pipeline.storage import Store
from pipeline.tables import FORECASTS, PUBLICATIONS, SCORES
from tests.made_publications import CUTOFFS, LAST, fill
from tests.made_stores import store_in


@pytest.fixture
def rows_of(call):
    """Print rows from a store that also has a rehearsal and a withdrawn forecast."""
    store = Store.open(store_in(call.home))
    fill(store)
    for table in (FORECASTS, PUBLICATIONS, SCORES):
        rehearsed = store.load(table, ticker="AAA").assign(universe="made.rehearsal")
        store.save(table, rehearsed)
    store.publications.withdraw(
        {"BRK.B": "it jumps"}, [], "test", universe="made", recipe="default", target="close",
        cutoff=LAST,
    )  # fmt: skip
    store.close()

    def rows_of(line: str) -> list[dict[str, str]]:
        code, out, _ = call(f"{line} --format csv")
        assert code == 0
        return list(csv.DictReader(io.StringIO(out)))

    return rows_of


def test_rehearsals_are_printed_only_when_they_are_asked_for(rows_of):
    for command in ("forecasts", "scores", "scores --each", "forecasts --revisions"):
        assert {row["universe"] for row in rows_of(command)} == {"made"}
        asked = rows_of(f"{command} --universe made.rehearsal")
        assert {row["ticker"] for row in asked} == {"AAA"}


def test_intervals_are_printed_with_their_tests_instead_of_the_errors(rows_of, call):
    rows = rows_of("scores --intervals --tickers AAA")
    counts = {row["horizon"]: row["forecasts"] for row in rows_of("scores --tickers AAA")}
    assert {row["horizon"]: row["forecasts"] for row in rows} == counts
    assert all(float(row["width_80"]) > 0 and float(row["crps"]) > 0 for row in rows)
    assert {row["kupiec"] for row in rows} == {""}  # 20 sessions are the fewest
    code, _, message = call("scores --each --intervals")
    assert code != 0 and "--each and --intervals exclude one another" in message


def test_what_was_withdrawn_is_printed_among_the_revisions_only(rows_of):
    assert "BRK.B" not in {row["ticker"] for row in rows_of("forecasts")}
    revisions = rows_of("forecasts --revisions --tickers BRK.B")
    assert [row["withdrawn"] for row in revisions] == ["", "it jumps"] * 5
    assert revisions[1]["published_by"] == "test"


def test_forecasts_in_time_and_backfilled_ones_are_summed_up_apart(rows_of, call):
    store = Store.open(store_in(call.home))
    made_later = store.load(SCORES, universe="made", ticker="AAA", horizon=2).assign(
        backfilled=True
    )
    store.save(SCORES, made_later.head(3))
    store.close()
    rows = rows_of("scores --tickers AAA")
    counts = {(row["horizon"], row["backfilled"]): int(row["forecasts"]) for row in rows}
    assert counts["2", "True"] == 3 and counts["2", "False"] == len(made_later) - 3
    assert ("1", "True") not in counts


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A folder to export to, named by the setting."""
    monkeypatch.setenv("STOCKCAST_EXPORT_TO", str(tmp_path / "out"))
    return tmp_path / "out"


def exported(out):
    return sorted(path.parent.name for path in out.glob("published_forecasts/*/*.parquet"))


def test_an_export_writes_all_sessions_or_those_that_are_asked_for(rows_of, call, out):
    code, text, _ = call(f"export --session {LAST} --universe made")
    assert (code, text) == (0, f"made, default, close: 1 session\nExport    {out}\n")
    assert exported(out) == [f"session={LAST}"]
    assert call(f"export --from {CUTOFFS[2]} --to {CUTOFFS[4]}")[0] == 0
    assert len(exported(out)) == 4
    assert call("export")[1].startswith(f"made, default, close: {len(CUTOFFS)} sessions\n")
    assert exported(out) == [f"session={session}" for session in CUTOFFS]


def test_an_export_names_what_is_missing(rows_of, call, out, monkeypatch):
    for line, message in (
        ("export --session 2001-01-02", "Nothing is published for cutoff 2001-01-02 in"),
        ("export --universe made.rehearsal", "Nothing is published for universe made.rehearsal in"),
        (f"export --session {LAST} --to {LAST}", "--session excludes --from and --to"),
    ):
        code, _, error = call(line)
        assert code != 0 and message in error
    monkeypatch.delenv("STOCKCAST_EXPORT_TO")
    assert "export_to is empty; expected: a folder or a URL" in call("export")[2]
    assert not out.exists()
