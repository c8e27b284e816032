"""Measures perceptual quality: LPIPS against the true picture, NIQE without one; NumPy alone."""
