"""The quick day that the days' tests share."""

from tests.daily.conftest import done, quick_original

__all__ = ["done", "quick_original"]
