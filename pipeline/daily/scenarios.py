"""Step `scenarios`: draw joint paths of all stocks that the session is published for.

It is done where the settings ask for paths (`--paths`). The file is made again by the command of
the same name, with the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.daily.joint_forecasts import JointPaths, joint_paths
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.storage import content_digest, pack_table, unpack_table
from pipeline.tables import FORECASTS

if TYPE_CHECKING:
    from pipeline.daily.joint_forecasts import PublishedMargins
    from pipeline.parts import Parts

STEP = "scenarios"

log = logging.getLogger(__name__)


def scenarios(parts: Parts, run: Run) -> str:
    """Draw and store the session's paths; return where they are, "" where none are asked for."""
    paths = parts.settings.paths
    if not paths or parts.store.greatest(FORECASTS, "cutoff", **run.key) is None:
        return ""
    return store_paths(parts, run.key, paths)


def store_paths(parts: Parts, key: Mapping[str, object], paths: int) -> str:
    """Draw and store joint paths of a published session; return where they are.

    Raises:
        NothingStored: see `joint_paths`.
    """
    drawn = joint_paths(parts, key, paths)
    for remark in drawn.remarks():
        parts.progress(STEP, "", remark)
    name = paths_file(key)
    parts.artifacts.write(name, pack_table(paths_table(drawn)))
    tickers, horizon = counted(len(drawn.margins.tickers), "ticker"), drawn.margins.horizon
    ahead = counted(horizon, "session")
    address = parts.artifacts.url(name)
    parts.progress(STEP, "", f"{paths} joint paths of {tickers}, {ahead} ahead: {address}")
    return address


def paths_file(key: Mapping[str, object]) -> str:
    """Return the artifact with a session's joint paths.

    Args:
        key: universe, recipe, target, cutoff.
    """
    return f"scenarios/{key['universe']}/{key['cutoff']}-{key['recipe']}-{key['target']}.parquet"


def paths_table(drawn: JointPaths) -> pd.DataFrame:
    """Return JOINT_PATHS; `attrs` has what they were drawn from."""
    margins, (paths, stocks, horizon) = drawn.margins, drawn.values.shape
    tickers = pd.Series(margins.tickers, dtype="str").repeat(horizon * paths)
    # In the order of the key as it is: sorting two million rows takes longer than drawing them.
    table = pd.DataFrame(
        {
            "ticker": tickers.reset_index(drop=True),
            "horizon": np.tile(np.repeat(np.arange(1, horizon + 1), paths), stocks),
            "session": np.tile(np.repeat(margins.sessions, paths), stocks),
            "path": np.tile(np.arange(paths), stocks * horizon),
            "value": drawn.values.transpose(1, 2, 0).ravel(),
        }
    )
    table.attrs = {"forecasts": _digest(margins), "remarks": drawn.remarks()}
    return table


def stored_paths(parts: Parts, margins: PublishedMargins) -> np.ndarray | None:
    """Return the stored paths (M, S, H) of what stands of a session.

    Returns:
        None where there are none, where the file is damaged, or where other forecasts stood when
        they were drawn.
    """
    name = paths_file(margins.key)
    if not parts.artifacts.exists(name):
        return None
    try:
        table = unpack_table(parts.artifacts.read(name))
    except (ValueError, OSError):  # what Parquet's reader raises of a damaged file
        log.warning(
            "%s is damaged. `stockcast scenarios` makes it again.", parts.artifacts.url(name)
        )
        return None
    if table.attrs.get("forecasts") != _digest(margins):
        return None
    values = table["value"].to_numpy("float64")
    stocks, horizon = len(margins.tickers), margins.horizon
    drawn: np.ndarray = values.reshape(stocks, horizon, -1).transpose(2, 0, 1)
    return drawn


def _digest(margins: PublishedMargins) -> str:
    """Return a digest of the forecasts that paths are drawn of."""
    names = "\n".join([*margins.tickers, *map(str, margins.probabilities)]).encode()
    return content_digest(names + margins.quantiles.tobytes() + margins.last.tobytes())
