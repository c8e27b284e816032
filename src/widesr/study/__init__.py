"""Grids of training runs, and their results. Needs the `train` extra."""

from pathlib import Path

STUDIES = Path(__file__).parent / "studies"
"""The folder of the studies in the package; importing it needs no torch."""
