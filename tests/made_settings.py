"""Settings of a made environment."""

import os
from collections.abc import Mapping
from typing import Any
from unittest import mock

from pipeline.settings import Settings


def settings_of(variables: Mapping[str, str], **flags: Any) -> Settings:
    """Return the settings of a process that has only these environment variables."""
    with mock.patch.dict(os.environ, variables, clear=True):
        return Settings(**flags)
