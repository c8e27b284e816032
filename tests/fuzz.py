"""Damaged and lying pictures into `widesr upscale`: python tests/fuzz.py --count 10000

For every file the command must end within 10 seconds of processor time, and either make a whole
picture, or say one line on stderr, exit with 1 and leave no file behind. Those that do not are
kept under the names that are printed. A hang or a crash ends the run, and the file at hand is kept.
The seed gives the same files again.
"""

import argparse
import faulthandler
import json
import os
import random
import re
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from samples import (
    PALETTE,
    PIXELS,
    RGB,
    RGBA,
    by_pillow,
    chunk,
    full_exif,
    pillow_image,
    png,
    profile,
    smooth,
    tiff,
)
from test_bitmaps import BMPS, NETPBM, NETPBM_16
from test_metadata import IPTC, XMP
from widesr.cli import run
from widesr.picture import Picture
from widesr.writing import write_picture

CPU_SECONDS = 10
WALL_SECONDS = 120
MIB = 2**20
REFUSED = {"image-read", "image-format", "image-too-large"}
REFUSAL = re.compile(r"widesr: error\[([a-z-]+)\]: [^\n]+\n")


def corpus() -> list[bytes]:
    """Whole pictures of every kind, small, with metadata."""
    exif = {"exif": b"Exif\0\0" + full_exif(thumbnail=b"\xff\xd8\xff" + bytes(90))}
    photo, turned = pillow_image(smooth()), pillow_image(255 - smooth())
    files = [data for data, _ in PIXELS.values()]
    files += [*BMPS.values(), *(data for data, _ in (*NETPBM.values(), *NETPBM_16.values()))]
    for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        files.append(by_pillow(photo, name, icc_profile=profile(), **exif))
        files.append(by_pillow(photo.convert("L"), name))
    files.append(by_pillow(photo, "JPEG", progressive=True, subsampling=2, restart_marker_rows=1))
    files.append(by_pillow(photo.convert("CMYK"), "JPEG"))
    files.append(by_pillow(photo.convert("CMYK"), "TIFF", compression="tiff_lzw"))
    files.append(by_pillow(Image.fromarray(RGBA, "RGBA"), "AVIF"))
    files.append(by_pillow(photo, "PNG", save_all=True, append_images=[turned]))
    files.append(by_pillow(photo, "WEBP", save_all=True, append_images=[turned]))
    files.append(by_pillow(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]))
    ours = Picture(pixels=smooth(), exif=full_exif(), xmp=XMP, iptc=IPTC, pixels_per_mm=(9, 8))
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".jpg", ".png", ".webp", ".tif", ".avif"):
            path = Path(folder) / f"ours{suffix}"
            write_picture(path, ours)
            files.append(path.read_bytes())
    return files


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose header claims a size that its data do not have."""
    data = bytearray(by_pillow(pillow_image(smooth()), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff_of(entries: list[tuple[int, int, int, int]], *, following: int = 0) -> bytes:
    """A TIFF with one directory of (tag, type, count, value)."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)
    )


def traps() -> list[bytes]:
    """Files made to cost much: claims, loops, and little that unpacks to a lot."""
    plain = [(256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    plain += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 9), (279, 4, 1, 81)]
    large = dict.fromkeys((256, 257, 278), 16_000)
    claims = [(tag, type_, n, large.get(tag, value)) for tag, type_, n, value in plain]
    head, body = by_pillow(pillow_image(RGB), "PNG")[:33], by_pillow(pillow_image(RGB), "PNG")[33:]
    zeros = zlib.compress(bytes(300 * MIB))
    exif_loop = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    rows = 16_000
    shared = tiff_of(claims)[:8] + bytes(16_000)  # every strip lies on the same bytes
    strips = len(shared) + rows * 8
    offsets = struct.pack(f"<{rows}I", *[8] * rows) + struct.pack(f"<{rows}I", *[16_000] * rows)
    table = {tag: (tag, type_, n, value) for tag, type_, n, value in claims}
    table |= {273: (273, 4, rows, len(shared)), 278: (278, 4, 1, 1)}
    table |= {279: (279, 4, rows, len(shared) + 4 * rows)}
    bomb = shared + offsets + tiff_of(list(table.values()))[8:]
    bomb = bomb[:4] + struct.pack("<I", strips) + bomb[8:]
    return [
        png(np.zeros((1, 1, 3)), bits=8, colour_type=2, width=60_000, height=50_000),
        png(np.zeros((1, 1, 3)), bits=8, colour_type=2, width=16_000, height=16_000),
        png(np.zeros((1, 1, 3)), bits=8, colour_type=2)[:16] + bytes(8) + body,
        head + chunk(b"prVt") * 500_000 + body,
        head + chunk(b"iCCP", b"icc\0\0" + zeros) + body,
        head + chunk(b"zTXt", b"Comment\0\0" + zeros) + body,
        head + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros) + body,
        head + chunk(b"eXIf", exif_loop) + body,
        jpeg_of(65_500, 65_500),
        jpeg_of(16_000, 16_000),
        jpeg_of(0, 40),
        by_pillow(pillow_image(smooth()), "JPEG", exif=b"Exif\0\0" + exif_loop),
        by_pillow(pillow_image(smooth()), "JPEG", xmp=b"<xmp:Thumbnails " * 4000),
        tiff_of(plain, following=8) + bytes(81),
        tiff_of([*plain, (34665, 4, 1, 8), (34853, 4, 1, 8)], following=8) + bytes(81),
        tiff_of([*plain, (330, 4, 1, 8)]) + bytes(81),
        tiff_of(claims),
        tiff_of([(tag, 7, 2**31, 8) for tag in range(256, 4000)]),
        bomb,
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2\x4c\1\0;",
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
        b"P1 9999999 9999999\n",
        b"P3 16000 16000 255\n" + b"1 " * 1000,
        b"P2 1 1 255\n" + b"9" * 4 * MIB,
        b"P5\n" + b"#\n" * 40_000 + b"1 1 255\n\0",
        b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 2**31 - 1, -(2**31), 1, 32, 0) + bytes(20),
        tiff(smooth(), photometric="rgb")[:-1],
        b"\0" * 100,
        b"<svg " + b"a" * 2000,
    ]


def damaged(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Do to a file what disks, networks and attackers do."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        n = len(data)
        if n < 16:
            break
        at = rng.randrange(min(n, 200)) if rng.random() < 0.4 else rng.randrange(n)
        size = rng.choice((1, 2, 4, 8))
        match rng.randrange(9):
            case 0:
                data = data[:at]
            case 1 | 2:
                data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            case 3:
                data = data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at + 20 :]
            case 4 | 5:  # a number that lies: sizes, counts, offsets that point back
                number = rng.choice((0, 1, -1, 2**31, 2**31 - 1, 65535, 16_000, n, at, 8, n - 4))
                number %= 256**size
                data = (
                    data[:at]
                    + number.to_bytes(size, rng.choice(("little", "big")))
                    + (data[at + size :])
                )
            case 6:
                data = data[:at] + data[at + rng.randrange(n) :]
            case 7:
                data = data[:at] + data[at // 2 : at] * rng.choice((1, 2, 50)) + data[at:]
            case 8:
                data = data[:at] + other[rng.randrange(len(other)) :]
    return with_checksums(data) if rng.random() < 0.7 else data


def with_checksums(data: bytes) -> bytes:
    """Make a PNG's checksums right, so that the damage gets past them."""
    if not data.startswith(b"\x89PNG"):
        return data
    made, at = data[:8], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        made += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return made


def files(count: int, seed: int) -> Iterator[bytes]:
    """Traps first, then `count` damaged pictures."""
    whole = corpus()
    yield from traps()
    for n in range(count):
        rng = random.Random(f"{seed}/{n}")  # noqa: S311 (no secret)
        yield damaged(rng, rng.choice(whole), rng.choice(whole))


@contextmanager
def captured() -> Iterator[Path]:
    """Send the descriptor of stderr, which libvips may write to as well, to a file."""
    with tempfile.NamedTemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield Path(file.name)
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def upscale(source: Path, folder: Path, *, suffix: str) -> str:
    """Run the command on one file.

    Returns:
        "made", or the code of the error.

    Raises:
        AssertionError: It did what it must not.
    """
    made = folder / f"made.{suffix}"
    limit = str(4_000_000)
    words = ["upscale", str(source), "-o", str(made), "-n", "bicubic", "--max-pixels", limit]
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    faulthandler.dump_traceback_later(WALL_SECONDS, exit=True, file=sys.__stdout__)
    with captured() as stderr:
        code = run([*words, "--quiet"])
        said = stderr.read_text()
    faulthandler.cancel_dump_traceback_later()
    signal.setitimer(signal.ITIMER_PROF, 0)
    left = [path.name for path in folder.iterdir()]
    if code == 0:
        assert said == "", said
        assert left == [made.name], left
        with Image.open(made) as image:
            image.load()
            assert image.width % 2 == image.height % 2 == 0, image.size
        made.unlink()
        return "made"
    refusal = REFUSAL.fullmatch(said)
    assert code == 1, (code, said)
    assert refusal, said
    assert refusal[1] in REFUSED, said
    assert left == [], left
    return refusal[1]


def main() -> int:
    """Print what became of the files as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-mib", type=int, default=1024, help="peak memory that is allowed")
    options = parser.parse_args()
    # Kills the process where it hangs, also inside C, and says where.
    faulthandler.register(signal.SIGPROF, file=sys.__stdout__, chain=True)
    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module="PIL")  # damaged EXIF is carried as it is
    folder = Path(tempfile.mkdtemp(prefix="widesr-fuzz-"))
    source, out = folder / "input", folder / "out"
    out.mkdir()
    sys.stdout.write(f"the file at hand: {source}\n")
    sys.stdout.flush()
    counts: Counter[str] = Counter()
    start, slowest = time.perf_counter(), 0.0
    for n, data in enumerate(files(options.count, options.seed)):
        source.write_bytes(data)
        began = time.process_time()
        suffix = ("png", "jpg", "tif", "webp", "png", "avif")[n % 6]
        try:
            counts[upscale(source, out, suffix=suffix)] += 1
        except AssertionError as error:
            kept = source.rename(folder / f"file-{n}-to-{suffix}")
            counts["defect"] += 1
            sys.stdout.write(f"{kept}: {error}\n")
            sys.stdout.flush()
            for left in out.iterdir():
                left.unlink()
        slowest = max(slowest, time.process_time() - began)
    # Not ru_maxrss: that begins with what the process that started this one held.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s*(\d+)", status)[1]) // 1024
    if not counts["defect"]:
        shutil.rmtree(folder)
    result = {"files": counts.total(), "peak_mib": peak, "slowest_cpu_s": round(slowest, 2)}
    result |= {"seconds": round(time.perf_counter() - start), "outcomes": dict(counts)}
    sys.stdout.write(json.dumps(result) + "\n")
    return int(peak > options.most_mib or counts["defect"] > 0)


if __name__ == "__main__":
    sys.exit(main())
