"""Quality: the gate that prices and forecasts must pass."""

from pipeline.quality.gate import Gate
from pipeline.quality.quarantine import (
    BASIS_RULES,
    GONE,
    REPAIRED,
    WHOLE_TICKER,
    GateVerdict,
    on_one_day,
)

__all__ = [
    "BASIS_RULES",
    "GONE",
    "REPAIRED",
    "WHOLE_TICKER",
    "Gate",
    "GateVerdict",
    "on_one_day",
]
