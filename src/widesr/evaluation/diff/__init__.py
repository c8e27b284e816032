"""Compares two pictures, in numbers and visually.

`matching` makes two pictures comparable, `difference` measures, `sheet` draws, and `blink` writes
pictures that are shown in turn.
"""
