"""Upscales files and folders of pictures, and records the outcome of each.

Begin with `jobs` (which input becomes which output), `settings` (all that decides an output), `one`
(make one file) and `many` (make all of them). `estimates` predicts how long that takes, and
`manifest` records what was done, so that a killed run can be resumed.
"""
