"""Make one picture larger: by a network in tiles, to any size, in one call."""
