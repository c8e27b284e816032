"""Keeps models as files: lists them, reads their cards, and gets more of them from a mirror.

The `.onnx` files of the package are beside these modules. A mirror is a folder, on the web or on a
disk, with model files and `models.json`, which lists each with its size and hash. A file and the
card in it are checked against this index before the model takes its name in the user's folder.
Nothing else in widesr fetches a model.
"""
