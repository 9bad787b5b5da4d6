"""Python's search for garbage, which every program of this project makes rarer when it begins.

What is imported makes some hundred thousand objects that stay, and by default Python looks through
all of them again and again meanwhile: a fifth of the time that Airflow's API takes to be imported,
a sixth of TensorFlow's.
"""

from __future__ import annotations

import gc

#: New objects between two searches; searches between two of older objects; of those between two of
#: all. Python's own are 700, 10 and 10.
THRESHOLDS = (50_000, 20, 100)


def search_rarely() -> None:
    """Let this process search for garbage less often. Call it before what takes long to import."""
    gc.set_threshold(*THRESHOLDS)
