"""Another future: prices and corporate actions after a session, made different."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from pipeline.tables import ACTIONS, PRICE_COLUMNS

PERTURBATION_SEED = 11


def perturb_prices(
    prices: pd.DataFrame, after: dt.date, seed: int = PERTURBATION_SEED
) -> pd.DataFrame:
    """Return one ticker's prices with another bar for every session after `after`.

    A rise becomes a fall: closes are mirrored at the last one known, three times as high, with
    noise. Bars are wider and volumes differ. Missing cells stay missing, so that the same windows
    can be cut.

    Args:
        prices: PRICES or HISTORY.
    """
    later = (prices["session"] > pd.Timestamp(after)).to_numpy()
    count, random = int(later.sum()), np.random.default_rng(seed)
    table = prices.copy()
    if not count:
        return table
    close = table["close"].ffill().bfill().to_numpy()
    anchor = close[~later][-1] if (~later).any() else close[0]
    factor = 3 * (anchor / close[later]) ** 2 * np.exp(random.normal(0, 0.02, count))
    for name in [*PRICE_COLUMNS, *({"adj_close"} & set(table.columns))]:
        table.loc[later, name] *= factor
    table.loc[later, "high"] *= 1 + random.uniform(0, 0.03, count)
    table.loc[later, "low"] *= 1 - random.uniform(0, 0.03, count)
    table.loc[later, "volume"] *= np.exp(random.normal(1.5, 0.7, count))
    return table


def perturb_actions(
    actions: pd.DataFrame, ticker: str, sessions: pd.Series, after: dt.date
) -> pd.DataFrame:
    """Return the same ACTIONS up to a session; after it, a split and a dividend that never were.

    Args:
        sessions: of the ticker's prices; at least four are after `after`.
    """
    later = sessions[sessions > pd.Timestamp(after)].sort_values()
    invented = pd.DataFrame(
        {
            "ticker": ticker,
            "session": later.iloc[[1, 3]],
            "kind": ["split", "dividend"],
            "value": [3.0, 1.5],
        }
    )
    before = actions[actions["session"] <= pd.Timestamp(after)]
    return ACTIONS.conform(pd.concat([before, invented]))
