"""Learning: recipe and photographs in, weights and a log out. Needs the `train` extra."""
