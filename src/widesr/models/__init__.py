"""Models that are not in the package: listed by a mirror, fetched when the user asks for them.

A mirror is a folder, on the web or on a disk, with model files and `models.json`, which names each
with its size and hash. The file is held to the index, and the card in it too, before a model takes
its name in the user's folder. Nothing else in widesr fetches a model.
"""
