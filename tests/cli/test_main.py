"""The command line as a stranger meets it: help, exit codes, one-line errors, rows in order."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.cli.commands import COMMANDS
from pipeline.settings import Settings, flag
from pipeline.storage import Store
from tests.made_stores import store_in

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "run --tickers NOPE",
            "NOPE is not among the tickers of the sample source: AAPL, FB, GOOG, IBM, MSFT",
        ),
        ("run --tickers ,", "tickers is ',', which names none"),
        ("run --tickers ../x", "'../x' is no ticker"),
        ('run --tickers "\'; drop table"', 'drop table" is no ticker'),
        (
            "run --universe nope",
            "There is no universe 'nope'. The universes are: sample, us_megacaps, crypto",
        ),
        ("run --recipe defualt", "There is no recipe 'defualt'. The recipes are: default"),
        ("run --target vwap", "target is 'vwap'; one of close"),
        ("run --horizon 0", "horizon is 0; expected: at least 1 (--horizon or STOCKCAST_HORIZON)"),
        ("run --horizon five", "horizon is five; expected: a whole number"),
        ("run --session 2013-02-18", "2013-02-18 is no session of XNYS"),
        (
            "run --session 2013-03-04",
            "after 2013-03-01, the last session that the sample source has",
        ),
        ("run --session 2100-01-04", "outside 1990-01-01 to next year"),
        (
            "run --session yesterday",
            "'--session': 'yesterday' is no date; expected: year-month-day",
        ),
        ("run --source csv", "needs a folder of price files"),
        ("run --source csv --data /nowhere/at/all", "/nowhere/at/all"),
        ("run --source yahoo", "has no tickers"),
        (
            "backfill --from 2013-03-01 --to 2013-02-01",
            "There is no session of XNYS from 2013-03-01 to 2013-02-01",
        ),
        (
            "backfill --from 1950-01-01 --to 1951-01-01",
            "There is no session of XNYS from 1950-01-01 to 1951-01-01",
        ),
        (
            "run --session 1995-01-03",
            "1995-01-03 is before 2000-03-01, where universe sample begins",
        ),
        (
            "backtest --recipes naive --from 2150-02-01 --to 2150-03-01",
            "There is no session of XNYS from 2150-02-01 to 2150-03-01",
        ),
        (
            "forcasts",
            "No such command 'forcasts'. Did you mean 'forecasts'? `stockcast --help` lists",
        ),
        ("run --sesion 2013-03-01", "No such option: --sesion"),
        ("run --format xml", "'xml' is not one of"),
        ("run --airflow --format json", "--format cannot be combined with --airflow"),
        ("backfill --to 2013-03-01", "Missing option '--from'. `stockcast backfill --help`"),
        ("ablate --layers 1,x", "--layers is '1,x'; expected: whole numbers above 0"),
        ("audit default --epochs 0", "--epochs is 0; expected: at least 1."),
        ("run --store-url mysql://x/y", "mysql"),
        pytest.param(  # imports MLflow
            "run --tracking-uri foo://bar",
            "MLflow cannot be reached as foo://",
            marks=pytest.mark.slow,
        ),
        ("run --artifacts zzz://b/x", "zzz://b/x"),
        ("run --store-url '' --home /etc/passwd", "The home /etc/passwd cannot be written to"),
        ("run --data /nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2_and_stores_nothing(call, line, message):
    code, out, err = call(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and message in err
    if "mysql" not in line:
        assert not any((call.home / "artifacts").rglob("*"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("forecasts --session 2013-03-01", "No forecasts are stored for cutoff 2013-03-01"),
        ("scores", "No forecast for any session has been scored"),
        ("publish", "no ticker has been checked"),
        pytest.param(  # imports MLflow
            "run --tracking-uri http://127.0.0.1:1", "127.0.0.1:1", marks=pytest.mark.slow
        ),
        ("run --store-url postgresql+psycopg2://nobody:secret@127.0.0.1:1/none", "127.0.0.1"),
    ],
)
def test_a_run_that_cannot_go_on_is_one_line_and_exit_code_1(call, line, message):
    code, _, err = call(line)
    assert (code, err.count("\n")) == (1, 1)
    assert message in err and "secret" not in err


def test_debug_shows_where_an_error_comes_from(call):
    with pytest.raises(Exception, match="horizon is 0"):
        call("run --horizon 0 --debug")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("Date,Open,High,Low\n2013-03-01,1,2,3\n", "close"),
        ("Date,Open,High,Low,Close,Volume\n2013-03-01,1,2,0.5,abc,9\n", "abc"),
    ],
)
def test_a_broken_file_names_itself_and_changes_nothing(call, folder, content, word):
    (folder / "IBM.csv").write_text(content)
    code, _, err = call(f"run --source csv --data {folder} --tickers IBM --session 2013-03-01")
    assert code in (1, 2) and err.count("\n") == 1
    assert "IBM" in err and word in err.lower()


def test_universes_and_recipes_are_listed_in_every_format(call):
    assert "us_megacaps" in call("universe")[1]
    assert [row["name"] for row in json.loads(call("universe --format json")[1])] == [
        "sample",
        "us_megacaps",
        "crypto",
    ]
    assert json.loads(call("recipes --format json")[1])[0]["name"] == "default"
    assert call("recipes --format csv")[1].startswith("name,")


def test_a_store_made_by_a_newer_version_is_left_alone(call):
    Store.open(store_in(call.home)).close()
    with sqlite3.connect(call.home / "store.db") as database:
        database.execute("UPDATE stockcast_version SET version_num = '9999'")
    code, _, err = call("forecasts")
    assert code == 2 and "newer" in err


def test_nothing_is_written_outside_home(call, tmp_path):
    call("universe")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert not (Path.cwd() / "var" / "artifacts" / "doctor").exists()


def test_without_a_command_the_commands_are_listed(call):
    code, out, err = call("")
    assert (code, err) == (0, "")
    assert out == call("--help")[1]
    hidden = {name for name, command in COMMANDS.items() if command.hidden}
    listed = {line[1:].split()[0] for line in out.splitlines() if line[1:3].strip(" ─")}
    assert hidden == {"supervise"}
    assert set(COMMANDS) - hidden <= listed and "supervise" not in listed


def test_the_list_of_commands_imports_neither_settings_nor_anything_heavy():
    code = "import sys; from pipeline.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    heavy = {"numpy", "pandas", "sqlalchemy", "pydantic", "mlflow", "airflow", "tensorflow"}
    assert not loaded & heavy
    assert "pipeline.cli.commands" in loaded


READING_FEW = [name for name, command in COMMANDS.items() if command.reads]


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("airflow", *READING_FEW)])
def test_every_command_shows_its_own_flags_first_and_then_the_settings_by_group(call, name):
    code, out, err = call(f"{name} --help")
    assert (code, err) == (0, "")
    assert out.index("Options ") < out.index("What to run ") < out.index("Where things are ")
    assert all(flag(setting) in out for setting in Settings.model_fields)
    assert "--debug" in out.split("What to run ")[0]


@pytest.mark.parametrize("name", READING_FEW)
def test_a_command_that_reads_few_settings_shows_those_alone(call, name):
    """The others are taken all the same, as scripts may name a home with every command."""
    out = call(f"{name} --help")[1]
    shown = {setting for setting in Settings.model_fields if f"{flag(setting)} " in out}
    assert shown == set(COMMANDS[name].reads)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("recipes", "recipes"),
        ("universe", "universe"),
        # Great Expectations judges the files.
        pytest.param("inspect", "inspect .", marks=pytest.mark.slow),
    ],
)
def test_a_command_reads_no_settings_but_those_that_it_shows(
    call, monkeypatch, tmp_path, name, line
):
    read, usual = set(), Settings.__getattribute__
    (tmp_path / "IBM.csv").write_text("Date,Close\n2013-03-01,1\n")
    monkeypatch.chdir(tmp_path)

    def noting(settings, attribute):
        read.update({attribute} & set(Settings.model_fields))
        return usual(settings, attribute)

    monkeypatch.setattr(Settings, "__getattribute__", noting)
    assert call(f"{line} --home {tmp_path}")[0] in (0, 1)
    assert read == set(COMMANDS[name].reads)


def test_an_underscore_in_a_commands_name_counts_as_a_dash(call):
    assert call("build_windows --help")[0] == 0


def test_a_flag_wins_over_a_variable(call, monkeypatch):
    monkeypatch.setenv("STOCKCAST_UNIVERSE", "nowhere")
    assert "daily_forecast_crypto" in call("universe --universe crypto")[1]
    assert "There is no universe 'nowhere'" in call("universe")[2]


def test_a_reader_who_leaves_early_gets_no_traceback():
    command = f"{sys.executable} -m pipeline recipes | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_termination_is_raised_where_the_command_is_and_ends_it(call, monkeypatch):
    closed = []

    def wait_in_vain(name):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(60)
        finally:
            closed.append("here")

    monkeypatch.setattr("pipeline.universes.load_universes", wait_in_vain)
    with pytest.raises(SystemExit) as ended:
        call("universe")
    assert ended.value.code == 143
    assert closed == ["here"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_interrupt_is_one_line_and_exit_code_130(call, monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.universes.load_universes", interrupt)
    code, out, err = call("universe")
    assert (code, out, err.count("\n")) == (130, "", 1)
    assert "the same command goes on" in err
