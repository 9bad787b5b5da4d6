"""A daily stock forecast.

Its steps: ingest, check, build windows, train, evaluate, promote, publish, score and report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.faces import loader_of

if TYPE_CHECKING:
    from pipeline.client import forecasts
else:
    # What others may use of the package; a room is imported when it is first asked for.
    __getattr__ = loader_of(globals(), {"forecasts": "client"})

__all__ = ["__version__", "forecasts"]
__version__ = "0.2.0"
