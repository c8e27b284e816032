"""Compares two pictures, in numbers and for eyes.

`matching` makes two pictures comparable, `difference` measures and draws, `blink` writes what is
shown in turn.
"""
