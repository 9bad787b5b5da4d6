"""Seals: a digest at the end of a derived file, by which a damaged or cut one is noticed.

The seal is a line of its own. In a zip archive, as `.npz` and `.keras` files are, it is the
archive's comment, so that any program opens the file as before; the others are for people to look
at, or for this program alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile

#: What a seal begins with; the digest in hexadecimal and a line's end follow.
_MARK = b"\n# sha256 "
_DIGITS = hashlib.sha256().digest_size * 2
_SEAL_LENGTH = len(_MARK) + _DIGITS + 1
#: The record that ends a zip archive without a comment: its signature and its length.
_ZIP_END, _ZIP_END_LENGTH = b"PK\x05\x06", 22
_NO_COMMENT = b"\x00\x00"


def sealed(data: bytes) -> bytes:
    """Return the bytes with their seal."""
    if _ends_as_zip(data) and data.endswith(_NO_COMMENT):
        return data[: -len(_NO_COMMENT)] + struct.pack("<H", _SEAL_LENGTH) + _seal_of(data)
    return data + _seal_of(data)


def unsealed(data: bytes) -> bytes | None:
    """Return the bytes that were sealed; None: the file is damaged, or part of it is missing.

    A file without a seal was written by a version of this program that made none. It counts where
    its own format shows that it is whole, as networks take hours to train again: an archive with
    its checksums, JSON that can be read to its end. All else is quickly made again.
    """
    content, seal = data[:-_SEAL_LENGTH], data[-_SEAL_LENGTH:]
    if seal.startswith(_MARK):
        candidates = [content]
        if _ends_as_zip(content):
            candidates.append(content[: -len(_NO_COMMENT)] + _NO_COMMENT)
        return next((each for each in candidates if _seal_of(each) == seal), None)
    return data if _is_whole_zip(data) or _is_json(data) else None


def _seal_of(data: bytes) -> bytes:
    return _MARK + hashlib.sha256(data).hexdigest().encode() + b"\n"


def _ends_as_zip(data: bytes) -> bool:
    return data[-_ZIP_END_LENGTH:].startswith(_ZIP_END)


def _is_whole_zip(data: bytes) -> bool:
    if not (_ends_as_zip(data) and data.endswith(_NO_COMMENT)):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, RuntimeError, NotImplementedError):
        return False


def _is_json(data: bytes) -> bool:
    if not data.startswith((b"{", b"[")):
        return False
    try:
        json.loads(data)
    except ValueError:
        return False
    return True
