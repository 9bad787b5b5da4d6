"""The command line as a stranger meets it: exit codes, one-line errors, rows in a stable order."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.store import Store
from tests.made_prices import random_walk


@pytest.fixture
def folder(tmp_path):
    """Files of made prices, as a user may have them."""
    made = tmp_path / "prices"
    made.mkdir()
    for seed, ticker in enumerate(("IBM", "KO")):
        random_walk(seed, 120).to_csv(made / f"{ticker}.csv", index=False)
    return made


@pytest.fixture
def call(tmp_path, capsys, monkeypatch, mlflow_database):
    """Runs a command line in a home of its own; returns (exit code, stdout, stderr)."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(mlflow_database, home / "mlflow.db")
    monkeypatch.setenv("STOCKCAST_HOME", str(home))
    monkeypatch.setenv("STOCKCAST_STORE_URL", f"sqlite:///{home}/store.db")
    monkeypatch.setenv("STOCKCAST_TRACKING_URI", f"sqlite:///{home}/mlflow.db")

    def run(line):
        code = cli.main(shlex.split(line))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    run.home = home
    return run


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run --tickers NOPE", "NOPE is not among the tickers of the sample source: AAPL, FB, GOOG, IBM, MSFT"),
        ("run --tickers ,", "tickers is ',', which names none"),
        ("run --tickers ../x", "'../x' is no ticker"),
        ('run --tickers "\'; drop table"', 'drop table" is no ticker'),
        ("run --universe nope", "There is no universe 'nope'. The universes are: sample, us_megacaps, crypto"),
        ("run --recipe defualt", "There is no recipe 'defualt'. The recipes are: default"),
        ("run --target vwap", "target is 'vwap'; one of close"),
        ("run --horizon 0", "horizon is 0; at least 1"),
        ("run --horizon five", "argument --horizon: invalid int value: 'five'"),
        ("run --session 2013-02-18", "2013-02-18 is no session of XNYS"),
        ("run --session 2013-03-04", "after 2013-03-01, the last session that the sample source has"),
        ("run --session 2100-01-04", "outside 1990-01-01 to next year"),
        ("run --session yesterday", "'yesterday' is no date; one such as 2013-03-01"),
        ("run --source csv", "needs a folder of price files"),
        ("run --source csv --data /nowhere/at/all", "/nowhere/at/all"),
        ("run --source yahoo", "has no tickers"),
        ("backfill --from 2013-03-01 --to 2013-02-01", "There is no session of XNYS from 2013-03-01 to 2013-02-01"),
        ("backfill --from 1950-01-01 --to 1951-01-01", "There is no session of XNYS from 1950-01-01 to 1951-01-01"),
        ("run --session 1995-01-03", "1995-01-03 is before 2000-03-01, where universe sample begins"),
        ("backtest --recipes naive --from 2150-02-01 --to 2150-03-01", "There is no session of XNYS from 2150-02-01 to 2150-03-01"),
        ("runn", "invalid choice: 'runn'"),
        ("run --store-url mysql://x/y", "mysql"),
        ("run --tracking-uri foo://bar", "MLflow cannot be reached as foo://"),
        ("run --artifacts zzz://b/x", "zzz://b/x"),
        ("run --store-url '' --home /etc/passwd", "The home /etc/passwd cannot be written to"),
        ("run --data /nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2_and_stores_nothing(call, line, told):
    code, out, err = call(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and told in err
    if "mysql" not in line:
        assert not any((call.home / "artifacts").rglob("*"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("forecasts --session 2013-03-01", "No forecasts are stored for cutoff 2013-03-01"),
        ("scores", "No forecast for any session has been scored"),
        ("publish", "no ticker has been checked"),
        ("run --tracking-uri http://127.0.0.1:1", "127.0.0.1:1"),
        ("run --store-url postgresql+psycopg2://nobody:secret@127.0.0.1:1/none", "127.0.0.1"),
    ],
)
def test_a_run_that_cannot_go_on_is_one_line_and_exit_code_1(call, line, told):
    code, _, err = call(line)
    assert (code, err.count("\n")) == (1, 1)
    assert told in err and "secret" not in err


def test_debug_shows_where_an_error_comes_from(call):
    with pytest.raises(Exception, match="horizon is 0"):
        call("run --horizon 0 --debug")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("Date,Open,High,Low\n2013-03-01,1,2,3\n", "close"),
        ("Date,Open,High,Low,Close,Volume\n2013-03-01,1,2,0.5,abc,9\n", "abc"),
    ],
)
def test_a_broken_file_names_itself_and_changes_nothing(call, folder, content, told):
    (folder / "IBM.csv").write_text(content)
    code, _, err = call(f"run --source csv --data {folder} --tickers IBM --session 2013-03-01")
    assert code in (1, 2) and err.count("\n") == 1
    assert "IBM" in err and told.lower() in err.lower()


def test_universes_and_recipes_are_listed_in_every_format(call):
    assert "us_megacaps" in call("universe")[1]
    assert [row["name"] for row in json.loads(call("universe --format json")[1])] == ["sample", "us_megacaps", "crypto"]
    assert json.loads(call("recipes --format json")[1])[0]["name"] == "default"
    assert call("recipes --format csv")[1].startswith("name,")


def test_a_store_made_by_a_newer_version_is_left_alone(call):
    import sqlite3

    Store.open(f"sqlite:///{call.home}/store.db").close()
    with sqlite3.connect(call.home / "store.db") as database:
        database.execute("UPDATE stockcast_version SET version_num = '9999'")
    code, _, err = call("forecasts")
    assert code == 2 and "newer" in err


@pytest.mark.slow
def test_a_folder_of_files_is_forecast_from_the_command_line(call, folder):
    where = f"--source csv --data {folder}"
    code, out, _ = call(f"run {where} --tickers KO,IBM --session 2013-02-27 --target high --horizon 2")
    assert code == 0 and "KO" in out and "2013-02-28" in out
    code, csv, _ = call("forecasts --session 2013-02-27 --format csv")
    lines = csv.splitlines()
    header = lines[0].split(",")
    keys = [(row.split(",")[header.index("ticker")], row.split(",")[header.index("horizon")]) for row in lines[1:]]
    assert keys == [("IBM", "1"), ("IBM", "2"), ("KO", "1"), ("KO", "2")]
    again = call("forecasts --session 2013-02-27 --format csv --tickers IBM")[1].splitlines()
    assert again == lines[:3]
    assert call(f"run {where} --session 2013-02-28 --target high --horizon 2")[0] == 0
    scores = json.loads(call("scores --format json")[1])
    assert [(row["ticker"], row["horizon"], row["forecasts"]) for row in scores] == [("IBM", 1, 1), ("KO", 1, 1)]


@pytest.mark.slow
def test_doctor_says_what_is_wrong_and_what_to_do(call, monkeypatch):
    code, out, _ = call("doctor")
    assert code == 0 and "FAILED" not in out
    code, out, _ = call("doctor --universe nope")
    assert code == 1 and "There is no universe 'nope'" in out
    monkeypatch.setenv("STOCKCAST_WORKERS", "none")
    code, out, _ = call("doctor")
    assert code == 1 and "STOCKCAST_WORKERS" in out


def test_every_command_has_a_help_text(capsys):
    for command in (
        "run",
        "backfill",
        "ingest",
        "check",
        "build-windows",
        "train",
        "evaluate",
        "promote",
        "publish",
        "score",
        "report",
    ):
        with pytest.raises(SystemExit, match="0"):
            cli.main([command, "--help"])
        assert "--debug" in capsys.readouterr().out


def test_nothing_is_written_outside_home(call, tmp_path):
    call("universe")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert not (Path.cwd() / "var" / "artifacts" / "doctor").exists()
