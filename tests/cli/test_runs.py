"""Commands that do the whole job: a folder of files is forecast, the deployment is examined."""

import json

import pytest

pytestmark = pytest.mark.slow


def test_a_folder_of_files_is_forecast_from_the_command_line(call, folder):
    where = f"--source csv --data {folder}"
    code, out, _ = call(
        f"run {where} --tickers KO,IBM --session 2013-02-27 --target high --horizon 2"
    )
    assert code == 0 and "KO" in out and "2013-02-28" in out
    code, csv, _ = call("forecasts --session 2013-02-27 --format csv")
    lines = csv.splitlines()
    header = lines[0].split(",")
    keys = [
        (row.split(",")[header.index("ticker")], row.split(",")[header.index("horizon")])
        for row in lines[1:]
    ]
    assert keys == [("IBM", "1"), ("IBM", "2"), ("KO", "1"), ("KO", "2")]
    again = call("forecasts --session 2013-02-27 --format csv --tickers IBM")[1].splitlines()
    assert again == lines[:3]
    assert call(f"run {where} --session 2013-02-28 --target high --horizon 2")[0] == 0
    scores = json.loads(call("scores --format json")[1])
    assert [(row["ticker"], row["horizon"], row["forecasts"]) for row in scores] == [
        ("IBM", 1, 1),
        ("KO", 1, 1),
    ]


def test_doctor_says_what_is_wrong_and_what_to_do(call, monkeypatch):
    code, out, _ = call("doctor")
    assert code == 0 and "FAILED" not in out
    code, out, _ = call("doctor --universe nope")
    assert code == 1 and "There is no universe 'nope'" in out
    monkeypatch.setenv("STOCKCAST_WORKERS", "none")
    code, out, _ = call("doctor")
    assert code == 1 and "STOCKCAST_WORKERS" in out
