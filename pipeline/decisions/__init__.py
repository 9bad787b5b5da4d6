"""Decisions: the worth of forecasters, the one that is published, and its weight."""

from pipeline.decisions import blending, promotion
from pipeline.decisions.champion_forecast import ChampionForecast, published_columns
from pipeline.decisions.choice import (
    Choice,
    ChoiceReplay,
    Contestant,
    Observed,
    choice_identity,
    choose,
    decode_choice,
    decode_replay,
    encode_choice,
    encode_replay,
    standing,
)
from pipeline.decisions.choice_measures import ChoiceMeasures, calibrated_tests
from pipeline.decisions.evaluation import (
    EvaluationSet,
    ModelForecasts,
    SplitForecasts,
    calibrated,
    calibrated_test,
    evaluate,
    prediction_rows,
    quantiles_of,
    spread_of,
    stored_precision,
)
from pipeline.decisions.publication import (
    Publication,
    promotion_rows,
    publication,
)

__all__ = [
    "ChampionForecast",
    "Choice",
    "ChoiceMeasures",
    "ChoiceReplay",
    "Contestant",
    "EvaluationSet",
    "ModelForecasts",
    "Observed",
    "Publication",
    "SplitForecasts",
    "blending",
    "calibrated",
    "calibrated_test",
    "calibrated_tests",
    "choice_identity",
    "choose",
    "decode_choice",
    "decode_replay",
    "encode_choice",
    "encode_replay",
    "evaluate",
    "prediction_rows",
    "promotion",
    "promotion_rows",
    "publication",
    "published_columns",
    "quantiles_of",
    "spread_of",
    "standing",
    "stored_precision",
]
