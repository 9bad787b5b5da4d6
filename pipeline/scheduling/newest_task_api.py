"""The API that Airflow's tasks ask, with those versions alone that tasks of this release need.

Airflow makes the routes of this API once for each version that a worker of an older release may ask
in: nine times, a fifth of what a run in one process takes. A task that runs in the very process
that answers it asks in the newest.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

VERSIONS = "airflow.api_fastapi.execution_api.versions"


def leave_out_old_versions() -> None:
    """Let this process make the API's routes for its newest versions only.

    The newest, and those from which it takes routes that it has itself no more. Call it before the
    API is made; afterwards it does nothing.
    """
    import cadwyn

    if VERSIONS in sys.modules:
        return
    bundle = cadwyn.VersionBundle

    def newest(head: Any, *versions: Any) -> Any:
        return bundle(head, *_newest_of(versions))

    cadwyn.VersionBundle = newest  # type: ignore[misc,assignment]
    try:
        importlib.import_module(VERSIONS)
    finally:
        cadwyn.VersionBundle = bundle  # type: ignore[misc]


def _newest_of(versions: Sequence[Any]) -> list[Any]:
    """Return the versions that are left, the newest first, as those that are given.

    The last changes nothing, as there is none before it.
    """
    import cadwyn

    restoring = [number for number, version in enumerate(versions) if _restores_routes(version)]
    last = max(restoring, default=-1) + 1
    return [*versions[:last], cadwyn.Version(versions[last].value)]


def _restores_routes(version: Any) -> bool:
    """Return whether the version before this one has routes that newer ones lack."""
    from cadwyn.structure.endpoints import EndpointExistedInstruction

    return any(
        isinstance(instruction, EndpointExistedInstruction)
        for change in version.changes
        for instruction in change.alter_endpoint_instructions
    )
