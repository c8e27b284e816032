"""Upscales the pictures of a bucket or of any other store, by workers on one machine or on many.

Ray (the extra `bulk`) places the workers, moves what is said between them and notices their ends;
fsspec reads and writes the stores. What became of each picture is in Parquet, beside the outputs.
"""
