"""Other makers' weights in, and models out, in the forms of others. Needs the `train` extra."""
