"""Compare each of our models with each of the others: the tables of docs/benchmarks/models.md.

    python benchmarks/peers.py [--check]     # write them, or only compare

Times are those of benchmarks/results/pareto.json, in which all networks took turns on one engine;
decibels of ours those of the cards, and of the self-ensembles (+) those of
benchmarks/results/self_ensemble.json. Decibels of the others are of weights that pareto.py scored,
or, with the source beside them, from peers.csv: what was published, or run by us earlier. Others
that no network here can hold stand in peers.csv with the time that they took elsewhere.
`benchmarks/pareto.py` writes the tables too, when it has measured.
"""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from widesr.models.catalog import ALIASES, ModelCard, aliases_of, list_shipped

HERE = Path(__file__).parent
RESULT = HERE / "results" / "pareto.json"
PAGE = HERE.parent / "docs" / "benchmarks" / "models.md"
START, END = "<!-- peers:start -->\n", "<!-- peers:end -->"
SETS = ("Set5", "Set14")
PROTOCOL = "benchmark-y"
REFERENCE = "SPAN"
"""Whose time is 1."""


Decibels = tuple[float | None, ...]
"""On each of `SETS`, where known."""


class Peer(NamedTuple):
    """A row of peers.csv."""

    name: str
    scale: int
    network: str
    """Network as a recipe writes it; "" where the zoo has no such network."""
    weights: str
    """Stem of a file in the folder of peers' weights; "" where there is none."""
    psnr: dict[str, Decibels]
    """Decibels by protocol; empty where not known."""
    source: str
    """Source of the decibels."""
    elsewhere: str
    """Runtime and seconds, where it was run elsewhere."""


class Contender(NamedTuple):
    """A network that was timed."""

    name: str
    scale: int
    is_ours: bool
    parameters: int
    of_span: dict[str, dict[str, float]]
    """Times as a multiple of SPAN's, by precision and by the number of threads."""
    psnr: dict[str, Decibels]
    """Decibels by protocol; empty where not known."""
    source: str
    """Source of the decibels."""


def peers() -> list[Peer]:
    """All that peers.csv has."""
    with (HERE / "peers.csv").open(encoding="utf-8", newline="") as lines:
        return [_peer(row) for row in csv.DictReader(lines)]


def _peer(row: dict[str, str]) -> Peer:
    found = tuple(float(row[key]) if row[key] else None for key in ("set5", "set14"))
    return Peer(
        name=row["peer"],
        scale=int(row["scale"]),
        network=row["network"],
        weights=row["weights"],
        psnr={row["protocol"]: found} if row["protocol"] else {},
        source=row["source"],
        elsewhere=f"{row['runtime']}, {float(row['seconds']):g} s" if row["seconds"] else "",
    )


def contenders(result: dict[str, Any]) -> list[Contender]:
    """All that were timed, the quickest first; ours only while they are in the package.

    Weights do not change the time. So the time of one of our networks stands for the model that is
    `default` or `best` with the same network now, and has its scores.
    """
    mine = {model.card.name: of_card(model.card) for model in list_shipped()} | self_ensembles()
    now = {
        (card.scale, card.parameters_fused): card.name
        for card in (model.card for model in list_shipped())
        if card.name in (ALIASES[alias].get(card.scale) for alias in ("default", "best"))
    }
    others = {(peer.name, peer.scale): peer for peer in peers()}
    found = []
    for row in result["networks"]:
        name, scale = row["name"], row["scale"]
        if row["is_ours"]:
            end = "+" if name.endswith("+") else ""
            name = now.get((scale, row["parameters"]), name.removesuffix("+")) + end
        if row["is_ours"] and name in mine:
            psnr, source = mine[name], "its card"
        elif not row["is_ours"] and row["psnr"]:
            psnr, source = {p: tuple(v) for p, v in row["psnr"].items()}, "scored here"
        elif not row["is_ours"] and (name, scale) in others:
            peer = others[name, scale]
            psnr, source = peer.psnr, peer.source
        else:
            continue
        of_span = row["of_span"]
        found.append(
            Contender(name, scale, row["is_ours"], row["parameters"], of_span, psnr, source)
        )
    return sorted(
        found, key=lambda each: (each.scale, *each.of_span[precisions(result)[0]].values())
    )


def precisions(result: dict[str, Any]) -> list[str]:
    """List the precisions that the machine could compute in, the quickest first."""
    return list(result["networks"][0]["of_span"])


def of_card(card: ModelCard) -> dict[str, Decibels]:
    """Return a model's scores by itself, by protocol."""
    found = {(score.protocol, score.dataset): round(score.psnr, 2) for score in card.scores}
    protocols = {protocol for protocol, _ in found}
    return {each: tuple(found.get((each, name)) for name in SETS) for each in protocols}


def self_ensembles() -> dict[str, dict[str, Decibels]]:
    """The same of those that were scored with `widesr upscale -x`, by name, a + at its end."""
    file = HERE / "results" / "self_ensemble.json"
    found = json.loads(file.read_text(encoding="utf-8"))["reports"]
    return {
        name: {
            protocol: tuple(round(report["mean"][protocol]["psnr"], 2) for report in reports)
            for protocol in reports[0]["mean"]
        }
        for name, reports in found.items()
    }


def tables(result: dict[str, Any]) -> str:
    """Write all tables: those ahead of ours; at each scale times, distances, and the others."""
    timed = contenders(result)
    others = [peer for peer in peers() if not peer.network]
    read = (
        f"Read on {result['date'][:10]}, {result['machine']}: pictures of {result['picture']}, "
        f"rounds: {result['rounds']}, load average {result['load_average']}."
    )
    parts = [read, *(ahead(timed, precision) for precision in precisions(result))]
    for scale in sorted({each.scale for each in timed}):
        here = [each for each in timed if each.scale == scale]
        parts.append(times_table(scale, here, precisions(result)))
        parts.append(distance_table(scale, here, precisions(result)))
        if elsewhere := [peer for peer in others if peer.scale == scale]:
            parts.append(elsewhere_table(scale, [e for e in here if e.is_ours], elsewhere))
    return "\n\n".join(parts) + "\n"


def times_table(scale: int, here: list[Contender], names: list[str]) -> str:
    """A row for each network: decibels and times of SPAN's."""
    threads = list(here[0].of_span[names[0]])
    columns = [
        f"{name}, {count} thread{'s' * (count != '1')}" for name in names for count in threads
    ]
    lines = [[f"x{scale}", "parameters", " / ".join(SETS), "decibels are", *columns]]
    lines.append(["---", *["---:"] * 2, "---", *["---:"] * len(columns)])
    for each in here:
        protocol = chosen_protocol(each.psnr)
        by = f"{each.source}, `{protocol}`" if protocol else "not known"
        took = [f"{each.of_span[name][count]:.2f}" for name in names for count in threads]
        row = [each.name, f"{each.parameters:,}", decibels(each.psnr.get(protocol, ())), by, *took]
        lines.append([f"**{cell}**" for cell in row[:1]] + row[1:] if each.is_ours else row)
    return rendered(lines)


def distance_table(scale: int, here: list[Contender], names: list[str]) -> str:
    """A row for each of the others, a column for each of ours."""
    mine = [each for each in here if each.is_ours]
    lines = [[f"x{scale}", *(f"`{each.name}` ({named(each.name)})" for each in mine)]]
    lines.append(["---"] * (1 + len(mine)))
    for other in (each for each in here if not each.is_ours):
        cells = []
        for each in mine:
            longer = " / ".join(times(other.of_span[n]["1"] / each.of_span[n]["1"]) for n in names)
            cells.append("; ".join(filter(None, (more_of(each.psnr, other.psnr), longer))))
        lines.append([other.name, *cells])
    return rendered(lines)


def elsewhere_table(scale: int, mine: list[Contender], others: list[Peer]) -> str:
    """The same for those that were not in the run: decibels alone."""
    lines = [[f"x{scale}, elsewhere", "there", " / ".join(SETS), "decibels are"]]
    lines[0] += [f"`{each.name}`" for each in mine]
    lines.append(["---"] * len(lines[0]))
    for other in others:
        protocol = chosen_protocol(other.psnr)
        row = [other.name, other.elsewhere, decibels(other.psnr[protocol])]
        row.append(f"{other.source}, `{protocol}`")
        lines.append([*row, *(more_of(each.psnr, other.psnr) for each in mine)])
    return rendered(lines)


def rendered(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def named(name: str) -> str:
    """Return what to type for it after -n."""
    alias = next(iter(aliases_of(name.rstrip("+"))), "by name")
    return f"{alias} -x" if name.endswith("+") else alias


def chosen_protocol(psnr: dict[str, Decibels]) -> str:
    """Ours if it was scored by it, else the one that there is; "" without any."""
    return PROTOCOL if PROTOCOL in psnr else next(iter(psnr), "")


def more_of(mine: dict[str, Decibels], other: dict[str, Decibels]) -> str:
    """Write the decibels that ours has more (+) or less (-), by the protocol of the other."""
    protocol = chosen_protocol(other)
    pairs = zip(mine.get(protocol, ()), other.get(protocol, ()), strict=False)
    return decibels((None if None in pair else round(pair[0] - pair[1], 2) for pair in pairs), "+")


def times(ratio: float) -> str:
    digits = 0 if ratio >= 10 else 1 if ratio >= 1 else 2
    return f"{ratio:.{digits}f}×"


def decibels(values: Iterable[float | None], sign: str = "") -> str:
    return " / ".join(f"{value:{sign}.2f}" for value in values if value is not None)


def ahead(timed: list[Contender], precision: str) -> str:
    """Name those of the others that are as quick as one of ours, and finer."""
    found = [
        f"{other.name} is ahead of `{each.name}` by {-gap:.2f} dB at {times(longer)} its time"
        for each in (each for each in timed if each.is_ours)
        for other in (other for other in timed if not other.is_ours)
        if each.scale == other.scale
        and (longer := other.of_span[precision]["1"] / each.of_span[precision]["1"]) <= 1
        and (gap := gap_on_set5(each, other)) is not None
        and gap < 0
    ]
    what = "; ".join(found) or "none"
    return (
        f"In {precision} on one thread, of the others in this run that take no longer than one of "
        f"ours, ahead of it on Set5: {what}."
    )


def gap_on_set5(mine: Contender, other: Contender) -> float | None:
    """Return the dB that ours has more, by the protocol of the other; None where not known."""
    protocol = chosen_protocol(other.psnr)
    values = [each.psnr.get(protocol, (None,))[0] for each in (mine, other)]
    return None if None in values else values[0] - values[1]


def fresh(text: str) -> str:
    """The page with new tables."""
    before, rest = text.split(START)
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    return before + START + tables(result) + END + rest.split(END)[1]


def write() -> None:
    PAGE.write_text(fresh(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> int | str:
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        return 0 if fresh(text) == text else f"{PAGE}: not what benchmarks/peers.py writes"
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
