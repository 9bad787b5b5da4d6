"""Progress: lines without a terminal, counts where there are many tickers, a bar in a terminal."""

import io

import pytest

from pipeline.reporting import progress
from pipeline.reporting.progress import MOST_UNCOUNTED, Bars, Lines, for_people


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_few_tickers_have_lines_without_counts(capsys):
    Lines(MOST_UNCOUNTED)("ingest", "IBM", "7 bars")
    assert capsys.readouterr().out == "ingest         IBM      7 bars\n"


def test_many_tickers_are_counted_once_each_in_every_step():
    written = []
    lines = Lines(505, written.append)
    for step, ticker in (
        ("ingest", "A"),
        ("ingest", "B"),
        ("ingest", "B"),
        ("ingest", ""),
        ("check", "A"),
    ):
        lines(step, ticker, "done")
    assert [" ".join(line.split()) for line in written] == [
        "ingest A 1/505 done",
        "ingest B 2/505 done",
        "ingest B 2/505 done",
        "ingest done",
        "check A 1/505 done",
    ]


@pytest.mark.parametrize("followed", [False, True])
def test_a_terminal_has_the_lines_and_below_them_a_bar_of_the_step(followed):
    terminal = Terminal()
    bars = for_people(40, terminal, "session 3 of 9")
    for number in range(10):
        if followed:
            bars.follow(progress.line("ingest", f"T{number}", "7 bars"))
        else:
            bars("ingest", f"T{number}", "7 bars")
    bars("promote", "", "40 tickers")
    bars.close()
    shown = terminal.getvalue()
    assert isinstance(bars, Bars)
    assert "ingest         T9       " in shown
    assert "ingest       :  25%" in shown and "10/40" in shown
    assert "session 3 of 9]" in shown
    assert "promote                 40 tickers" in shown


def test_without_a_terminal_there_is_no_bar():
    stream = io.StringIO()
    for_people(40, stream)("ingest", "IBM", "7 bars")
    assert stream.getvalue() == "ingest         IBM      1/40 7 bars\n"
