"""Other programs, run by the tests, and profiles that others made."""

import atexit
import functools
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import pyvips
from PIL import ImageCms

from samples import profile

GHOSTSCRIPT = Path("/usr/share/color/icc/ghostscript")
"""Folder in which the Debian package libgs-common has profiles."""


def missing(what: str) -> None:
    """Skip the test; fail it where WIDESR_TOOLS=required says that everything is to be there."""
    if os.environ.get("WIDESR_TOOLS") == "required":
        pytest.fail(f"needs {what} (WIDESR_TOOLS=required); scripts/tools installs it")
    pytest.skip(f"needs {what}; scripts/tools installs it")


def execute(command: list[str], **options: Any) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, **options)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise AssertionError(f"{shlex.join(command)} failed: {said}") from error
    return done.stdout


_ANSWERS = {
    "avifdec": ("--version", rb"^Version: \d"),
    "avifenc": ("--version", rb"^Version: \d"),
    "chromium": ("--version", rb"^Chromium \d"),
    "cjpeg": ("-version", rb"libjpeg-turbo"),
    "convert": ("-version", rb"ImageMagick"),
    "cwebp": ("-version", rb"^\d+\.\d"),
    "exiftool": ("-ver", rb"^\d+\.\d"),
    "ffmpeg": ("-version", rb"^ffmpeg version"),
    "ffprobe": ("-version", rb"^ffprobe version"),
    "magick": ("-version", rb"ImageMagick"),
    "webpmux": ("-version", rb"^\d+\.\d"),
}
"""Option by which a program names itself, and a part of its answer: many share a name."""


@functools.cache
def _found(name: str) -> str | None:
    names = ("magick", "convert") if name == "magick" else (name,)
    folders = [*os.get_exec_path(), "/usr/bin"]  # where Debian has it, another may hide it
    paths = (shutil.which(each, path=folder) for each in names for folder in folders)
    return next((path for path in paths if path and _is_really(path)), None)


def _is_really(path: str) -> bool:
    """Ask a program who it is, unless it is one of those whose name says enough."""
    question, answer = _ANSWERS.get(Path(path).name, ("", b""))
    if not question:
        return True
    try:
        done = subprocess.run([path, question], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(re.search(answer, done.stdout + done.stderr))


def program(name: str) -> str:
    """The path of a program, "magick" being ImageMagick's of any version; skips without it."""
    path = _found(name)
    if path is None:
        missing("ImageMagick" if name == "magick" else name)
    return str(path)


def magick(*arguments: str | Path) -> bytes:
    """Run ImageMagick; a thread for each of these small pictures would take longer than they do."""
    command = [program("magick"), *map(str, arguments)]
    return execute(command, env={**os.environ, "MAGICK_THREAD_LIMIT": "1"})


@functools.cache
def _exiftool() -> subprocess.Popen[str]:
    """One process for all questions: it starts slowly and answers quickly."""
    command = [program("exiftool"), "-stay_open", "True", "-@", "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    atexit.register(process.communicate, "-stay_open\nFalse\n")
    return process


def exiftool(*arguments: str | Path) -> str:
    """Return what exiftool prints."""
    program("exiftool")
    process = _exiftool()
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n".join(map(str, [*arguments, "-execute", ""])))
    process.stdin.flush()
    lines = []
    for line in process.stdout:
        if line == "{ready}\n":
            return "".join(lines)
        lines.append(line)
    raise AssertionError("exiftool ended")


def tags(path: Path) -> dict[str, Any]:
    """Return every tag of a file, by "Group:Name", in words."""
    found: dict[str, Any] = json.loads(exiftool("-json", "-G1", "-a", path))[0]
    return found


@functools.cache
def srgb() -> bytes:
    """Make LittleCMS's sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_primaries(icc: bytes, *primaries: tuple[float, float, float]) -> bytes:
    """A profile with other XYZ of red, green and blue, adapted to D50."""
    changed, wanted = bytearray(icc), dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True))
    for n in range(int.from_bytes(icc[128:132], "big")):
        name, at, _ = struct.unpack_from(">4sII", icc, 132 + 12 * n)
        if name in wanted:
            xyz = wanted.pop(name)
            struct.pack_into(">3i", changed, at + 8, *(round(value * 65536) for value in xyz))
    assert not wanted
    return bytes(changed)


P3 = (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)
BT709 = (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)

MADE_PROFILES = {
    "p3": lambda: with_primaries(srgb(), *P3),
    "grey22": lambda: profile(b"GRAY", gamma=2.2),
    "gamma18": lambda: with_primaries(profile(gamma=1.8), *BT709),
    "grey18": lambda: profile(b"GRAY", gamma=1.8),
    "vips_cmyk": lambda: pyvips.Image.profile_load("cmyk"),  # what libvips takes CMYK for
    "srgb": srgb,
}
FOUND_PROFILES = {
    "adobe": GHOSTSCRIPT / "a98.icc",
    "prophoto": GHOSTSCRIPT / "rommrgb.icc",
    "cmyk": GHOSTSCRIPT / "default_cmyk.icc",
}


def icc_file(folder: Path, name: str) -> Path:
    """A profile's file; skips where no package has brought it."""
    path = folder / f"{name}.icc"
    if name in MADE_PROFILES:
        path.write_bytes(MADE_PROFILES[name]())
    elif FOUND_PROFILES[name].is_file():
        shutil.copy(FOUND_PROFILES[name], path)
    else:
        missing(f"the profile {FOUND_PROFILES[name]} (Debian: libgs-common)")
    return path
