"""Keep models as files: list them, read their cards, and get more of them from a mirror.

The `.onnx` files of the package lie beside these modules. A mirror is a folder, on the web or on
a disk, with model files and `models.json`, which names each with its size and hash. The file is
held to the index, and the card in it too, before a model takes its name in the user's folder.
Nothing else in widesr fetches a model.
"""
