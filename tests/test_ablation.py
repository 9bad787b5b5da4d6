"""The ablation on a made folder, with an epoch each: what is trained, what is told, and what a second run does."""

import datetime as dt
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline import ablation, assembly, cli, study
from pipeline.settings import Settings
from tests.made_prices import random_walk

NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def ran(tmp_path_factory, mlflow_database):
    """(parts, a function that runs the ablation, its outcome, what was said)."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("prices")
    shutil.copy(mlflow_database, home / "mlflow.db")
    for seed, (ticker, count) in enumerate([("IBM", 650), ("FEW", 100)]):
        random_walk(seed, count, dt.date(2017, 12, 29)).to_csv(folder / f"{ticker}.csv", index=False)
    settings = Settings(home=home, data=str(folder), tracking_uri=f"sqlite:///{home}/mlflow.db", workers=1)
    said = []
    parts = assembly.parts(settings, progress=lambda *words: said.append(words))

    def run():
        said.clear()
        return ablation.ablate(parts, study.universe_of(settings), ablation.base_recipe(), [1, 2], [2, 3], 2, NOW, epochs=1)

    return parts, run, run(), said


def rows_of(ratios):
    """Rows as `ablate` makes them, of {(layers, units): ratios by seed}."""
    return pd.DataFrame(
        [
            {"ticker": "IBM", "layers": layers, "units": units, "seed": seed, "ratio_to_naive": ratio}
            for (layers, units), found in ratios.items()
            for seed, ratio in enumerate(found)
        ]
    )


def test_every_combination_is_trained_with_every_seed(ran):
    _, _, outcome, _ = ran
    assert list(zip(outcome.rows["layers"], outcome.rows["units"], outcome.rows["seed"], strict=True)) == [
        (layers, units, seed) for units in (2, 3) for layers in (1, 2) for seed in (7, 8)
    ]
    assert set(outcome.rows["sessions"]) == {251}
    np.testing.assert_allclose(outcome.rows["ratio_to_naive"], outcome.rows["rmse"] / outcome.rows["naive_rmse"])
    assert list(outcome.failures) == ["FEW"] and "failed: FEW: 100 sessions" in outcome.text


def test_the_table_has_mean_and_range_and_says_what_was_shortened(ran):
    parts, _, outcome, _ = ran
    cells = outcome.rows.groupby(["layers", "units"])["ratio_to_naive"].agg(["mean", "min", "max"])
    for (_, _), (mean, least, greatest) in zip(cells.index, cells.to_numpy(), strict=True):
        assert f"{mean:.3f}  ({least:.3f} .. {greatest:.3f})" in outcome.text
    assert "Shortened to 1 epochs of 50" in outcome.text
    assert parts.artifacts.read(f"studies/{outcome.folder}/layers.png").startswith(b"\x89PNG")


def test_a_second_run_trains_nothing_and_says_the_same(ran):
    parts, run, outcome, said = ran
    again = run()
    assert (again.text, again.folder) == (outcome.text, outcome.folder)
    assert [message for _, _, message in said if "epoch" in message] == []
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("studies").experiment_id])
    names = [f"IBM fastnu-default-{layers}x{units} seed {seed}" for layers in (1, 2) for units in (2, 3) for seed in (7, 8)]
    assert sorted(run.info.run_name for run in runs) == sorted(["ablate", *names])


@pytest.mark.parametrize(
    ("ratios", "told"),
    [
        (
            {(1, 5): [2.0, 2.2], (2, 5): [2.4, 2.6]},
            "More layers did not reduce the error: from 1 to 2 layers the ratio went from 2.100 to 2.500",
        ),
        (
            {(1, 5): [2.0, 2.2], (2, 5): [1.0, 0.9]},
            "More layers reduced the error: from 1 to 2 layers the ratio went from 2.100 to 0.950",
        ),
        (
            {(1, 5): [2.0, 2.2], (2, 5): [1.0, 1.0], (1, 9): [1.0, 1.0], (2, 9): [2.0, 2.0]},
            "More layers reduced the error only here and there: from 1 to 2 layers the ratio went from 1.550 to 1.500",
        ),
    ],
)
def test_the_verdict_follows_the_figures(ratios, told):
    sentences = list(ablation.verdicts(rows_of(ratios)))
    assert sentences[0].startswith(told)
    assert sentences[1].startswith("The seed alone moves the ratio by")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ablate --layers 1,two", "'two' is no whole number above 0"),
        ("ablate --layers 0", "'0' is no whole number above 0"),
        ("ablate --units 25,,50", "'' is no whole number above 0"),
        ("ablate --units -5", "'-5' is no whole number above 0"),
        ("ablate --epochs 1.5", "'1.5' is no whole number above 0"),
        ("ablate --tickers NOPE", "NOPE is not among the tickers of the sample source"),
        ("ablate --target low", "fastnu-default does not forecast low"),
    ],
)
def test_a_wrong_list_is_one_line(capsys, monkeypatch, tmp_path, line, told):
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path))
    code = cli.main(shlex.split(line))
    err = capsys.readouterr().err
    assert (code, err.count("\n")) in {(2, 1), (1, 1)}
    assert told in err
