"""Restatements: a source's new report of old bars, compared with what is stored of them.

A file that is downloaded again after a split, or after a dividend where its prices are adjusted for
them, has all its bars on a new level. Pure: tables in, tables and words out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from pipeline.arrays import Bools, Floats
from pipeline.tables import OHLCV, PRICE_COLUMNS, PRICES

#: `volume` of a bar, without any price, that the source has had and no longer has.
TAKEN_BACK_VOLUME = -1.0
#: Prices that differ by less, as a fraction, differ by the rounding of their last digit.
ROUNDING = 1e-4
#: How far prices may be from one common factor, as rounded cents are after a split.
FACTOR_TOLERANCE = 0.01
#: The share of restated prices that have to have a factor in common.
COMMON_SHARE = 0.8
#: Bars at which a report begins that tell whether it is on another level than what is stored.
FIRST_BARS = 5
#: A factor this close to a ratio of small numbers is written as one, such as 4:1.
RATIO_TOLERANCE = 5e-4
LARGEST_DENOMINATOR = 5


@dataclass(frozen=True)
class Restatement:
    """A source's change of what is stored of one ticker.

    Attributes:
        changed: stored bars that the source has with other numbers.
        stored: all stored bars up to the session.
        first, last: the first and the last changed session.
        factor: the prices before over those now; None: they have no factor in common.
        taken_back: stored bars that the source no longer has.
        kept: those that stay all the same, as the source begins later or ends earlier today.
    """

    changed: int
    stored: int
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    factor: float | None
    taken_back: int
    kept: int

    def __str__(self) -> str:
        parts = []
        if self.changed:
            how = "corrected" if self.factor is None else f"restated by {_factor_text(self.factor)}"
            days = f"({self.first:%Y-%m-%d})"
            if self.first != self.last:
                days = f"from {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}"
            parts.append(f"{self.changed} of {self.stored} stored bars {how} {days}")
        if self.taken_back:
            parts.append(
                f"{self.taken_back} of {self.stored} stored bars taken back, which the source no "
                "longer has"
            )
        if self.kept:
            parts.append(f"{self.kept} older or newer than all that it has now are kept")
        return "; ".join(parts)


def _factor_text(factor: float) -> str:
    """Return prices before over prices now as a ratio, or as what they are multiplied by."""
    ratio = Fraction(factor).limit_denominator(LARGEST_DENOMINATOR)
    inverse = Fraction(1 / factor).limit_denominator(LARGEST_DENOMINATOR)
    for exact, before, now in (
        (float(ratio), ratio.numerator, ratio.denominator),
        (1 / float(inverse) if inverse else 0.0, inverse.denominator, inverse.numerator),
    ):
        if before != now and abs(exact / factor - 1) < RATIO_TOLERANCE:
            return f"{before}:{now}"
    return f"a factor of {1 / factor:.4g}"


def common_factor(before: Floats, now: Floats) -> float | None:
    """Return the factor that most of two aligned columns of prices differ by, before over now.

    None: there are no prices, they have no factor in common, or it is 1.
    """
    ratios = _log_ratios(before, now)
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios):
        return None
    middle = float(np.median(ratios))
    if abs(middle) < ROUNDING or _alike(ratios, middle).mean() < COMMON_SHARE:
        return None
    return float(np.exp(middle))


def basis_factor(before: Floats, now: Floats) -> float:
    """Return how a forecast's level of prices compares with that of the prices as known now.

    Args:
        before: prices of the last sessions up to the cutoff, as they were known to the forecast.
        now: the same sessions' as they are known now.

    Returns:
        The price of the cutoff before over now, where the prices up to it are restated by that
        factor. 1: its price stands, or it alone was corrected. NaN: a part of the prices was
        restated, so the forecast was made from prices on two levels.
    """
    ratios = _log_ratios(before, now)
    if not len(ratios) or not np.isfinite(ratios[-1]):
        return float("nan") if len(ratios) else 1.0
    at_cutoff = float(ratios[-1])
    if abs(at_cutoff) < ROUNDING:
        return 1.0
    alike = _alike(ratios[np.isfinite(ratios)], at_cutoff)
    if alike.mean() >= COMMON_SHARE:
        return float(np.exp(at_cutoff))
    return 1.0 if alike.sum() == 1 else float("nan")


def _log_ratios(before: Floats, now: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = np.log(np.asarray(before, "float64") / np.asarray(now, "float64"))
    return ratios


def _alike(ratios: Floats, middle: float) -> Bools:
    """Return True where a ratio's logarithm is this one but for rounding."""
    close: Bools = np.abs(ratios - middle) <= min(FACTOR_TOLERANCE, abs(middle) / 2)
    return close


def is_behind(stored: pd.DataFrame, reported: pd.DataFrame) -> bool:
    """Return whether a report of a ticker's newest bars says that older ones have changed, too.

    It does where two or more bars that are stored, or the only one, differ by one factor: a lone
    bar is corrected for itself.

    Args:
        stored, reported: PRICES of one ticker, which overlap.
    """
    ratios = _log_ratios(*_closes(_overlap(stored, reported)))
    ratios = ratios[np.isfinite(ratios)]
    differing = ratios[np.abs(ratios) >= ROUNDING]
    if not len(differing) or len(differing) < min(2, len(ratios)):
        return False
    return bool(_alike(differing, float(np.median(differing))).all())


def absent_bars(stored: pd.DataFrame, reported: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the stored bars that a whole report of one ticker no longer has.

    A bar between the first and the last that it reports is taken back. One before or after them is
    kept, since a file of the newest sessions alone is a shorter look at the same history; but where
    what it reports is on a new level of prices, none before can stay on the old one.

    Args:
        stored: PRICES.
        reported: PRICES, all that the source has up to the session.

    Returns:
        PRICES of those taken back, as they are stored from now on; how many others are kept.
    """
    absent = stored[~stored["session"].isin(reported["session"])]
    if absent.empty or reported.empty:
        return PRICES.empty(), len(absent)
    begin, end = reported["session"].min(), reported["session"].max()
    if _begins_on_new_level(stored, reported):
        begin = absent["session"].min()
    gone = absent[absent["session"].between(begin, end)]
    taken_back = gone.assign(**dict.fromkeys(PRICE_COLUMNS, np.nan), volume=TAKEN_BACK_VOLUME)
    return PRICES.conform(taken_back), len(absent) - len(gone)


def _begins_on_new_level(stored: pd.DataFrame, reported: pd.DataFrame) -> bool:
    both = _overlap(stored, reported).head(FIRST_BARS)
    return len(both) > 1 and common_factor(*_closes(both)) is not None


def _overlap(stored: pd.DataFrame, reported: pd.DataFrame) -> pd.DataFrame:
    """Return the bars that both have, in their order: the stored columns, and those with "_now"."""
    return stored.merge(reported, on="session", suffixes=("", "_now"))


def _closes(both: pd.DataFrame) -> tuple[Floats, Floats]:
    return both["close"].to_numpy("float64"), both["close_now"].to_numpy("float64")


def _changes(stored: pd.DataFrame, reported: pd.DataFrame) -> tuple[pd.DataFrame, float | None]:
    """Return the bars that have other numbers now, and the factor of their prices, if they have."""
    both = _overlap(stored, reported)
    before, now = (both[[f"{name}{end}" for name in OHLCV]].to_numpy() for end in ("", "_now"))
    same = (before == now) | (np.isnan(before) & np.isnan(now))
    changed = both[~same.all(axis=1)]
    return changed, common_factor(*_closes(changed)) if len(changed) > 1 else None


def restatement(
    stored: pd.DataFrame, reported: pd.DataFrame, taken_back: int = 0, kept: int = 0
) -> Restatement | None:
    """Return what a report changes of what is stored of one ticker; None: nothing.

    Args:
        stored, reported: PRICES of one ticker.
        taken_back, kept: see `Restatement`.
    """
    changed, factor = _changes(stored, reported)
    if changed.empty and not taken_back:
        return None
    first, last = changed["session"].min(), changed["session"].max()
    return Restatement(len(changed), len(stored), first, last, factor, taken_back, kept)


def without_taken_back(bars: pd.DataFrame) -> pd.DataFrame:
    """Return PRICES, or PRICE_REVISIONS, without the bars that their source has taken back."""
    marked = bars["volume"].to_numpy() == TAKEN_BACK_VOLUME
    if not marked.any():
        return bars
    kept: pd.DataFrame = bars[~(marked & np.isnan(bars[PRICE_COLUMNS].to_numpy()).all(axis=1))]
    return kept
