"""The photographs of the project that tests look at."""

from pathlib import Path

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.[jp][pn]g"))
