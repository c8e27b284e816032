"""Upscales clips: decodes, upscales each frame, encodes, and copies everything else unchanged."""
