"""Quality: the gate that prices and forecasts must pass."""

from pipeline.quality.gate import Gate
from pipeline.quality.quarantine import GateVerdict, on_one_day

__all__ = [
    "Gate",
    "GateVerdict",
    "on_one_day",
]
