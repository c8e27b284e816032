"""Faithful single-image super-resolution with WDSR."""

__version__ = "0.1.0.dev0"
