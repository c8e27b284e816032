"""Runs grids of training runs, and reports what they found. Needs the `train` extra."""

from pathlib import Path

STUDIES = Path(__file__).parent / "studies"
"""The folder of the studies in the package; importing it needs no torch."""
