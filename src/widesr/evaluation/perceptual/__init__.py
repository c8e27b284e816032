"""What eyes see, in numbers: LPIPS against the true picture, NIQE without one; NumPy alone."""
