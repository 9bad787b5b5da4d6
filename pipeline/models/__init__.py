"""Models: the recipes, their networks, and the baselines that they must beat."""

from pipeline.models import har, statistical
from pipeline.models.baselines import BASELINES, EWMA, NAIVE, YARDSTICKS, FittedBaseline, linear
from pipeline.models.default import DEFAULT, AnchoredQuantiles, anchor_weights
from pipeline.models.har import HAR
from pipeline.models.har_features import Panel
from pipeline.models.har_medians import LINE_INPUTS
from pipeline.models.har_panels import panel_of
from pipeline.models.layers.recurrent import EMBEDDING, NUMBERING, Stack
from pipeline.models.network import Examples, Shape
from pipeline.models.optimisation import CrossEntropy, Loss, LossFunction, Optimiser, Pinball
from pipeline.models.pooled_har import STANDING, PooledHar, StockHar
from pipeline.models.recipe import (
    CPU,
    DEVICES,
    FAITHFUL,
    GPU,
    Exercise,
    ExerciseRecipe,
    FineTuning,
    OnePass,
    PriceRecipe,
    Recipe,
)
from pipeline.models.registry import FILES, PUBLISHED, RECIPES, Recipes
from pipeline.models.toys import characters

__all__ = [
    "BASELINES",
    "CPU",
    "DEFAULT",
    "DEVICES",
    "EMBEDDING",
    "EWMA",
    "FAITHFUL",
    "FILES",
    "GPU",
    "HAR",
    "LINE_INPUTS",
    "NAIVE",
    "NUMBERING",
    "PUBLISHED",
    "RECIPES",
    "STANDING",
    "YARDSTICKS",
    "AnchoredQuantiles",
    "CrossEntropy",
    "Examples",
    "Exercise",
    "ExerciseRecipe",
    "FineTuning",
    "FittedBaseline",
    "Loss",
    "LossFunction",
    "OnePass",
    "Optimiser",
    "Panel",
    "Pinball",
    "PooledHar",
    "PriceRecipe",
    "Recipe",
    "Recipes",
    "Shape",
    "Stack",
    "StockHar",
    "anchor_weights",
    "characters",
    "har",
    "linear",
    "panel_of",
    "statistical",
]
