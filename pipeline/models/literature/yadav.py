"""S. Yadav's two networks: the LSTM layers that the FAST-NU report took over, and GRU layers.

The source looks for missing values first. That is no part of these recipes: all prices that are
trained on here have passed the quality checks.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.models.layers.recurrent import Stack
from pipeline.models.literature.fastnu import FASTNU_DEFAULT, FASTNU_UNITS
from pipeline.models.optimisation import DecayPerUpdate, Optimiser

YADAV_LSTM = replace(
    FASTNU_DEFAULT,
    name="yadav-lstm",
    summary="Four LSTM layers of 50 on 60 highs: what fastnu-default took over.",
    source="S. Yadav, Intro to Recurrent Neural Networks: LSTM and GRU",
    study="",
    tested=None,
    published={},
)
YADAV_GRU = replace(
    YADAV_LSTM,
    name="yadav-gru",
    summary="Four GRU layers of 50 on 60 highs, trained by SGD with momentum.",
    network=Stack(FASTNU_UNITS, dropout=0.2, cell="GRU"),
    optimiser=Optimiser("SGD", DecayPerUpdate(0.01, decay=1e-7), momentum=0.9),
    batch_size=150,
)

RECIPES = (YADAV_LSTM, YADAV_GRU)
