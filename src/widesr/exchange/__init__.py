"""Imports other authors' weights, and exports models in other formats. Needs the `train` extra."""
