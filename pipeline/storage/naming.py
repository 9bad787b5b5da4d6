"""Names and formats of stored files: one digest, and one codec for each kind of file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.npz import read_arrays

#: Hexadecimal digits that name a content: 128 bits, which no two contents share.
CONTENT_DIGITS = 32
#: Hexadecimal digits that name a set of plain values.
VALUE_DIGITS = 16


def digest_of(values: object, digits: int = VALUE_DIGITS) -> str:
    """Return a hash of JSON values; dictionaries count by their content, not by their order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:digits]


def content_digest(data: bytes, digits: int = CONTENT_DIGITS) -> str:
    """Return the hash that names these bytes."""
    return hashlib.sha256(data).hexdigest()[:digits]


def pack_arrays(about: object, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encode JSON values and arrays by name as one npz file; equal contents give equal bytes."""
    file = io.BytesIO()
    header = json.dumps(about, sort_keys=True).encode()
    named: dict[str, Any] = {"about": np.frombuffer(header, dtype="uint8"), **arrays}
    np.savez(file, **named)
    return file.getvalue()


def unpack_arrays(data: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """Decode what `pack_arrays` wrote: the JSON values, and the arrays by name.

    Raises:
        zipfile.BadZipFile, ValueError: they are not the bytes of such a file.
    """
    arrays = read_arrays(data)
    return json.loads(arrays.pop("about").tobytes()), arrays


def pack_table(table: pd.DataFrame) -> bytes:
    """Encode a table as Parquet."""
    file = io.BytesIO()
    table.to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def unpack_table(data: bytes) -> pd.DataFrame:
    """Decode a table from Parquet."""
    return pd.read_parquet(io.BytesIO(data), engine="pyarrow")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop, or the error's class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
