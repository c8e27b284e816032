"""Files, folders, threads, downloads and the machine: all that does not know of pictures."""
