"""Upscale clips: decode, make each frame larger, encode, and copy all else as it is."""
