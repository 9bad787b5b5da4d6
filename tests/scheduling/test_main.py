"""The command's exit codes and one-line errors."""

import subprocess
import sys

import pytest

from pipeline.scheduling.__main__ import main


def test_a_setting_that_does_not_fit_is_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setenv("STOCKCAST_AIRFLOW_PORT", "0")
    assert main(["status"]) == 2
    assert (
        capsys.readouterr().err
        == "error: airflow_port is 0; a port from 1 to 65535 is expected (flag --airflow-port or STOCKCAST_AIRFLOW_PORT).\n"
    )


def test_a_date_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["backfill", "--from", "1st March", "--to", "2013-03-01"])
    assert ended.value.code == 2
    assert "'1st March' is no date" in capsys.readouterr().err


def test_nothing_is_up_in_an_empty_home(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path))
    assert main(["status"]) == 1
    assert main(["down"]) == 0
    assert capsys.readouterr().out == "It is down. `make up` starts it.\nIt was not up.\n"
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy():
    code = "import sys; sys.argv = ['x', '--help']\ntry:\n import pipeline.scheduling.__main__ as m; m.main()\nexcept SystemExit: pass\n"
    told = "print([m for m in ('airflow', 'pandas', 'sqlalchemy', 'mlflow', 'tensorflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
