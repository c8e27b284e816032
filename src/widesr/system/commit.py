"""Names the commit by which weights and figures were made."""

import subprocess
from pathlib import Path

from widesr.system.version import __version__


def which_commit() -> str:
    """Name the version of widesr that runs: its commit in a checkout, else the release."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        command = ["git", "-C", str(here), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # fails in a repository other than widesr's
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return f"widesr {__version__}"
