"""Broken inputs for the fuzzers: texts with a few changes, each of a kind that people's files have.

`FUZZ_EXAMPLES` says how many each fuzzer tries (`make fuzz`); which ones is the same in every run.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pipeline.errors import StockcastError

#: A whole file or answer that is nothing of what is expected.
FOREIGN_TEXTS = ("", "\n\n", "\x00\x00", "<html>404</html>", "PK\x03\x04", "null", "[]", "{}", "🙂")
#: A cell, a value or a word in a wrong place.
CELLS = (
    *("", " ", "-", "n/a", "NaN", "inf", "-inf", "1e309", "1e-400", "-1", "0", "0x10", "١٢", "½"),
    *("1,234.5", "1.234,5", "1 234.5", "$12", "12%", "12e", "1_000", '"', '"12', "'12'", "\x00"),
    *(
        "2013-02-30",
        "1000-01-01",
        "99999-01-01",
        "2013-13-01",
        "20130102",
        "01/02/13",
        "0000-00-00",
    ),
    *(
        "2013-03-01T25:00",
        "1362096000",
        "1362096000000",
        "2262-04-12",
        "1677-09-20",
        "Date",
        "Close",
    ),
    *("../../etc/passwd", "%s", "{0}", "'; DROP TABLE prices; --", "\u202e", "\ufeff", "é", "日本"),
    *("A" * 5000, "[1, 2]", "true", "null", "{", "}", "\\", "\r", "\t", ";", ",,", "#"),
)
SEPARATORS = (",", ";", "\t", "|", " ", "\r\n", "\r", "\n")

#: The examples are the same every time, and nothing is kept on disk.
EVERY_EXAMPLE = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def broken_text(draw: st.DrawFn, good: str) -> str:
    """Draw a text with one to four changes of lines, cells, separators or single characters."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.sampled_from(FOREIGN_TEXTS))
    text = good
    for _ in range(draw(st.integers(1, 4))):
        text = draw(st.sampled_from((_line, _cell, _separator, _character, _cut)))(draw, text)
    return text


def _line(draw: st.DrawFn, text: str) -> str:
    """Delete, repeat or move a line, or put another one there."""
    lines = text.splitlines()
    if not lines:
        return text
    place, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    change = draw(st.sampled_from(("delete", "repeat", "swap", "insert")))
    if change == "delete":
        del lines[place]
    elif change == "repeat":
        lines.insert(other, lines[place])
    elif change == "swap":
        lines[place], lines[other] = lines[other], lines[place]
    else:
        lines.insert(place, draw(st.sampled_from((*CELLS, *FOREIGN_TEXTS))))
    return "\n".join(lines)


def _cell(draw: st.DrawFn, text: str) -> str:
    """Put something else between two separators."""
    ends = [place for place, character in enumerate(text) if character in ',;:"= \n[]{}']
    if len(ends) < 2:
        return text
    first = draw(st.integers(0, len(ends) - 2))
    return text[: ends[first] + 1] + draw(st.sampled_from(CELLS)) + text[ends[first + 1] :]


def _separator(draw: st.DrawFn, text: str) -> str:
    """Separate cells or lines by something else, everywhere."""
    old, new = (draw(st.sampled_from(SEPARATORS)) for _ in range(2))
    return text.replace(old, new)


def _character(draw: st.DrawFn, text: str) -> str:
    """Put any character at any place."""
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.characters()) + text[place:]


def _cut(draw: st.DrawFn, text: str) -> str:
    """End the text somewhere, as a download that was interrupted does."""
    return text[: draw(st.integers(0, len(text)))]


def require_one_line(error: StockcastError) -> None:
    """Require that an error is a sentence that a terminal shows as one line."""
    message = str(error)
    assert message and message.isprintable(), repr(message)
    assert len(message) < 2000, message
