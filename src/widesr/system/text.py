"""Write numbers as people read them."""


def readable_size(n_bytes: float) -> str:
    """Write a size: "1.2 GB"."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
