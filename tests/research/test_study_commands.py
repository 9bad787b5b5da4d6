"""`reproduce` and `ablate` on the command line: what cannot be done is one line."""

import re
import shlex

import pytest

from pipeline.models import RECIPES
from pipeline.research.reproduction_plan import study_names
from tests.made_studies import write_prices


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_prices(tmp_path_factory.mktemp("prices"))


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    from pipeline.cli import main

    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path / "home"))

    def run(line):
        code = main(shlex.split(line))
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("fastnow --data {folder}", 2, "There is no study 'fastnow'. The studies are: weng, sezer"),
        ("fastnu", 2, "fastnu needs a folder of price files (flag --data"),
        ("fastnu --data /nowhere/at/all", 2, "/nowhere/at/all is no folder"),
        (
            "fastnu --data {folder} --tickers OLD",
            1,
            "OLD: no session from 2017-01-01 to 2017-12-31",
        ),
        ("fastnu --data {folder} --tickers NOPE", 2, "NOPE is not among the tickers"),
        ("fastnu --data {folder} --target volume", 2, "volume"),
        ("fastnu --data {folder} --seeds 0", 2, "--seeds is 0; expected: at least 1."),
    ],
)
def test_what_cannot_be_reproduced_is_one_line(call, folder, line, code, message):
    exit_code, err = call(f"reproduce {line}".format(folder=folder))
    assert (exit_code, err.count("\n")) == (code, 1)
    assert message in err


def test_the_help_names_every_study(capsys):
    from pipeline.cli import main

    main(["reproduce", "--help"])
    studies = re.search(r"STUDY +<str> +((?:\w+, )+\w+ or \w+)", capsys.readouterr().out)
    assert sorted(re.split(", | or ", studies[1])) == sorted(study_names(RECIPES))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ablate --layers 1,two", "--layers is '1,two'; expected: whole numbers above 0"),
        ("ablate --layers 0", "--layers is '0'; expected: whole numbers above 0"),
        ("ablate --units 25,,50", "--units is '25,,50'; expected: whole numbers above 0"),
        ("ablate --units -5", "--units is '-5'; expected: whole numbers above 0"),
        ("ablate --epochs 1.5", "--epochs is 1.5; expected: a whole number."),
        ("ablate --tickers NOPE", "NOPE is not among the tickers of the sample source"),
        ("ablate --target low", "fastnu-default does not forecast low"),
    ],
)
def test_what_cannot_be_ablated_is_one_line(call, line, message):
    exit_code, err = call(line)
    assert (exit_code, err.count("\n")) in {(2, 1), (1, 1)}
    assert message in err
