"""Streaming three-way transaction reconciliation: the engine, its services and its command line."""

__version__ = "0.1.0"
