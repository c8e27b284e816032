"""Runs the command line, for `python -m widesr`."""

import sys

from widesr.cli import run

if __name__ == "__main__":
    sys.exit(run())
