"""Members: the tickers of a universe by date, and a file of them that is wrong in one line."""

import datetime as dt

import pytest

from pipeline.errors import SettingsError
from pipeline.members import Member
from pipeline.parts import overridden, universe_of
from pipeline.settings import Settings
from pipeline.universes import Universe, load_universes

#: AAA leaves and comes back, BBB stays, CCC joins late.
ROWS = """\
# As made up for this test
ticker,from,to

aaa,2010-01-04,2015-06-30
BBB,2010-01-04,
AAA,2016-01-04,
CCC,2015-01-02,2015-12-31
"""
ENTRY = '[made]\nsource = "sample"\nmembers = "members.csv"\n'
GOOD = '[good]\nsource = "sample"\ntickers = ["IBM"]\n'


def universes_with(folder, rows=ROWS, entry=ENTRY):
    file = folder / "universes.toml"
    file.write_text(GOOD + entry)
    (folder / "members.csv").write_text(rows)
    return file


@pytest.mark.parametrize(
    ("session", "tickers"),
    [
        ("2010-01-04", ("AAA", "BBB")),
        ("2015-01-01", ("AAA", "BBB")),
        ("2015-01-02", ("AAA", "BBB", "CCC")),
        ("2015-06-30", ("AAA", "BBB", "CCC")),
        ("2015-07-01", ("BBB", "CCC")),
        ("2016-01-01", ("BBB",)),
        ("2026-01-02", ("AAA", "BBB")),
    ],
)
def test_the_tickers_of_a_session_are_those_that_were_members_then(tmp_path, session, tickers):
    universe = load_universes(universes_with(tmp_path)).of("made")
    assert universe.tickers == ("AAA", "BBB", "CCC")
    then = universe.on(dt.date.fromisoformat(session))
    assert then == Universe(name="made", source="sample", tickers=tickers)
    assert "members" not in then.to_json()
    assert Universe.from_json(universe.to_json()) == universe


def test_before_its_first_member_a_universe_has_no_session(tmp_path):
    universe = load_universes(universes_with(tmp_path)).of("made")
    with pytest.raises(SettingsError) as error:
        universe.on(dt.date(2010, 1, 1))
    assert str(error.value) == (
        "Universe 'made' has no member on 2010-01-01; the first is of 2010-01-04. Use another "
        "session, or add rows to its file of members."
    )


def test_who_left_since_a_day(tmp_path):
    universe = load_universes(universes_with(tmp_path)).of("made")
    july, december = dt.date(2015, 7, 1), dt.date(2015, 12, 31)
    assert universe.left(dt.date(2015, 6, 30), july) == ("AAA",)
    assert universe.left(july, december) == ()
    assert universe.left(july, dt.date(2016, 1, 4)) == ("CCC",)  # AAA is back


def test_tickers_that_are_asked_for_are_taken_whether_members_or_not(tmp_path):
    settings = Settings(universes=str(universes_with(tmp_path)), universe="made", tickers="ZZZ")
    universe = universe_of(settings)
    assert (universe.tickers, universe.members) == (("ZZZ",), ())
    assert overridden(universe_of(settings.replaced(tickers="")), horizon=2).members[0] == Member(
        "AAA", dt.date(2010, 1, 4), dt.date(2015, 6, 30)
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "members.csv: universe 'made' has no row of members; at least one is expected."),
        (
            "ticker,start,to\nAAA,2010-01-04,\n",
            "members.csv: universe 'made': its file of members has the columns ticker, start, to; "
            "ticker, from, to are expected, in this order.",
        ),
        (
            "ticker,from,to\nAAA,2010-01-04\n",
            "members.csv, line 2: universe 'made' has 2 cells; 3 are expected (ticker, from, to; "
            "an empty `to` is a member still).",
        ),
        (
            "ticker,from,to\n../x,2010-01-04,\n",
            "members.csv, line 2: universe 'made': '../x' is no ticker; one such as BRK-B is "
            "expected.",
        ),
        (
            "ticker,from,to\nAAA,04/01/2010,\n",
            "members.csv, line 2: universe 'made': 'from' is '04/01/2010'; year-month-day is "
            "expected, such as 2015-01-02.",
        ),
        (
            "ticker,from,to\nAAA,2010-01-04,20150630\n",
            "members.csv, line 2: universe 'made': 'to' is '20150630'; year-month-day is expected, "
            "such as 2015-01-02.",
        ),
        (
            "ticker,from,to\nAAA,2010-01-04,2009-12-31\n",
            "members.csv, line 2: universe 'made': AAA is in from 2010-01-04 to 2009-12-31. Swap "
            "the two.",
        ),
        (
            "ticker,from,to\nAAA,2012-01-03,\n# once more\nAAA,2010-01-04,2012-01-03\n",
            "members.csv, line 2: universe 'made' has AAA from 2012-01-03 on, and in another row "
            "from 2010-01-04 to 2012-01-03. Let them not overlap.",
        ),
    ],
)
def test_a_wrong_file_of_members_is_one_line_and_stops_no_other_universe(tmp_path, rows, message):
    universes = load_universes(universes_with(tmp_path, rows))
    assert list(universes) == ["good"]
    with pytest.raises(SettingsError) as error:
        universes.of("made")
    assert str(error.value) == f"{tmp_path}/{message}"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            ENTRY + 'tickers = ["AAA"]\n',
            "universe 'made' has both tickers and members; one of them is expected.",
        ),
        (
            ENTRY.replace('"members.csv"', "7"),
            "universe 'made': members is 7; a path such as \"members.csv\" is expected.",
        ),
        (
            ENTRY.replace("members.csv", "nothing.csv"),
            "universe 'made': its file of members cannot be read (No such file or directory). Name "
            "one that can (`members` in the universes file).",
        ),
    ],
)
def test_a_wrong_entry_with_members_is_one_line(tmp_path, entry, message):
    with pytest.raises(SettingsError) as error:
        load_universes(universes_with(tmp_path, entry=entry)).of("made")
    assert str(error.value).endswith(message)
