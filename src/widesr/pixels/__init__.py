"""Computes on arrays of pixels, in NumPy alone: no files, no networks."""
