"""Serving: a stock's champion as a model of its own, which takes price rows and needs no store."""

from pipeline.serving.served_forecast import EXAMPLE_FILE, SERVED_FILE, ServedForecast, example_of

__all__ = ["EXAMPLE_FILE", "SERVED_FILE", "ServedForecast", "example_of"]
