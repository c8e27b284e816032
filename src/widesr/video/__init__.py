"""Upscale clips: decode, upscale each frame, encode, and copy everything else unchanged."""
