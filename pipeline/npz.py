"""Arrays in files of numpy's (npz) whose members are not compressed, read without numpy's own way.

It takes a fifth of the time of `np.load`: a file of a stock has some twenty small arrays.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.arrays import Array

#: Bytes of the header of a member of a zip file, and where the size of its name stands there.
LOCAL_HEADER, NAME_SIZE_AT = 30, 26
#: Where the size of its header stands in an array's file (npy, version 1), just before the header.
HEADER_SIZE_AT = 8


def read_arrays(data: bytes) -> dict[str, Array]:
    """Return the arrays of a file by name; none is a pickle.

    Raises:
        zipfile.BadZipFile, ValueError, struct.error: they are not the bytes of such a file.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = file.infolist()
    return {each.filename.removesuffix(".npy"): _array(data, each) for each in members}


def _array(data: bytes, member: zipfile.ZipInfo) -> Array:
    """Return an array of a file whose members are not compressed."""
    name_size, extra_size = struct.unpack_from("<HH", data, member.header_offset + NAME_SIZE_AT)
    begin = member.header_offset + LOCAL_HEADER + name_size + extra_size
    if zlib.crc32(memoryview(data)[begin : begin + member.file_size]) != member.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {member.filename!r}")
    (header_size,) = struct.unpack_from("<H", data, begin + HEADER_SIZE_AT)
    values_begin = begin + HEADER_SIZE_AT + 2 + header_size
    shape, in_columns, dtype = _layout(data[begin:values_begin])
    values = np.frombuffer(data, dtype, math.prod(shape), values_begin)
    return values.reshape(shape, order="F" if in_columns else "C").copy("K")


@lru_cache(maxsize=1024)
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape of an array, whether it is stored by columns, and its type."""
    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    layout: tuple[tuple[int, ...], bool, np.dtype[Any]]
    layout = np.lib.format.read_array_header_1_0(file)
    return layout
