"""MLflow's own commands serve and ask the champions, with neither network nor TensorFlow."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest

from pipeline.tables import PROMOTIONS
from tests.servers import LOOPBACK, ROOT, SECONDS_TO_START, answers, free_port, wait_for
from tests.serving.price_rows import KEY, published, rows_of

pytestmark = pytest.mark.slow

#: In place of a library that must not be imported.
FORBIDDEN = "raise ImportError(f'{__name__} is forbidden here')\n"


@pytest.fixture
def environ(made_day, tmp_path):
    """The environment of MLflow's commands: its database, and no way out."""
    parts, _ = made_day
    for library in ("tensorflow", "keras"):
        (tmp_path / library).mkdir()
        (tmp_path / library / "__init__.py").write_text(FORBIDDEN)
    nowhere = f"http://{LOOPBACK}:9"
    return {
        **os.environ,
        # MLflow starts uvicorn by its name, so the environment has to be active.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "MLFLOW_TRACKING_URI": parts.settings.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere),
        "no_proxy": LOOPBACK,
    }


def request_of(rows):
    """Return rows as MLflow's server takes them; pandas's own JSON has ten digits."""
    days = rows.assign(session=rows["session"].dt.strftime("%Y-%m-%d"))
    split = days.to_dict(orient="split", index=False)
    return {"dataframe_split": split}


def frame_of(answer):
    """Return an answer as a table."""
    table = pd.DataFrame(answer["predictions"])
    for name in ("cutoff", "session"):
        table[name] = pd.to_datetime(table[name])
    return table


def assert_published(answer, parts, run, ticker):
    ours, theirs = (
        table.sort_values([*KEY, "level"], ignore_index=True)
        for table in (frame_of(answer), published(parts, run, ticker))
    )
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True, check_dtype=False)


def test_mlflow_predicts_what_was_published_from_the_price_rows(made_day, environ, tmp_path):
    parts, run = made_day
    promoted = parts.rows(PROMOTIONS, run).set_index("ticker")["champion"].to_dict()
    assert promoted["OLD"] in ("lstm", "previous"), "a network is asked"
    asked, answered = tmp_path / "rows.json", tmp_path / "answer.json"
    asked.write_text(json.dumps(request_of(rows_of(parts, run, "OLD"))))
    files = ["-i", str(asked), "-o", str(answered), "-t", "json"]
    model = ["-m", "models:/trained.OLD@champion", "--env-manager", "local"]
    command = [sys.executable, "-m", "mlflow", "models", "predict", *model, *files]
    done = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS_TO_START
    )
    assert done.returncode == 0, done.stderr
    assert_published(json.loads(answered.read_text()), parts, run, "OLD")


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's own, of itself
def test_the_example_of_a_loaded_model_gives_what_was_published(made_day, monkeypatch):
    import mlflow

    parts, run = made_day
    monkeypatch.setenv("MLFLOW_TRACKING_URI", parts.settings.tracking_uri)
    for ticker in run.universe.tickers:
        model = mlflow.pyfunc.load_model(f"models:/trained.{ticker}@champion")
        table = model.predict(model.input_example)
        pd.testing.assert_frame_equal(
            table, published(parts, run, ticker), check_exact=True, check_dtype=False
        )


@contextlib.contextmanager
def served(ticker, environ, log):
    """Serve the champion of a ticker; yield the address."""
    port = free_port()
    model = ["-m", f"models:/trained.{ticker}@champion", "--env-manager", "local"]
    where = ["--host", LOOPBACK, "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "models", "serve", *model, *where]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command,
            env=environ,
            cwd=log.parent,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as server,
    ):
        address = f"http://{LOOPBACK}:{port}"
        try:
            wait_for(f"mlflow models serve: {log}", lambda: _is_up(address))
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def _is_up(address):
    with contextlib.suppress(httpx.TransportError):
        return answers(f"{address}/ping")
    return False


def ask(address, rows):
    return httpx.post(
        f"{address}/invocations", json=request_of(rows), trust_env=False, timeout=SECONDS_TO_START
    )


@pytest.mark.parametrize("ticker", ["TWO", "AAA"])
def test_mlflow_serves_networks_and_baselines_and_refuses_bad_rows_in_one_line(
    ticker, made_day, environ, tmp_path
):
    parts, run = made_day
    rows = rows_of(parts, run, ticker)
    with served(ticker, environ, tmp_path / "serve.log") as address:
        assert_published(ask(address, rows).json(), parts, run, ticker)
        refused = ask(address, rows.iloc[:-1])
        assert refused.status_code == 400
        [line] = refused.json()["message"].splitlines()[-1:]
        assert line == (
            f"Error: {ticker}: the rows end at 2013-02-28, and this model is as of 2013-03-01, the "
            "last session that was published. Give the rows up to 2013-03-01."
        )
        without_volume = ask(address, rows.drop(columns="volume"))
        assert "volume" in without_volume.json()["message"]
