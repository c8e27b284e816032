"""Compares two pictures, in numbers and for eyes.

`matching` makes two pictures comparable, `difference` measures, `sheet` draws, and `blink` writes
what is shown in turn.
"""
