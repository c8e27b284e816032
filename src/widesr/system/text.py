"""Writes numbers for people to read, and reads numbers that people write."""

import re


def readable_size(n_bytes: float) -> str:
    """Write a size for people, such as "1.2 GB"."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def readable_share(n_bytes: int, total: int | None) -> str:
    """Write how much of a file is here, as "3.1 MB of 12.0 MB"; None if the total is unknown."""
    return readable_size(n_bytes) + (f" of {readable_size(total)}" if total else "")


def parse_size(text: str) -> int | None:
    """Read a number of bytes with K, M, G or T, such as "512M" or "1.5G"; None if it is not one."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([KMGT])(?:i?B)?", text, re.IGNORECASE)
    if not found:
        return None
    number, unit = found.groups()
    return int(float(number) * 2 ** (10 * (1 + "KMGT".index(unit.upper()))))
