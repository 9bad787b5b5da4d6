"""`explain` on the command line prints an explanation, or says what there is."""

import shlex

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def call(made_day, capsys):
    """Return a function that runs `explain`; it returns the code, the output and the errors."""
    from pipeline.cli import main

    settings = made_day[0].settings
    home = f"--home {settings.home} --store-url {settings.store_url} --universe trained"

    def run(line):
        code = main(shlex.split(f"explain {line} {home}"))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_command_prints_the_explanation(call):
    code, output, _ = call("2013-03-01 AAA")
    title = "AAA close, universe trained, recipe default: forecast after 2013-03-01\n"
    assert code == 0 and output.startswith(title)


def test_the_command_says_what_there_is(call):
    code, _, errors = call("2013-02-27 AAA")
    assert code == 1
    assert "There are some made after 2013-03-01." in errors
