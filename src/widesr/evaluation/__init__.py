"""Judges how good pictures are: scores against originals, reports, and how two pictures differ."""
