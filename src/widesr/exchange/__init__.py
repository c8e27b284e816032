"""Other makers' weights in, and ONNX models out. Needs the `train` extra."""
