"""Upscales files and folders of pictures, and keeps what became of each.

Begin with `jobs` (which input becomes which output), `settings` (all that decides an output), `one`
(do one file) and `many` (do them all). `estimates` tells how long that takes, and `manifest` keeps
what was done, so that a run that was killed can be resumed.
"""
