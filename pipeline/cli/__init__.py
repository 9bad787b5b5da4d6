"""Command line: the commands of `stockcast`, their flags, and what they print."""

from pipeline.cli.main import main

__all__ = ["main"]
