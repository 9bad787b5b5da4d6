"""Recipes of published sources, one file a source."""
