"""Templates of universes: who is in them when, and that they can be used as they are written."""

import datetime as dt

import pytest

from pipeline.errors import SettingsError
from pipeline.sessions import Calendar
from pipeline.universe_templates import TEMPLATES, template_of
from pipeline.universes import load_universes


def written(name, folder):
    """The universe of a template, as somebody has it who has pasted what was printed."""
    template = template_of(name)
    template.write(folder)
    (folder / "universes.toml").write_text(template.entry())
    return load_universes(folder / "universes.toml").of(name)


@pytest.mark.parametrize(
    ("name", "first", "last", "fewest", "most"),
    [
        ("dow30", "2015-01-02", "2024-12-31", 30, 30),
        ("nifty50", "2024-09-30", "2025-09-30", 50, 50),
        ("sp500", "2010-01-04", "2024-12-23", 495, 507),
    ],
)
def test_an_index_has_its_number_of_members_on_every_session(
    tmp_path, name, first, last, fewest, most
):
    universe = written(name, tmp_path)
    sessions = Calendar(universe.calendar).sessions(*map(dt.date.fromisoformat, (first, last)))
    counts = [len(universe.on(session).tickers) for session in sessions[::5] + sessions[-1:]]
    assert (min(counts) >= fewest, max(counts) <= most) == (True, True), (min(counts), max(counts))
    before = sessions[0] - dt.timedelta(days=1)
    with pytest.raises(SettingsError, match=f"has no member on {before}; the first is of {first}"):
        universe.on(before)


@pytest.mark.parametrize(
    ("name", "session", "members", "strangers"),
    [
        ("dow30", "2015-03-18", ["T", "UTX"], ["AAPL"]),
        ("dow30", "2015-03-19", ["AAPL"], ["T"]),
        ("dow30", "2020-08-31", ["AMGN", "CRM", "HON"], ["PFE", "RTX", "XOM"]),
        ("dow30", "2024-11-08", ["NVDA", "SHW"], ["INTC", "DOW"]),
        ("nifty50", "2025-03-27", ["BPCL.NS", "M&M.NS"], ["JIOFIN.NS"]),
        ("nifty50", "2025-09-30", ["INDIGO.NS"], ["HEROMOTOCO.NS"]),
        ("sp500", "2015-01-02", ["BRK-B", "FB", "TWX"], ["META", "TSLA"]),
        ("sp500", "2024-12-23", ["META", "TSLA", "WDAY"], ["FB", "QRVO"]),
    ],
)
def test_the_names_of_a_day_are_those_of_then(tmp_path, name, session, members, strangers):
    tickers = written(name, tmp_path).on(dt.date.fromisoformat(session)).tickers
    assert set(members) <= set(tickers) and not set(strangers) & set(tickers)


@pytest.mark.parametrize("name", TEMPLATES)
def test_dates_and_source_are_said_where_it_is_pasted(name):
    remarks = [line for line in template_of(name).entry().splitlines() if line.startswith("#")]
    text = " ".join(line.removeprefix("# ") for line in remarks)
    assert "Source: " in text and "later changes" in text


def test_a_file_of_the_same_name_with_other_rows_stays(tmp_path):
    template_of("dow30").write(tmp_path)
    template_of("dow30").write(tmp_path)  # the same again
    (tmp_path / "dow30.csv").write_text("mine")
    with pytest.raises(SettingsError) as error:
        template_of("dow30").write(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/dow30.csv is there already, with other rows. Remove it, or go to another "
        "folder."
    )
    assert (tmp_path / "dow30.csv").read_text() == "mine"


def test_there_is_no_other_template():
    with pytest.raises(SettingsError, match=r"no template 'dax'\. The templates are: dow30, nif"):
        template_of("dax")
