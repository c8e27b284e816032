"""Wait for a fact, so that no test sleeps for a time that a busy machine exceeds."""

import time
from pathlib import Path


def until(holds, *, within=200.0):
    """Wait until something holds, and fail if it does not hold in time."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"it does not hold after {within:.0f} s"
        time.sleep(0.02)


def sleeps(pid):
    """Tell whether a process waits for something other than a processor; needs /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        time.sleep(0.5)  # which is likely to be long enough
        return True
    return stat.read_text().rpartition(")")[2].split()[0] == "S"
