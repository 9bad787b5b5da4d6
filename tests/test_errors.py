"""Messages of errors are one printable line, whatever they quote."""

from pipeline.errors import MOST_CHARACTERS, MalformedPrices


def test_what_a_terminal_would_obey_is_escaped_and_lines_are_joined():
    error = MalformedPrices("IBM.csv: close is \x1b[31m12\u202e, one\n number\tis expected. é 日本")
    assert str(error) == "IBM.csv: close is \\x1b[31m12\\u202e, one number is expected. é 日本"


def test_a_cell_without_end_is_cut_short():
    error = MalformedPrices("IBM.csv: " + "9" * 10**6 + ". Mend it.")
    assert str(error).startswith("IBM.csv: 999") and str(error).endswith("999. Mend it.")
    assert len(str(error)) < MOST_CHARACTERS + 30
