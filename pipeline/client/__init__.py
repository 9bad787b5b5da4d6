"""The Python client: what has been published, as a table, from the store or over the pages' API."""

from pipeline.client.published_forecasts import forecasts

__all__ = ["forecasts"]
