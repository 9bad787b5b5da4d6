"""Storage: the database of rows, the files beside it, and how both are named and encoded.

Each name is loaded when it is first used (PEP 562). The guard of the embedded PostgreSQL imports
this package and lives as long as the server: with pandas and SQLAlchemy it would hold 128 MB
instead of 15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.faces import loader_of

if TYPE_CHECKING:
    from pipeline.storage import dumps, embedded_postgres
    from pipeline.storage.artifacts import Artifacts
    from pipeline.storage.filters import Span
    from pipeline.storage.frames import arrow_types
    from pipeline.storage.naming import (
        content_digest,
        digest_of,
        first_line,
        pack_arrays,
        pack_table,
        unpack_arrays,
        unpack_table,
    )
    from pipeline.storage.price_revisions import PriceRevisions
    from pipeline.storage.schema import sql_metadata
    from pipeline.storage.store import Store
    from pipeline.storage.stored_files import (
        StoredFile,
        files_below,
        remove_empty_parents,
        remove_unused,
    )
else:
    #: The module of each name.
    _MODULES = {
        "Artifacts": "artifacts",
        "PriceRevisions": "price_revisions",
        "Span": "filters",
        "Store": "store",
        "StoredFile": "stored_files",
        "arrow_types": "frames",
        "content_digest": "naming",
        "digest_of": "naming",
        "files_below": "stored_files",
        "first_line": "naming",
        "pack_arrays": "naming",
        "pack_table": "naming",
        "remove_empty_parents": "stored_files",
        "remove_unused": "stored_files",
        "sql_metadata": "schema",
        "unpack_arrays": "naming",
        "unpack_table": "naming",
    }

    __getattr__ = loader_of(globals(), _MODULES)


__all__ = [
    "Artifacts",
    "PriceRevisions",
    "Span",
    "Store",
    "StoredFile",
    "arrow_types",
    "content_digest",
    "digest_of",
    "dumps",
    "embedded_postgres",
    "files_below",
    "first_line",
    "pack_arrays",
    "pack_table",
    "remove_empty_parents",
    "remove_unused",
    "sql_metadata",
    "unpack_arrays",
    "unpack_table",
]
