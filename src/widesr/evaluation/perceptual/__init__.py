"""Measures what eyes see: LPIPS against the true picture, NIQE without one; NumPy alone."""
