"""Research: backtests, searches, studies and exercises."""

from pipeline.research import leaderboard
from pipeline.research.ablation import AblationPlan, ablate
from pipeline.research.backtest import BacktestResult, backtest, compare_forecasters
from pipeline.research.backtest_plan import BacktestPlan, read_backtest_plan
from pipeline.research.backtest_planning import plan_backtest
from pipeline.research.backtest_request import BacktestRequest
from pipeline.research.backtest_shards import make_shard, read_shards
from pipeline.research.exercises import (
    ExerciseReport,
    exercise_recipes,
    exercise_table,
    read_exercise_text,
    train_exercises,
)
from pipeline.research.har_forecasts import HarForecasts, anchored_files, har_forecasts
from pipeline.research.look_ahead import look_ahead, save_look_ahead
from pipeline.research.network_blends import (
    NetworkBlend,
    network_blends,
    network_choice,
    pooled_har,
)
from pipeline.research.network_forecasts import network_forecasts
from pipeline.research.planned_exercise import EXERCISES_FOLDER
from pipeline.research.reproduction import reproduce
from pipeline.research.reproduction_plan import StudyPlan, find_study, study_names
from pipeline.research.search_plan import TUNING_FOLDER, SearchRequest
from pipeline.research.search_spaces import tunable
from pipeline.research.study import STUDIES, Period, StudyReport, history_of, studied_universe
from pipeline.research.tuning import SearchResult, tune

__all__ = [
    "EXERCISES_FOLDER",
    "STUDIES",
    "TUNING_FOLDER",
    "AblationPlan",
    "BacktestPlan",
    "BacktestRequest",
    "BacktestResult",
    "ExerciseReport",
    "HarForecasts",
    "NetworkBlend",
    "Period",
    "SearchRequest",
    "SearchResult",
    "StudyPlan",
    "StudyReport",
    "ablate",
    "anchored_files",
    "backtest",
    "compare_forecasters",
    "exercise_recipes",
    "exercise_table",
    "find_study",
    "har_forecasts",
    "history_of",
    "leaderboard",
    "look_ahead",
    "make_shard",
    "network_blends",
    "network_choice",
    "network_forecasts",
    "plan_backtest",
    "pooled_har",
    "read_backtest_plan",
    "read_exercise_text",
    "read_shards",
    "reproduce",
    "save_look_ahead",
    "studied_universe",
    "study_names",
    "train_exercises",
    "tunable",
    "tune",
]
