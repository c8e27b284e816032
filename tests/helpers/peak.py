"""Measure the peak memory of a command of widesr, in a process of its own."""

import subprocess
import sys

_MEASURED = """
import resource, sys
from pathlib import Path
from widesr.cli import run
code = run(sys.argv[1:])
status = Path("/proc/self/status")
if status.exists():  # else it would be the peak of the process that this one was forked from
    kib = next(line.split()[1] for line in status.open() if line.startswith("VmHWM"))
else:
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(kib, file=sys.stderr)
sys.exit(code)
"""


def peak_mib(*args):
    """Return the peak of `widesr` with these arguments, in MiB; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, args)], capture_output=True, check=True
    )
    return float(done.stderr.split()[-1]) / 2**10
