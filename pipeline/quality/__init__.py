"""Quality: the gate that prices and forecasts must pass."""

from pipeline.quality.gate import Gate
from pipeline.quality.quarantine import WHOLE_TICKER, GateVerdict, on_one_day

__all__ = [
    "WHOLE_TICKER",
    "Gate",
    "GateVerdict",
    "on_one_day",
]
