"""Packs photographs, makes clips of them, checks packs, fetches published sets: `widesr data`."""

import json
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from widesr.cli import options
from widesr.cli.terminal import Command, group, print_json, print_line, progress, show_help
from widesr.errors import DataError, UsageError

commands = group("Pack photographs to train on, verify a pack, make clips, or get a published set.")
commands.callback(invoke_without_command=True)(show_help)

_TOLD = 5
"""The number of damaged pictures that an error names."""


def parse_scales(text: str) -> tuple[int, ...]:
    """Read `--scale`: any of 2, 3, 4 and 8, with commas between them."""
    if not re.fullmatch(r"[2348](,[2348])*", text):
        raise UsageError(
            f"scale {text} is not valid; expected 2, 3, 4 or 8, or several such as 2,3,4"
        )
    return tuple(dict.fromkeys(map(int, text.split(","))))


@commands.command("pack", cls=Command)
def pack_photographs(
    data: Annotated[
        Path, typer.Argument(metavar="DIR", help="HR photographs, alone or with LR beside them.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="PACK", help="The folder to make.")],
    scale: Annotated[
        str,
        typer.Option(
            "-s", "--scale", metavar="2,3,4", help="The scales whose LR pictures the pack holds."
        ),
    ] = "2,3,4",
    degradation: Annotated[
        str,
        typer.Option(
            "--degradation",
            metavar="NAME",
            help="How LR is made, or which LR beside HR is taken: bicubic, bd, unknown, mild, "
            "difficult, wild, realistic, realistic-light, second-order-light, second-order or "
            "given.",
        ),
    ] = "bicubic",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Decode photographs once, make their LR, and keep both for quick reading.

    Training on a pack gives the same as on its folder, patch for patch, and takes hardly any
    memory. A pack is made whole or not at all; after a kill, run the same command again.
    """
    from widesr.data.packing import write_pack
    from widesr.data.photographs import Folder
    from widesr.system.text import readable_size

    began = time.perf_counter()
    photographs = Folder(data, scales=parse_scales(scale), degradation=degradation)
    talks = not as_json and not quiet
    if talks:
        print_line(f"{data}: {photographs.what}")
    with progress(len(photographs.names), quiet=quiet or as_json) as show:
        index = write_pack(photographs, out, on_progress=show)
    n_bytes = sum(index.n_bytes.values())
    if as_json:
        found = {"pack": str(out), "photographs": len(index.photographs), "bytes": n_bytes}
        print_json(json.dumps(found | {"scales": index.scales, "sha256": index.sha256}))
    elif talks:
        scales = " ".join(f"x{each}" for each in index.scales)
        print_line(
            f"{out}: {len(index.photographs):,} photographs, {scales} {degradation}, "
            f"{readable_size(n_bytes)}, {time.perf_counter() - began:.1f} s  "
            f"(next: widesr train RECIPE --data {out})"
        )


@commands.command("verify", cls=Command)
def verify_photographs(
    pack: Annotated[
        Path, typer.Argument(metavar="PACK", help="A pack, made by `widesr data pack`.")
    ],
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Read all of a pack again, and say which pictures are damaged."""
    from widesr.data.pack import read_index
    from widesr.data.packing import verify_pack
    from widesr.system.text import readable_size

    total = len(read_index(pack).photographs)
    with progress(total, quiet=quiet or as_json) as show:
        index, damaged = verify_pack(pack, on_progress=show)
    if as_json:
        print_json(json.dumps({"pack": str(pack), "sha256": index.sha256, "damaged": damaged}))
    if damaged:
        more = f" and {len(damaged) - _TOLD} more" if damaged[_TOLD:] else ""
        raise DataError(
            f"{pack}: {len(damaged)} damaged: {', '.join(damaged[:_TOLD])}{more}; "
            "pack the photographs again"
        )
    if not as_json and not quiet:
        n_bytes = readable_size(sum(index.n_bytes.values()))
        print_line(f"{pack}: whole, {total:,} photographs, {n_bytes}, sha256 {index.sha256}")


@commands.command("clips", cls=Command)
def make_clips(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="HR photographs.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="CLIPS", help="The folder to make.")],
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed makes the same clips.")
    ] = 0,
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=2, max=1000, help="Frames of each clip.")
    ] = 7,
    side: Annotated[
        int,
        typer.Option("--side", metavar="N", min=32, max=4096, help="Side of a frame, in pixels."),
    ] = 192,
    each: Annotated[
        int, typer.Option("--each", metavar="N", min=1, help="Clips of each photograph.")
    ] = 4,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make clips of photographs, for networks that learn from several frames.

    A camera pans, turns, zooms and tilts, things pass before it, and the light changes. After a
    kill, run the same command again.
    """
    from widesr.data.clips import write_clips
    from widesr.data.photographs import Folder

    began = time.perf_counter()
    photographs = Folder(data, scales=[1], degradation="bicubic")
    with progress(len(photographs.names) * each, quiet=quiet or as_json) as show:
        made = write_clips(
            photographs, out, seed=seed, frames=frames, side=side, each=each, on_progress=show
        )
    if as_json:
        print_json(json.dumps({"clips": made, "frames": made * frames, "folder": str(out)}))
    elif not quiet:
        print_line(
            f"{out}: {made:,} clips of {frames} frames, {side}x{side}, "
            f"{time.perf_counter() - began:.1f} s  (next: widesr train RECIPE --data {out})"
        )


@commands.command("get", cls=Command)
def get_published(
    names: Annotated[
        list[str], typer.Argument(metavar="SET", help="div2k, set5, set14, b100 or urban100.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="The folder to put them in; it is made if it is missing.",
        ),
    ] = Path("data"),
    lr: Annotated[
        list[str] | None,
        typer.Option(
            "--lr",
            metavar="SIDE",
            help="Fetch this LR side of div2k too, such as unknown_X2, x8, mild or wild; give it "
            "again for more.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            help="A mirror: the address of the archive, or of its folder with / at the end.",
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the archives beside the pictures.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch published sets, check them, and unpack them.

    What is there already is not fetched again, and a download that was cut goes on where it
    stopped.
    """
    from widesr.data.published import get
    from widesr.data.sets import archives_of
    from widesr.system.text import readable_share

    talks = not as_json and not quiet
    for archive in archives_of([name.lower() for name in names], lr=lr or (), url=url):
        with progress(100, quiet=quiet or as_json) as show:

            def tell(n: int, total: int | None, doing: str) -> None:
                show(100 * n / total if total else 0, f"{doing} {readable_share(n, total)}")

            got = get(archive, out, keep=keep, on_progress=tell)
        if as_json:
            print_json(json.dumps(got.as_json()))
        elif talks:
            print_line(f"{archive.name}: {got}")
