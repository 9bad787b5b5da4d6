"""Layers that several recipes build on."""
