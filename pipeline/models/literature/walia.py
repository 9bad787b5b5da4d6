"""M. Walia's four layers on three quarters of a history.

What the source leaves open is as in FAST-NU's report, which cites it.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.models.literature.fastnu import FASTNU_DEFAULT
from pipeline.windows import Fraction, Split

WALIA = replace(
    FASTNU_DEFAULT,
    name="walia",
    summary="Four LSTM layers of 50, the newest quarter for the test; else as fastnu-default.",
    source="M. Walia, as cited by FAST-NU",
    split=Split(test=Fraction(0.25)),
    study="",
    tested=None,
    published={},
)

RECIPES = (WALIA,)
