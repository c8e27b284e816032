"""Files and folders of pictures, each read, worked on and written, and what became of it.

The face: `jobs` (which input becomes which output), `forecast` (how long that takes), `many` (doing
it). `manifest` keeps what was done, so that a run that was killed can be resumed.
"""
