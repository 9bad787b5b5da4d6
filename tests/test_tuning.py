"""A search sees nothing of the test sessions, comes to the same in one sitting or in two, and writes its winner as a recipe."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import cli, fitting, tuning, windows
from pipeline.errors import NotEnoughHistory, RunError, SettingsError
from pipeline.models import RECIPES, find_recipe
from pipeline.models.baselines import BASELINES
from pipeline.models.default import AnchoredQuantiles
from pipeline.models.recurrent import Stack
from pipeline.search import COMPLETE, FAILED, PRUNED
from pipeline.sessions import Calendar
from pipeline.splits import Newest, Split
from pipeline.tables import TRIALS
from tests.made_days import NOW, SMALL, UNIVERSE, MadeParts
from tests.made_prices import LAST, MadeSource, random_walk

TWO = dataclasses.replace(UNIVERSE, name="two", tickers=("AAA", "BBB"))
SESSIONS = Calendar("XNYS").sessions(dt.date(2000, 1, 3), LAST)
UNTOUCHED = SESSIONS[-252]
ASKED = tuning.Asked(trials=6, folds=2)


def source() -> MadeSource:
    return MadeSource({"AAA": random_walk(1, 1400), "BBB": random_walk(2, 1130)})


@pytest.fixture
def parts(tmp_path, mlflow_database):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    with MadeParts(tmp_path, source()) as opened:
        yield opened


@pytest.fixture
def formula(monkeypatch):
    """Stands in for training: every ticker's EWMA random walk, the wider the farther the values are from some; `asked` keeps for what."""
    asked = []

    def forecasts(parts, step, recipe, files, seed, begin=None):
        asked.append((recipe, sorted(files)))
        width = 1 + abs(np.log(recipe.network.units / 24)) / 3 + abs(recipe.network.dropout - 0.1) / 3
        return {ticker: _wider(windows.load_dataset(file), width) for ticker, file in files.items()}

    monkeypatch.setattr(fitting, "forecasts", forecasts)
    return asked


def _wider(dataset, width):
    ewma = BASELINES["ewma"].fit(dataset.train, dataset.spec.horizon)
    return tuple(
        part.last[:, None, None] + width * (ewma(part) - part.last[:, None, None]) for part in (dataset.validation, dataset.test)
    )


def tuned(parts, asked=ASKED, recipe=SMALL):
    return tuning.tune(parts, TWO, recipe, asked, NOW)


def stored(parts) -> pd.DataFrame:
    return parts.store.load(TRIALS).drop(columns="seconds")


def test_folds_are_the_last_years_before_the_sessions_that_are_kept_back(parts):
    the = tuning.plan(parts, TWO, SMALL, tuning.Asked(1, 3), NOW)
    ends = [SESSIONS[-252 - back * 252 - 1] for back in (2, 1, 0)]
    assert [fold.last for fold in the.folds] == ends
    assert [fold.first for fold in the.folds] == [SESSIONS[SESSIONS.index(end) - 251] for end in ends]
    assert the.untouched == UNTOUCHED
    for fold in the.folds[1:]:
        assert sorted(fold.files) == ["AAA", "BBB"]
        for file in fold.files.values():
            dataset = windows.load_dataset(file)
            assert dataset.test.sessions.min().astype(object) == fold.first
            assert dataset.test.sessions.max().astype(object) == fold.last
            assert dataset.validation.sessions.max() < np.datetime64(fold.first)
            assert dataset.train.sessions.max() < dataset.validation.sessions.min()


def test_a_ticker_that_is_too_young_for_a_fold_sits_it_out_and_is_named(parts):
    the = tuning.plan(parts, TWO, SMALL, tuning.Asked(1, 3), NOW)
    assert [sorted(fold.files) for fold in the.folds] == [["AAA"], ["AAA", "BBB"], ["AAA", "BBB"]]
    [told] = [message for _, _, message in parts.said if "goes without" in message]
    # 122 sessions before the fold: 40 of context, 60 of validation, and 4 between parts, twice.
    assert told == (
        f"the fold {the.folds[0]} goes without BBB: 374 sessions leave {122 - 40 - 60 - 2 * 4} windows to train on, 100 are needed"
    )


def test_a_recipe_that_tests_on_more_keeps_more_back(parts):
    recipe = dataclasses.replace(SMALL, split=Split(Newest(400), Newest(60), min_train_windows=100))
    the = tuning.plan(parts, TWO, recipe, tuning.Asked(1, 1), NOW)
    assert the.untouched == SESSIONS[-400 - TWO.horizon + 1]
    own = windows.encode(*_whole(parts, recipe))
    assert windows.load_dataset(own).test.sessions.min() == np.datetime64(the.untouched)


def _whole(parts, recipe):
    """The history up to the newest session and the recipe's own spec of it, as the daily run would cut it."""
    from pipeline.prices.adjustment import adjust
    from pipeline.prices.source import fetch

    fetched = fetch(parts.made, "AAA", SESSIONS[0], LAST, Calendar("XNYS"), NOW)
    history = windows.on_calendar(adjust(fetched.prices, fetched.actions, LAST), SESSIONS)
    return history, recipe.spec("AAA", LAST, TWO.target, TWO.horizon)


def test_no_price_of_the_sessions_kept_back_moves_anything(parts, formula, tmp_path, mlflow_database):
    before = tuned(parts)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(mlflow_database, other / "mlflow.db")
    with MadeParts(other, source()) as changed:
        for number, bars in enumerate(changed.made.bars.values()):
            late = bars["date"] >= pd.Timestamp(UNTOUCHED)
            assert late.sum() == 252
            columns = ["open", "high", "low", "close", "volume"]
            bars.loc[late, columns] = bars.loc[late, columns].iloc[::-1].to_numpy() * (3 + number)
        ex_date = {"date": [pd.Timestamp(UNTOUCHED)], "kind": ["split"], "value": [4.0]}
        changed.made.actions["AAA"] = pd.DataFrame(ex_date)
        after = tuned(changed)
        assert stored(changed).equals(stored(parts))
    texts = [re.sub(r" +(seconds|\d+)$", "", each.text, flags=re.MULTILINE) for each in (before, after)]  # but for how long it took
    assert texts[0] == texts[1]
    assert (after.winner, after.folder) == (before.winner, before.folder)


def test_a_price_of_the_last_session_that_counts_makes_it_another_study(parts):
    before = tuning.plan(parts, TWO, SMALL, ASKED, NOW).fingerprint
    bars = parts.made.bars["AAA"]
    row = bars.index[bars["date"] == pd.Timestamp(SESSIONS[-253])]
    bars.loc[row, "close"] *= 1.0001
    assert tuning.plan(parts, TWO, SMALL, ASKED, NOW).fingerprint != before


def test_with_to_the_sessions_before_it_are_the_ones_kept_back(parts):
    the = tuning.plan(parts, TWO, SMALL, tuning.Asked(1, 1, last=SESSIONS[-100]), NOW)
    assert the.untouched == SESSIONS[-100 - 251]
    assert the.folds[-1].last == SESSIONS[-100 - 252]


def test_a_trials_loss_is_that_of_plain_loops(parts, formula):
    outcome = tuned(parts, tuning.Asked(1, 2))
    means = []
    for fold in tuning.plan(parts, TWO, SMALL, tuning.Asked(1, 2), NOW).folds:
        ratios = []
        for file in fold.files.values():
            dataset = windows.load_dataset(file)
            ewma = BASELINES["ewma"].fit(dataset.train, 5)(dataset.test)
            width = 1 + abs(np.log(2 / 24)) / 3 + abs(0.3 - 0.1) / 3
            said = dataset.test.last[:, None, None] + width * (ewma - dataset.test.last[:, None, None])
            ratios.append(_pinball(dataset.test, said) / _pinball(dataset.test, ewma))
        means.append(np.mean(ratios))
    [trial] = outcome.trials
    assert trial.steps == pytest.approx((means[0], np.mean(means)))
    assert trial.state == COMPLETE


def _pinball(test, said) -> float:
    total = []
    for row in range(len(test)):
        for ahead in range(5):
            for number, probability in enumerate((0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)):
                error = test.actual[row, ahead] - said[row, ahead, number]
                total.append((probability * error if error >= 0 else (probability - 1) * error) / test.last[row])
    return float(np.mean(total))


def test_two_sittings_come_to_what_one_comes_to_and_a_third_changes_nothing(parts, formula, tmp_path, mlflow_database):
    together = tuned(parts, tuning.Asked(12, 2))
    assert {trial.state for trial in together.trials} == {COMPLETE, PRUNED}
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(mlflow_database, other / "mlflow.db")
    with MadeParts(other, source()) as apart:
        tuned(apart, tuning.Asked(5, 2))
        tuned(apart, tuning.Asked(12, 2))
        assert stored(apart).equals(stored(parts))
        asked, before = len(formula), runs(apart)
        third = tuned(apart, tuning.Asked(12, 2))
        assert len(formula) == asked
        assert runs(apart) == before
        fewer = tuned(apart, tuning.Asked(5, 2))
    assert (third.winner, third.folder) == (together.winner, together.folder)
    assert [(trial.params, trial.steps) for trial in third.trials] == [(trial.params, trial.steps) for trial in together.trials]
    assert len(fewer.trials) == 5


def test_a_search_that_is_interrupted_goes_on_with_the_trial_it_was_at(parts, formula, monkeypatch):
    real, calls = fitting.forecasts, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 6:  # the second fold of trial 2
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(fitting, "forecasts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuned(parts)
    assert list(stored(parts)["number"]) == [0, 1]
    again = tuned(parts)
    assert [trial.number for trial in again.trials] == list(range(6))
    assert ("tune", "", "2 trials of 6 are done already") in parts.said
    assert calls[5][2] == calls[7][2]  # the trial it was at tries the same recipe


def test_the_first_trial_is_the_recipe_as_it_is_so_the_winner_is_never_worse(parts, formula):
    outcome = tuned(parts, tuning.Asked(10, 1))
    assert formula[0][0] == SMALL
    assert outcome.best.value <= outcome.trials[0].value
    assert outcome.best.value == min(trial.value for trial in outcome.trials if trial.state == COMPLETE)
    assert tuning.applied(SMALL, outcome.best.params).network == outcome.winner.network
    told, own, best = " ".join(outcome.text.split()), outcome.trials[0].value, outcome.best
    assert (
        f"the recipe as it is {own:.4f}; trial {best.number} is the best at {best.value:.4f}, {best.value / own - 1:+.2%}." in told
    )
    assert f"The test sessions, from {UNTOUCHED} on, have not been looked at." in told
    assert "The winner was chosen on these folds, so its figure flatters it" in told


def test_the_winner_is_written_as_a_module_that_yields_it_and_says_where_it_comes_from(parts, formula):
    outcome = tuned(parts, tuning.Asked(8, 2, first=SESSIONS[100]))
    path = Path(parts.settings.home / "artifacts" / outcome.definition)
    assert path.parts[-3:] == ("tuning", f"two-default-close-{outcome.folder[-8:]}", "default_tuned.py")
    module = loaded(path)
    assert module.RECIPES == (outcome.winner,) == (module.DEFAULT_TUNED,)
    assert outcome.winner.name == "default-tuned"
    told = " ".join(module.__doc__.split())
    for words in (
        f"{outcome.trials[0].value:.4f}",
        f"{outcome.best.value:.4f}",
        f"{SESSIONS[-253]} (2 tickers)",
        "stockcast tune --recipe default --universe two --tickers AAA,BBB --target close --horizon 5 --trials 8 --folds 2",
        f"--folds 2 --from {SESSIONS[100]} --seed 7",
    ):
        assert words in told


def loaded(path: Path):
    spec = importlib.util.spec_from_file_location("written", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", tuning.tunable())
def test_every_recipe_that_can_be_tuned_can_be_written_and_read_again(name, tmp_path):
    recipe = find_recipe(name)
    path = tmp_path / "written.py"
    path.write_text(tuning.module(recipe, ["A first line.", "Another."]), encoding="utf-8")
    [read] = loaded(path).RECIPES
    assert read == recipe
    assert ast.parse(path.read_text()).body[1].module == "__future__"


@pytest.mark.parametrize("name", tuning.tunable())
def test_a_recipes_own_values_lie_in_its_space_and_change_nothing(name):
    recipe = find_recipe(name)
    own = tuning.own_values(recipe)
    assert set(own) == {dimension.name for dimension in tuning.SPACES[type(recipe.network)]}
    assert tuning.applied(recipe, own) == recipe
    for dimension in tuning.SPACES[type(recipe.network)]:
        assert dimension.holding(own[dimension.name]).holding(own[dimension.name]) == dimension.holding(own[dimension.name])


def test_every_recipe_with_a_network_that_has_a_space_is_offered():
    assert set(tuning.tunable()) == {
        recipe.name for recipe in RECIPES if recipe.targets and isinstance(recipe.network, AnchoredQuantiles | Stack)
    }


def test_values_of_a_stack_are_applied_to_all_of_its_layers():
    recipe = find_recipe("aungiers-sp500-later")
    made = tuning.applied(recipe, {"width": 0.25, "dropout": 0.4, "learning_rate": 0.002})
    assert made.network == Stack((25, 25, 25), dropout=(0.4, 0.0, 0.4))
    assert made.optimiser.schedule.rate == 0.002
    default = tuning.applied(SMALL, {"units": 5, "means": (1, 20), "batch_size": 64, "patience": 9, "learning_rate": 0.001})
    assert (default.network.units, default.network.means, default.batch_size, default.patience) == (5, (1, 20), 64, 9)
    assert default.optimiser == dataclasses.replace(
        SMALL.optimiser, schedule=dataclasses.replace(SMALL.optimiser.schedule, rate=0.001)
    )
    assert default.fine_tuning == SMALL.fine_tuning


def test_a_trial_that_fails_is_kept_as_failed_and_the_search_goes_on(parts, formula, monkeypatch):
    real = fitting.forecasts

    def diverging(parts, step, recipe, files, seed, begin=None):
        said = real(parts, step, recipe, files, seed, begin)
        return said if recipe == SMALL else {ticker: RunError(f"{ticker}: its training has diverged.") for ticker in said}

    monkeypatch.setattr(fitting, "forecasts", diverging)
    outcome = tuned(parts, tuning.Asked(3, 2))
    assert [trial.state for trial in outcome.trials] == [COMPLETE, FAILED, FAILED]
    assert "no trial was better" in " ".join(outcome.text.split())
    assert outcome.winner.network == SMALL.network
    again = tuned(parts, tuning.Asked(3, 2))
    assert [trial.state for trial in again.trials] == [COMPLETE, FAILED, FAILED]


def test_a_recipe_that_cannot_be_measured_as_it_is_ends_the_search(parts, monkeypatch):
    monkeypatch.setattr(
        fitting,
        "forecasts",
        lambda parts, step, recipe, files, seed: {ticker: RunError(f"{ticker}: diverged.") for ticker in files},
    )
    with pytest.raises(RunError, match=r"AAA: diverged\."):
        tuned(parts)
    assert stored(parts).empty


def runs(parts) -> list[dict]:
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    experiment = client.get_experiment_by_name("tuning")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.run_id ASC"])
    return [run.to_dictionary() for run in found]


def test_trials_are_runs_below_the_studys_run(parts, formula):
    outcome = tuned(parts, tuning.Asked(8, 2))
    found = runs(parts)
    [parent] = [run for run in found if "mlflow.parentRunId" not in run["data"]["tags"]]
    children = {run["info"]["run_name"]: run["data"] for run in found if run is not parent}
    assert parent["info"]["status"] == "FINISHED"
    assert parent["data"]["metrics"]["pinball_ratio_winner"] == outcome.best.value
    assert parent["data"]["metrics"]["pinball_ratio_as_it_is"] == outcome.trials[0].value
    assert parent["data"]["params"]["untouched_from"] == str(UNTOUCHED)
    assert sorted(children) == [f"trial {trial.number}" for trial in outcome.trials]
    for trial in outcome.trials:
        data = children[f"trial {trial.number}"]
        assert data["tags"]["state"] == trial.state
        assert data["params"]["units"] == str(trial.params["units"])
        assert data["metrics"]["mean_ratio_by_fold"] == trial.steps[-1]
        assert data["metrics"].get("pinball_ratio_to_ewma") == (trial.value if trial.state == COMPLETE else None)


@pytest.mark.parametrize(
    ("recipe", "asked", "error", "told"),
    [
        (find_recipe("castilla.faithful"), ASKED, SettingsError, r"castilla\.faithful peeks .* Name castilla\."),
        (find_recipe("statquest-unit"), ASKED, SettingsError, r"no search space for statquest-unit\. There is one for: default, "),
        (
            dataclasses.replace(SMALL, targets=("high",)),
            ASKED,
            SettingsError,
            r"default does not forecast close; its targets are high ",
        ),
        (SMALL, tuning.Asked(1, 30), NotEnoughHistory, r"30 folds of 252 need more\. Ask for fewer folds"),
        (SMALL, tuning.Asked(1, 6), NotEnoughHistory, r"Nothing can be learnt before the fold .*Ask for fewer folds"),
        (SMALL, tuning.Asked(1, 1, first=dt.date(2013, 2, 25)), NotEnoughHistory, r"0 sessions"),
        (SMALL, tuning.Asked(1, 1, last=dt.date(1999, 2, 25)), SettingsError, r"There is no session of XNYS"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_trained(parts, formula, recipe, asked, error, told):
    with pytest.raises(error, match=told):
        tuned(parts, asked, recipe)
    assert formula == []


@pytest.mark.parametrize("values", [{"trials": 0, "folds": 1}, {"trials": 1, "folds": 0}])
def test_no_trials_and_no_folds_are_refused(values):
    with pytest.raises(SettingsError, match="at least 1 is expected"):
        tuning.Asked(**values)


def test_the_command_asks_for_what_its_flags_say(tmp_path, monkeypatch, capsys):
    asked = []

    def tune(parts, universe, recipe, wanted, now):
        asked.append((universe.tickers, universe.target, recipe.name, wanted, parts.settings.seed))
        return tuning.Outcome((), recipe, "What came of it.", "tuning/x", "tuning/x/castilla_tuned.py")

    monkeypatch.setattr(tuning, "tune", tune)
    flags = "tune --recipe castilla --tickers IBM --trials 4 --folds 2 --from 2005-01-03 --to 2012-12-31 --seed 3 --home"
    assert cli.main([*flags.split(), str(tmp_path)]) == 0
    wanted = tuning.Asked(4, 2, dt.date(2005, 1, 3), dt.date(2012, 12, 31))
    assert asked == [(("IBM",), "close", "castilla", wanted, 3)]
    told = capsys.readouterr().out
    assert "What came of it." in told and "tuning/x/castilla_tuned.py" in told
    assert cli.main(["tune", "--trials", "0"]) == 2


@pytest.mark.slow
def test_networks_are_trained_tried_and_kept(parts):
    outcome = tuned(parts, tuning.Asked(2, 1))
    assert [trial.state for trial in outcome.trials] == [COMPLETE, COMPLETE]
    assert all(0.8 < trial.value < 1.2 for trial in outcome.trials)
    rows = stored(parts)
    assert list(rows["study"].unique()) == ["two-default-close"]
    assert json.loads(rows["params"].iloc[0])["units"] == SMALL.network.units
    trained = len([message for _, _, message in parts.said if "epochs" in message])
    assert trained == 2 * 3  # a pool and two stocks a trial
    assert tuned(parts, tuning.Asked(2, 1)).text == outcome.text
    assert len([message for _, _, message in parts.said if "epochs" in message]) == trained
