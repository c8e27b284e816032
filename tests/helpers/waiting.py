"""Wait for a fact, so that no test sleeps for a time that a busy machine exceeds."""

import time


def until(holds, *, within=200.0):
    """Wait until something holds, and fail if it does not hold in time."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"it does not hold after {within:.0f} s"
        time.sleep(0.02)
