"""Rows of tables as dictionaries, typed once."""

from __future__ import annotations

from typing import Any

import pandas as pd


def row_dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows by column name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
