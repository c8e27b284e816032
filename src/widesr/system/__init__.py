"""Handles files, folders, threads, downloads and the machine, and knows nothing of pictures."""
