"""Grids of training runs and what they found. Needs the `train` extra."""

from pathlib import Path

STUDIES = Path(__file__).parent / "studies"
"""Where the studies of the package are; this needs no torch."""
