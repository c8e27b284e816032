"""Holds the version of widesr, which is written nowhere else."""

__version__ = "0.1.0.dev0"
