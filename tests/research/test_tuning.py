"""Whole searches: the same in one sitting or in two, with a winner that is a recipe."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.errors import RunError
from pipeline.outcomes import Outcomes
from pipeline.research import search_trials
from pipeline.research.search import TrialState
from pipeline.research.search_plan import SearchRequest
from pipeline.research.search_spaces import applied
from pipeline.research.tuning import SearchResult, tune
from pipeline.tables import TRIALS
from tests.made_days import NOW, SMALL
from tests.made_searches import REQUEST, SESSIONS, TWO, UNTOUCHED, FormulaForecasts, SearchParts

#: Every test here writes to MLflow.
pytestmark = pytest.mark.slow

COMPLETE, PRUNED, FAILED = TrialState


@pytest.fixture
def make_parts(tmp_path, mlflow_database):
    """Return a function that makes parts in a folder of that name."""

    def make(name: str) -> SearchParts:
        home = tmp_path / name
        home.mkdir()
        shutil.copy(mlflow_database, home / "mlflow.db")
        return SearchParts(home)

    return make


@pytest.fixture
def parts(make_parts):
    with make_parts("home") as made:
        yield made


@pytest.fixture
def formula(monkeypatch):
    """Stand in for training."""
    forecasts = FormulaForecasts()
    monkeypatch.setattr(search_trials, "network_forecasts", forecasts)
    return forecasts


def tuned(parts, request=REQUEST) -> SearchResult:
    return tune(parts, TWO, SMALL, request, NOW)


def stored(parts) -> pd.DataFrame:
    return parts.store.load(TRIALS).drop(columns="seconds")


def runs(parts) -> list[dict[str, Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    experiment = client.get_experiment_by_name("tuning")
    tracked = client.search_runs([experiment.experiment_id], order_by=["attributes.run_id ASC"])
    return [run.to_dictionary() for run in tracked]


def in_one_line(text: str) -> str:
    return " ".join(text.split())


# What it sees, and going on


def test_no_price_of_the_sessions_kept_back_moves_anything(parts, make_parts, formula):
    before = tuned(parts)
    with make_parts("changed") as changed:
        for number, bars in enumerate(changed.made.bars.values()):
            late = bars["date"] >= pd.Timestamp(UNTOUCHED)
            assert late.sum() == 252
            columns = ["open", "high", "low", "close", "volume"]
            bars.loc[late, columns] = bars.loc[late, columns].iloc[::-1].to_numpy() * (3 + number)
        ex_date = {"date": [pd.Timestamp(UNTOUCHED)], "kind": ["split"], "value": [4.0]}
        changed.made.actions["AAA"] = pd.DataFrame(ex_date)
        after = tuned(changed)
        assert stored(changed).equals(stored(parts))
    texts = [  # without the seconds that trials took
        re.sub(r" +(seconds|\d+)$", "", result.text, flags=re.MULTILINE)
        for result in (before, after)
    ]
    assert texts[0] == texts[1]
    assert (after.winner, after.folder) == (before.winner, before.folder)


def test_two_sittings_end_as_one_does_and_a_third_changes_nothing(parts, make_parts, formula):
    together = tuned(parts, SearchRequest(12, 2))
    assert {trial.state for trial in together.trials} == {COMPLETE, PRUNED}
    with make_parts("apart") as apart:
        tuned(apart, SearchRequest(5, 2))
        tuned(apart, SearchRequest(12, 2))
        assert stored(apart).equals(stored(parts))
        asked, before = len(formula.asked), runs(apart)
        third = tuned(apart, SearchRequest(12, 2))
        assert len(formula.asked) == asked
        assert runs(apart) == before
        fewer = tuned(apart, SearchRequest(5, 2))
    assert (third.winner, third.folder) == (together.winner, together.folder)
    assert [(trial.params, trial.steps) for trial in third.trials] == [
        (trial.params, trial.steps) for trial in together.trials
    ]
    assert len(fewer.trials) == 5


def test_a_search_that_is_interrupted_goes_on_with_the_trial_it_was_at(parts, monkeypatch):
    formula = FormulaForecasts()

    def interrupted(*arguments):
        outcomes = formula(*arguments)
        if len(formula.asked) == 6:  # the second fold of trial 2
            raise KeyboardInterrupt
        return outcomes

    monkeypatch.setattr(search_trials, "network_forecasts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuned(parts)
    assert list(stored(parts)["number"]) == [0, 1]
    again = tuned(parts)
    assert [trial.number for trial in again.trials] == list(range(6))
    assert ("tune", "", "2 trials of 6 are done already") in parts.messages
    # The trial that it was at tries the same recipe.
    assert formula.asked[5][0] == formula.asked[7][0]


# The winner


def test_the_first_trial_is_the_recipe_as_it_is_so_the_winner_is_never_worse(parts, formula):
    result = tuned(parts, SearchRequest(10, 1))
    assert formula.asked[0][0] == SMALL
    assert result.best.value <= result.trials[0].value
    complete = [trial.value for trial in result.trials if trial.state == COMPLETE]
    assert result.best.value == min(complete)
    assert applied(SMALL, result.best.params).network == result.winner.network
    text, own, best = in_one_line(result.text), result.trials[0].value, result.best
    assert (
        f"the recipe as it is {own:.4f}; trial {best.number} is the best at {best.value:.4f}, "
        f"{best.value / own - 1:+.2%}."
    ) in text
    assert f"The test sessions, from {UNTOUCHED} on, have not been looked at." in text
    assert "The winner was chosen on these folds, so its figure flatters it" in text


def test_the_winner_is_written_as_a_module_that_yields_it_and_names_its_search(parts, formula):
    result = tuned(parts, SearchRequest(8, 2, first=SESSIONS[100]))
    path = Path(parts.settings.home / "artifacts" / result.definition)
    folder = f"two-default-close-{result.folder[-8:]}"
    assert path.parts[-3:] == ("tuning", folder, "default_tuned.py")
    spec = importlib.util.spec_from_file_location("written", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.RECIPES == (result.winner,) == (module.DEFAULT_TUNED,)
    assert result.winner.name == "default-tuned"
    text = in_one_line(module.__doc__)
    for words in (
        f"{result.trials[0].value:.4f}",
        f"{result.best.value:.4f}",
        f"{SESSIONS[-253]} (2 tickers)",
        "stockcast tune --recipe default --universe two --tickers AAA,BBB --target close "
        "--horizon 5 --trials 8 --folds 2",
        f"--folds 2 --from {SESSIONS[100]} --seed 7",
    ):
        assert words in text
    assert max(map(len, path.read_text().splitlines())) <= 100


def test_where_all_others_fail_the_recipe_as_it_is_wins(parts, monkeypatch):
    formula = FormulaForecasts()

    def diverging(parts, step, recipe, files, seed):
        if recipe == SMALL:
            return formula(parts, step, recipe, files, seed)
        failures = {ticker: RunError(f"{ticker}: its training has diverged.") for ticker in files}
        return Outcomes(failures=failures)

    monkeypatch.setattr(search_trials, "network_forecasts", diverging)
    result = tuned(parts, SearchRequest(3, 2))
    assert [trial.state for trial in result.trials] == [COMPLETE, FAILED, FAILED]
    assert "no trial was better" in in_one_line(result.text)
    assert result.winner.network == SMALL.network
    again = tuned(parts, SearchRequest(3, 2))
    assert [trial.state for trial in again.trials] == [COMPLETE, FAILED, FAILED]


# MLflow


def test_trials_are_runs_below_the_run_of_their_search(parts, formula):
    result = tuned(parts, SearchRequest(8, 2))
    tracked = runs(parts)
    [parent] = [run for run in tracked if "mlflow.parentRunId" not in run["data"]["tags"]]
    children = {run["info"]["run_name"]: run["data"] for run in tracked if run is not parent}
    assert parent["info"]["status"] == "FINISHED"
    metrics = parent["data"]["metrics"]
    assert metrics["pinball_ratio_winner"] == result.best.value
    assert metrics["pinball_ratio_as_it_is"] == result.trials[0].value
    assert parent["data"]["params"]["untouched_from"] == str(UNTOUCHED)
    assert sorted(children) == [f"trial {trial.number}" for trial in result.trials]
    for trial in result.trials:
        data = children[f"trial {trial.number}"]
        assert data["tags"]["state"] == trial.state
        assert data["params"]["units"] == str(trial.params["units"])
        assert data["metrics"]["mean_ratio_by_fold"] == trial.steps[-1]
        complete = trial.value if trial.state == COMPLETE else None
        assert data["metrics"].get("pinball_ratio_to_ewma") == complete


# With networks


def test_networks_are_trained_tried_and_kept(parts):
    result = tuned(parts, SearchRequest(2, 1))
    assert [trial.state for trial in result.trials] == [COMPLETE, COMPLETE]
    assert all(0.8 < trial.value < 1.2 for trial in result.trials)
    rows = stored(parts)
    assert list(rows["study"].unique()) == ["two-default-close"]
    assert json.loads(rows["params"].iloc[0])["units"] == SMALL.network.units
    trained = trainings(parts)
    assert trained == 2 * 3  # a pool and two stocks a trial
    assert tuned(parts, SearchRequest(2, 1)).text == result.text
    assert trainings(parts) == trained


def trainings(parts) -> int:
    return len([message for _, _, message in parts.messages if "epochs" in message])
