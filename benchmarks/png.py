"""Our PNG encoder against libvips' by its filters and levels: processor time and size.

    python benchmarks/png.py [PICTURE ...]     # default: the photographs in examples/

Each picture is doubled by the default model first, since that is what is written. They take turns,
several rounds, the least counts. Prints a table and writes `benchmarks/results/png.json`.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyvips

from widesr.pictures.png import stream_png
from widesr.pictures.reading import read_picture
from widesr.pixels.rows import Rows
from widesr.system.machine import this_machine
from widesr.upscaling.upscaler import Upscaler

HERE = Path(__file__).parent
RESULT = HERE / "results" / "png.json"
ROUNDS = 5


def main():
    paths = [Path(arg) for arg in sys.argv[1:]] or sorted((HERE.parent / "examples").glob("*.jpg"))
    upscaler = Upscaler.load(scale=2)
    pictures = [upscaler(read_picture(path).pixels) for path in paths]
    n_bytes = sum(pixels.nbytes for pixels in pictures)
    encoders = {"widesr": ours} | {
        f"libvips, filter {filter_}, level {level}": libvips(filter_, level)
        for filter_, level in (("all", 6), ("all", 3), ("avg", 3), ("sub", 1), ("none", 6))
    }
    seconds = {name: [] for name in encoders}
    sizes = {}
    for _ in range(ROUNDS):
        for name, encode in encoders.items():
            began = time.process_time()
            sizes[name] = sum(encode(pixels) for pixels in pictures)
            seconds[name].append(time.process_time() - began)
    rows = {
        name: {
            "ns_per_byte": round(min(times) / n_bytes * 1e9, 2),
            "bytes_per_byte": round(sizes[name] / n_bytes, 3),
        }
        for name, times in seconds.items()
    }
    for name, row in rows.items():
        print(f"{name:32}{row['ns_per_byte']:8.2f} ns/byte{row['bytes_per_byte']:8.3f} of raw")
    here = this_machine()
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{here.cpu}, {here.cores} CPUs",
        "pictures": [path.name for path in paths],
        "encoders": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def ours(pixels):
    return sum(map(len, stream_png(Rows.of(pixels))))


def libvips(filter_, level):
    def encode(pixels):
        image = pyvips.Image.new_from_array(pixels)
        return len(image.pngsave_buffer(filter=filter_, compression=level))

    return encode


if __name__ == "__main__":
    main()
