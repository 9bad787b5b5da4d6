"""Repair of bars on another basis: brought to that of the newest bar, for who reads them.

Nothing stored changes. Only what cannot be a move, and leaves no doubt which side is right, is
repaired: a ticker is, where all its changes of basis (see `price_basis`) are by a currency's
subunit, or by the ratio of a split that went ex at the time. The newest bar always stays as the
source gives it, so a forecast is in the source's own prices.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.prices.adjustment import adjust, dividend_shares
from pipeline.prices.masking import mask
from pipeline.prices.price_basis import LEAST_CHANGE, basis_changes
from pipeline.prices.restating import without_taken_back
from pipeline.tables import ACTIONS, PRICE_COLUMNS

#: Pence for pounds, cents for rand.
SUBUNIT = 100.0
#: Days before a split's ex-date within which a change by its ratio is taken for the split.
SPLIT_DAYS = 30
#: Sessions after which a unit that has not been taken back is the source's: Yahoo has repaired such
#: blocks after weeks.
LASTING_SESSIONS = 60
#: Decimal places of a product of ratios: 49 times 1/49 is not quite 1.
FACTOR_DIGITS = 9


@dataclass(frozen=True, eq=False)
class Repaired:
    """Bars, and what of them was brought to another basis.

    Attributes:
        bars: PRICES or PRICE_REVISIONS.
        blocks: ticker, first and last session, number of `bars`, the `factor` that they were
            multiplied by, and the `basis` that they were on, in words.
    """

    bars: pd.DataFrame
    blocks: pd.DataFrame


def repaired(bars: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date) -> Repaired:
    """Return bars up to a cutoff, all on one basis where that is beyond doubt.

    Args:
        bars: PRICES or PRICE_REVISIONS of any number of tickers.
        actions: ACTIONS; likewise.
    """
    mended, blocks = bars, [_NO_BLOCKS]
    for ticker in _changing(bars, actions, cutoff):
        own = bars["ticker"] == ticker
        factors, found = _factors(bars[own], actions[actions["ticker"] == ticker], cutoff)
        if found.empty:
            continue
        mended = mended.copy() if mended is bars else mended
        for name in PRICE_COLUMNS:
            mended.loc[own, name] *= factors
        blocks.append(found)
    return Repaired(mended, pd.concat(blocks, ignore_index=True))


def _changing(bars: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date) -> list[str]:
    """Return the tickers whose prices change their basis up to a cutoff.

    Most of those that may turn out not to: all are looked at together, in a tenth of the time.
    """
    doubtful = _doubtful(bars, actions)
    if len(doubtful) < 2:
        return doubtful
    own, own_actions = (table[table["ticker"].isin(doubtful)] for table in (bars, actions))
    return sorted(_changes(_single(own), own_actions, cutoff)["ticker"].unique())


def _single(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the bars that have not been taken back, one of a session."""
    return without_taken_back(bars).drop_duplicates(["ticker", "session"], keep="last")


def unsettled(
    bars: pd.DataFrame, actions: pd.DataFrame, cutoffs: Sequence[dt.date]
) -> dict[str, list[dt.date]]:
    """Return by repaired ticker the evenings on which its bars were on two bases, not yet repaired.

    The day holds a ticker back on those.

    Args:
        bars, actions: see `repaired`; what is of later sessions than the last cutoff counts only
            for which tickers are repaired.
        cutoffs: the evenings that are asked about.
    """
    newest = bars["session"].max().date() if len(bars) else dt.date.min
    found: dict[str, list[dt.date]] = {}
    for ticker in repaired(bars, actions, newest).blocks["ticker"].unique():
        own, own_actions = (table[table["ticker"] == ticker] for table in (bars, actions))
        found[ticker] = [each for each in cutoffs if not _is_settled(own, own_actions, each)]
    return found


def _is_settled(bars: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date) -> bool:
    """Return whether a ticker's bars up to a cutoff are on one basis, or are brought to it."""
    seen, known = (table[table["session"] <= pd.Timestamp(cutoff)] for table in (bars, actions))
    if not _doubtful(seen, known):
        return True
    single = _single(seen)
    return _changes(single, known, cutoff).empty or not _factors(seen, known, cutoff)[1].empty


_NO_BLOCKS = pd.DataFrame(
    {
        "ticker": pd.Series(dtype="str"),
        "first": pd.Series(dtype="datetime64[s]"),
        "last": pd.Series(dtype="datetime64[s]"),
        "bars": pd.Series(dtype="int64"),
        "factor": pd.Series(dtype="float64"),
        "basis": pd.Series(dtype="str"),
    }
)


def _doubtful(bars: pd.DataFrame, actions: pd.DataFrame) -> list[str]:
    """Return the tickers that may have a change of basis.

    Most have none, which their closes show without adjusting and masking them.
    """
    key = ["ticker", "session"]
    known = bars.loc[bars["close"] > 0, [*key, "close"]].sort_values(key)
    splits = actions[(actions["kind"] == "split") & (actions["value"] != 0)]
    known = (
        known.merge(splits[[*key, "value"]].drop_duplicates(key), on=key, how="outer")
        if len(splits)
        else known.assign(value=1.0)  # a tenth of the time
    )
    same = (known["ticker"] == known["ticker"].shift()).to_numpy()
    ratios = known["close"] / known["close"].shift() * known["value"].fillna(1)
    # A split on a day without a bar leaves a gap in the closes.
    jumps = same & ~ratios.between(1 / LEAST_CHANGE, LEAST_CHANGE).to_numpy()
    return sorted({*known.loc[jumps, "ticker"]} & {*bars["ticker"]})


def _factors(
    bars: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date
) -> tuple[Floats, pd.DataFrame]:
    """Return the factor of each bar of a ticker, and its blocks; see `Repaired`."""
    untouched = np.ones(len(bars)), _NO_BLOCKS
    single = _single(bars)
    changes = _changes(single, actions, cutoff)
    sessions = single["session"].sort_values().reset_index(drop=True)
    if changes.empty or not _is_beyond_doubt(changes, actions, sessions):
        return untouched
    factors = _to_newest(bars["session"], changes)
    columns = {name: bars[name] * factors for name in PRICE_COLUMNS}
    if not _changes(bars.assign(**columns).loc[single.index], actions, cutoff).empty:
        return untouched
    return factors, _blocks(str(bars["ticker"].iloc[0]), sessions, changes)


def _changes(bars: pd.DataFrame, actions: pd.DataFrame, cutoff: dt.date) -> pd.DataFrame:
    """Return the changes of basis of any number of tickers: ticker, session, ratio, basis."""
    actions = ACTIONS.conform(actions[actions["value"] != 0]).sort_values(["ticker", "session"])
    splits = actions[actions["kind"] == "split"]
    history = mask(adjust(bars, splits, cutoff))
    by_row = pd.Series(np.nan, history.index)
    for ticker, paid in actions[actions["kind"] == "dividend"].groupby("ticker"):
        own = history[history["ticker"] == ticker]
        shares = dividend_shares(own, paid, splits[splits["ticker"] == ticker])
        by_session = pd.Series(shares.to_numpy(), paid["session"])
        by_row[own.index] = own["session"].map(by_session[by_session < 1])
    return basis_changes(history, by_row, splits)[["ticker", "session", "ratio", "basis"]]


def _is_beyond_doubt(changes: pd.DataFrame, actions: pd.DataFrame, sessions: pd.Series) -> bool:
    """Return whether each change is a subunit's or a split's, and the newest bars are right.

    They are where the oldest bars are on the same basis, where they are those after a split, or
    where they have been on theirs for `LASTING_SESSIONS`.
    """
    splits = actions[(actions["kind"] == "split") & (actions["value"] != 0)]
    by_split = [
        _is_of_split(session, ratio, splits)
        for session, ratio in zip(changes["session"], changes["ratio"], strict=True)
    ]
    by_unit = np.isclose(np.abs(np.log(changes["ratio"])), np.log(SUBUNIT))
    if not (by_unit | by_split).all():
        return False
    returns = round(float(np.prod(changes["ratio"].to_numpy())), FACTOR_DIGITS) == 1
    since = int((sessions >= changes["session"].iloc[-1]).sum())
    return returns or by_split[-1] or since >= LASTING_SESSIONS


def _is_of_split(session: pd.Timestamp, ratio: float, splits: pd.DataFrame) -> bool:
    """Return whether a change is by the ratio of a split that goes ex soon after it."""
    sizes = np.abs(np.log(splits["value"].to_numpy("float64")))
    days = (splits["session"] - session).dt.days.to_numpy()
    fits = np.isclose(sizes, abs(np.log(ratio))) & (days >= 0) & (days <= SPLIT_DAYS)
    return bool(fits.any())


def _to_newest(sessions: pd.Series, changes: pd.DataFrame) -> Floats:
    """Return the factor that brings the bar of each session to the basis of the newest."""
    factors = np.ones(len(sessions))
    for session, ratio in zip(changes["session"], changes["ratio"], strict=True):
        factors[(sessions < session).to_numpy()] *= ratio
    return factors.round(FACTOR_DIGITS)


def _blocks(ticker: str, sessions: pd.Series, changes: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each run of sessions with one factor other than 1."""
    factors = _to_newest(sessions, changes)
    numbers = np.concatenate([[0], np.cumsum(np.diff(factors) != 0)])
    rows = []
    for number in np.unique(numbers[factors != 1]):
        block = sessions[numbers == number]
        # The change at which a block ends is the one that leads away from its basis.
        ends = changes[changes["session"] > block.iloc[-1]].iloc[0]
        rows.append(
            {
                "ticker": ticker,
                "first": block.iloc[0],
                "last": block.iloc[-1],
                "bars": len(block),
                "factor": float(factors[numbers == number][0]),
                "basis": f"{ends['session'].date()} {ends['basis']}",
            }
        )
    return pd.DataFrame(rows).astype(_NO_BLOCKS.dtypes.to_dict())
