"""Checks whether this installation works, and says what it is made of, as `widesr doctor`."""

import importlib.metadata
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from widesr.cli import options
from widesr.cli.terminal import print_json, print_lines, said, table
from widesr.errors import DataError, ModelFileError, WidesrError

if TYPE_CHECKING:
    from widesr.models.catalog import ModelFile

_SIDE = 48
"""The side of the picture that the checks work on, in pixels."""
_WORST_DB = 30.0
"""A working model is far above this on a smooth picture; a broken one is far below."""


def examine(as_json: options.Json = False) -> None:
    """Check this installation: versions, decoders, models, and an upscaled picture."""
    results: list[tuple[str, bool, str]] = []
    for name, check in _checks():
        try:
            detail, ok = check(), True
        except WidesrError as error:
            detail, ok = f"error[{error.code}]: {said(error)}", False
        except Exception as error:  # a broken installation may raise anything
            detail, ok = f"{type(error).__name__}: {error}", False
        results.append((name, ok, " ".join(detail.split())))
    if as_json:
        found = [{"check": name, "ok": ok, "detail": detail} for name, ok, detail in results]
        print_json(json.dumps(found, indent=2))
    else:
        rows = [("ok" if ok else "BROKEN", name, detail) for name, ok, detail in results]
        print_lines(table(rows, left=frozenset({0, 1, 2})))
    if not all(ok for _, ok, _ in results):
        raise typer.Exit(1)


def _checks() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "versions", _versions
    yield "machine", _machine
    yield "back ends", _back_ends
    yield "formats", _formats
    yield "models", _models
    yield "pulled", _pulled
    for scale in (2, 3, 4):
        yield f"upscale x{scale}", partial(_upscale, scale)


def _versions() -> str:
    from widesr.evaluation.report import versions

    return ", ".join(f"{name} {version}" for name, version in versions().items())


def _machine() -> str:
    from widesr.system.machine import this_machine

    this = this_machine()
    return f"{this.cpu}, {this.cores} cores, {this.system}"


def _back_ends() -> str:
    """Name the runtimes, the one that "auto" takes, and what would be faster."""
    from widesr.engine import advice, choose, devices

    found = {
        name: importlib.metadata.version(name)
        for name in ("onnxruntime", "openvino")
        if list(importlib.metadata.distributions(name=name))
    }
    auto = choose()
    facts = [
        ", ".join(f"{name} {version}" for name, version in found.items()),
        f"devices: {', '.join(devices())}",
        f"auto is {auto.backend} in {auto.precision}",
        advice(),
    ]
    return "; ".join(filter(None, facts))


def _formats() -> str:
    """Write and read back a picture in each format."""
    import numpy as np

    from widesr.pictures.picture import Picture
    from widesr.pictures.reading import read_picture
    from widesr.pictures.writing import FORMATS, write_picture

    picture = Picture(pixels=np.full((16, 16, 3), 128, np.uint8))
    kinds = {kind: suffix for suffix, kind in FORMATS.items()}
    with tempfile.TemporaryDirectory() as folder:
        for kind, suffix in kinds.items():
            path = Path(folder) / f"picture{suffix}"
            write_picture(path, picture)
            if abs(read_picture(path).pixels.astype(int) - 128).max() > 2:
                raise DataError(f"a grey picture came back from {kind} with other colours")
    return ", ".join(kinds)


def _models() -> str:
    """Read every model file of the package; each is held to the hash on its card."""
    from widesr.models.catalog import MODELS_DIR, list_shipped

    models = list_shipped()
    if not models:
        raise ModelFileError(f"{MODELS_DIR}: no models; reinstall widesr")
    return _names(models)


def _pulled() -> str:
    """Read the models in the user's folder, and name those that models of the package hide."""
    from widesr.models.catalog import MODELS_DIR, ModelFile, models_in, read_card
    from widesr.system.paths import models_folder

    folder = models_folder()
    models = [ModelFile(path, read_card(path)) for path in models_in(folder).values()]
    hidden = [m.path.stem for m in models if (MODELS_DIR / m.path.name).exists()]
    facts = [
        f"{folder}: {_names(models) or 'none'}",
        f"hidden by the package's of the same name: {', '.join(hidden)}" if hidden else "",
    ]
    return "; ".join(filter(None, facts))


def _names(models: "list[ModelFile]") -> str:
    return ", ".join(f"{m.card.name} sha256 {m.card.weights_sha256[:12]}" for m in models)


def _upscale(scale: int) -> str:
    """Upscale a smooth picture whose HR picture is known, and check the PSNR."""
    import numpy as np

    from widesr.degrade.bicubic import degrade
    from widesr.pixels.metrics import PROTOCOLS, psnr
    from widesr.upscaling.upscaler import Upscaler

    side = _SIDE * scale
    y, x = np.mgrid[:side, :side] / side
    waves = np.stack([np.sin(9 * x + 5 * y), np.cos(7 * x - 6 * y), np.sin(8 * y)], axis=2)
    hr = np.round(127.5 + 100 * waves).astype(np.uint8)
    upscaler = Upscaler.load(scale=scale)
    start = time.perf_counter()
    sr = upscaler(degrade(hr, scale=scale))
    seconds = time.perf_counter() - start
    protocol = PROTOCOLS["benchmark-y"]
    quality = psnr(sr, hr, protocol=protocol, scale=scale)
    if quality < _WORST_DB:
        raise ModelFileError(
            f"{upscaler.model} made {quality:.1f} dB {protocol.name} of a smooth picture, expected "
            f"more than {_WORST_DB:.0f}; reinstall widesr"
        )
    return f"{upscaler.model}, {_SIDE}x{_SIDE} in {seconds:.2f} s, {quality:.1f} dB {protocol.name}"
