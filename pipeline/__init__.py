"""A daily stock forecast.

Its steps: ingest, check, build windows, train, evaluate, promote, publish, score and report.
"""

__version__ = "0.1.0"
