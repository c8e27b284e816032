"""Upscales the pictures of a bucket or of any other store, by workers on one machine or on many.

Ray (the extra `bulk`) places the workers, passes messages between them and notices when they end;
fsspec reads and writes the stores. The result of each picture is in Parquet, beside the outputs.
"""
