"""A daily stock forecast: ingest, check, build windows, train, evaluate, promote, publish, score, report."""

__version__ = "0.1.0"
