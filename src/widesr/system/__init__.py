"""Files, folders, threads, downloads and the machine: what knows nothing of pictures."""
