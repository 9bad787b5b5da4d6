"""Empty stores: migrated once per process, then copied, as that is most of opening a new one."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from pipeline.storage import Store


def store_in(folder: Path) -> str:
    """Return the URL of the store in a folder, made there unless there is one."""
    file = folder / "store.db"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_empty_store())
    return f"sqlite:///{file}"


@cache
def _empty_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        Store.open(f"sqlite:///{file}").close()
        return file.read_bytes()
