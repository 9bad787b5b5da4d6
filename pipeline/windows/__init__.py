"""Windows: from a price history to the examples that networks learn from, and back to prices."""

from pipeline.windows import dividends
from pipeline.windows.anchors import with_anchors
from pipeline.windows.cutting import cut_windows, last_learnt_row, surely_trainable
from pipeline.windows.dataset import Dataset, Windows
from pipeline.windows.dataset_file import (
    StoredHistory,
    TargetSeries,
    decode,
    encode,
    first_test_session,
    load_dataset,
    target_series,
    training_part,
)
from pipeline.windows.dividends import LARGE_DIVIDEND, LEAST_SHOWN, steps_of
from pipeline.windows.min_max import BlockMinMax, MinMax
from pipeline.windows.newest_part import NewestPart
from pipeline.windows.normalisation import (
    ByHar,
    ByVolatility,
    FirstValue,
    LastClose,
    Normalisation,
    PreviousWindow,
    Unscaled,
)
from pipeline.windows.replays import (
    ReplayEnd,
    live_part,
    load_replay,
    replay_end,
)
from pipeline.windows.rolling import (
    SEQUENCE_LENGTH,
    Course,
    LookAhead,
    Predict,
    followed,
    look_ahead,
    roll_forward,
    rolling,
)
from pipeline.windows.spec import Spec, Windowing
from pipeline.windows.stretches import Stretch, load_stretch
from pipeline.windows.train_test_splits import (
    Fraction,
    LastYear,
    Newest,
    RowFraction,
    Since,
    Split,
)
from pipeline.windows.volatility import LOWEST_VOLATILITY, exponentially_weighted

__all__ = [
    "LARGE_DIVIDEND",
    "LEAST_SHOWN",
    "LOWEST_VOLATILITY",
    "SEQUENCE_LENGTH",
    "BlockMinMax",
    "ByHar",
    "ByVolatility",
    "Course",
    "Dataset",
    "FirstValue",
    "Fraction",
    "LastClose",
    "LastYear",
    "LookAhead",
    "MinMax",
    "Newest",
    "NewestPart",
    "Normalisation",
    "Predict",
    "PreviousWindow",
    "ReplayEnd",
    "RowFraction",
    "Since",
    "Spec",
    "Split",
    "StoredHistory",
    "Stretch",
    "TargetSeries",
    "Unscaled",
    "Windowing",
    "Windows",
    "cut_windows",
    "decode",
    "dividends",
    "encode",
    "exponentially_weighted",
    "first_test_session",
    "followed",
    "last_learnt_row",
    "live_part",
    "load_dataset",
    "load_replay",
    "load_stretch",
    "look_ahead",
    "replay_end",
    "roll_forward",
    "rolling",
    "steps_of",
    "surely_trainable",
    "target_series",
    "training_part",
    "with_anchors",
]
