"""Makes one picture larger, to any size, in one call: by a network, tile by tile."""
