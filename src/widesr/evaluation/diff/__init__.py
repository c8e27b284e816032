"""How two pictures differ, in numbers and for eyes.

`alike` makes two pictures comparable, `diff` measures and draws, `blink` writes what is shown in
turn, `sheet` puts pictures beside one another under labels.
"""
