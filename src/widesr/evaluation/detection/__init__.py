"""Judges enlarged pictures by what a frozen object detector finds in them."""
