"""Write the tables of the published studies into their pages, and draw their curves, from the logs.

    python scripts/studies.py                     # all of docs/studies/raw
    python scripts/studies.py OUT/cells.jsonl     # take a new log first, by its study's name

Needs the extras `train` and `plots`. The table stands between two comments in the page.
"""

import re
import shutil
import sys
from pathlib import Path

from widesr.study.curves import draw_curves
from widesr.study.design import load_study
from widesr.study.findings import markdown, read_outcomes

PAGES = Path(__file__).parents[1] / "docs" / "studies"
TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end -->)", re.DOTALL)


def main() -> None:
    for log in map(Path, sys.argv[1:]):
        study = read_outcomes(log)[0].recipe.source.removeprefix("study ")
        shutil.copyfile(log, PAGES / "raw" / f"{study}.jsonl")
    for log in sorted((PAGES / "raw").glob("*.jsonl")):
        study, outcomes = load_study(log.stem), read_outcomes(log)
        page = PAGES / f"{log.stem}.md"
        text = page.read_text(encoding="utf-8")
        table = f"\n{markdown(study, outcomes)}\n"
        page.write_text(TABLE.sub(lambda _, table=table: table, text), encoding="utf-8")
        draw_curves(study, outcomes, page.with_suffix(".svg"))
        print(page)


if __name__ == "__main__":
    main()
