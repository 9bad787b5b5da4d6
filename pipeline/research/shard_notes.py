"""Notes on a shard of a backtest: all that its forecasts do not show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ShardNotes:
    """The remarks on a shard, kept next to it.

    Attributes:
        left_out: by ticker, why it has no forecasts.
        weights, baselines: by ticker, the network's share of the blend, and who has the rest.
        stood_in: by ticker, the cutoffs at which a statistical model could not be fitted, so that
            the EWMA random walk stands in for it.
        published, held_back: see `PublishedDays.kinds` and `held_back`.
    """

    left_out: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, str] = field(default_factory=dict)
    stood_in: Mapping[str, list[str]] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    held_back: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Encode the remarks as JSON."""
        return json.dumps(vars(self), indent=1).encode()

    @classmethod
    def decode(cls, data: bytes) -> ShardNotes:
        """Decode what `encode` wrote."""
        return cls(**json.loads(data))
