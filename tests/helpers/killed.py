"""A training in a process of its own that kills itself on the way."""

import os
import signal
import subprocess
import sys

from widesr.train.checkpoint import load_newest_state

KILLED = """
import os, signal, sys
from pathlib import Path
from widesr.train.loop import train
from widesr.train.recipe import load_recipe
recipe, data, out = sys.argv[1:]
def tell(now):
    print(now.step, flush=True)
    if now.step > int(os.environ.get("KILL_AFTER", 10**9)):
        os.kill(os.getpid(), signal.SIGKILL)
train(load_recipe(recipe), data=Path(data), out=Path(out), threads=1, resume="auto",
      on_progress=tell)
"""
"""Trains the recipe, photographs and folder of its arguments, and resumes what is there."""


def train_until_killed(recipe, data, out, *, after):
    """Train until a kill that comes behind the state of step `after` and before the next one.

    The process kills itself: a kill from outside comes too late where the machine is busy.
    """
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(recipe), str(data), str(out)],
        env=os.environ | {"KILL_AFTER": str(after)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert load_newest_state(out)[1]["step"] == after
