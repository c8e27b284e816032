"""Photographs for training: where they are, their LR side, and the patches drawn from them."""
