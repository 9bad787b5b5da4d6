"""The ablation on a made folder: what is trained, what is reported, what a second run does."""

import dataclasses
import shutil

import numpy as np
import pytest

from pipeline.errors import LookAtTheData, SettingsError, UnknownTicker
from pipeline.models import DEFAULT, RECIPES, Stack
from pipeline.parts import Parts
from pipeline.research.ablation import ABLATED_RECIPE, AblationPlan, ablate
from pipeline.research.study import studied_universe
from pipeline.settings import Settings
from pipeline.windows import Newest, Split, Windowing
from tests.made_prices import random_walk
from tests.made_studies import LAST_OF_2017, NOW, StudyParts

BASE = RECIPES.for_price(ABLATED_RECIPE)
PLAN = AblationPlan(layers=(1, 2), units=(2, 3), seeds=2, epochs=1)
SPLIT = Split(Newest(63), min_train_windows=100)
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory, mlflow_database):
    """Parts whose folder has two tickers, of which FEW cannot be tested."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("prices")
    shutil.copy(mlflow_database, home / "mlflow.db")
    for seed, (ticker, count) in enumerate([("IBM", 250), ("FEW", 100)]):
        bars = random_walk(seed, count, LAST_OF_2017)
        bars.to_csv(folder / f"{ticker}.csv", index=False)
    quick = dataclasses.replace(BASE, window=Windowing(5), split=SPLIT, batch_size=512)
    with StudyParts(home, folder, recipes=RECIPES.replaced(quick)) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(parts):
    return ablate(parts, parts.universe(), PLAN, NOW)


def test_only_layers_units_and_epochs_are_varied():
    variants = PLAN.variants(BASE)
    assert list(variants) == [(1, 2), (2, 2), (1, 3), (2, 3)]
    network = dataclasses.replace(BASE.network, units=(3, 3))
    name = "fastnu-default-2x3"
    assert variants[2, 3] == dataclasses.replace(BASE, name=name, network=network, epochs=1)
    as_published = AblationPlan((4,), (50,)).variants(BASE)[4, 50]
    assert as_published == dataclasses.replace(BASE, name="fastnu-default-4x50")
    assert isinstance(BASE.network, Stack)


def test_a_network_without_layers_to_vary_is_refused():
    with pytest.raises(SettingsError, match="default is no stack of layers"):
        PLAN.variants(DEFAULT)


@slow
def test_every_combination_is_trained_with_every_seed(report):
    rows = report.rows
    combinations = list(zip(rows["layers"], rows["units"], rows["seed"], strict=True))
    assert combinations == [
        (layers, units, seed) for units in (2, 3) for layers in (1, 2) for seed in (7, 8)
    ]
    assert set(rows["sessions"]) == {63}
    np.testing.assert_allclose(rows["ratio_to_naive"], rows["rmse"] / rows["naive_rmse"])
    assert list(report.failures) == ["FEW"] and "failed: FEW: 100 sessions" in report.text


@slow
def test_the_table_has_mean_and_range_and_says_what_was_shortened(parts, report):
    ratios = report.rows.groupby(["layers", "units"])["ratio_to_naive"]
    for mean, least, greatest in ratios.agg(["mean", "min", "max"]).to_numpy():
        assert f"{mean:.3f}  ({least:.3f} .. {greatest:.3f})" in report.text
    assert "Shortened to 1 epoch of 50" in report.text
    assert parts.artifacts.read(f"{report.folder}/layers.png").startswith(b"\x89PNG")


@slow
def test_a_second_run_trains_nothing_and_reports_the_same(parts, report):
    parts.messages.clear()
    again = ablate(parts, parts.universe(), PLAN, NOW)
    assert (again.text, again.folder) == (report.text, report.folder)
    assert [message for _, _, message in parts.messages if "epoch" in message] == []
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("studies").experiment_id])
    names = [
        f"IBM fastnu-default-{layers}x{units} seed {seed}"
        for layers in (1, 2)
        for units in (2, 3)
        for seed in (7, 8)
    ]
    assert sorted(run.info.run_name for run in runs) == sorted(["ablate", *names])


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({"target": "low"}, LookAtTheData, "fastnu-default does not forecast low"),
        ({"tickers": "NOPE"}, UnknownTicker, "NOPE is not among the tickers of the sample source"),
    ],
)
def test_what_no_ticker_can_be_trained_on_is_raised(tmp_path, asked, kind, message):
    settings = Settings(home=tmp_path, **{"tickers": "IBM", **asked})
    with Parts(settings, progress=lambda *_: None) as parts, pytest.raises(kind, match=message):
        ablate(parts, studied_universe(settings), PLAN, NOW)
