"""Upscales clips: decodes, makes each frame larger, encodes, and copies all else as it is."""
