"""Holds the results of an evaluation and its conditions, and writes them as JSON."""

import os
import platform
from pathlib import Path
from typing import Literal

import numpy as np
import pyvips
from pydantic import BaseModel, ConfigDict

from widesr.errors import ImageWriteError, OutputExistsError
from widesr.pixels.metrics import Channel, Protocol
from widesr.system.files import refuse_special, whole_file
from widesr.system.folders import is_folder
from widesr.system.machine import MachineReport
from widesr.system.version import __version__


class Frozen(BaseModel):
    """A part of a report: fixed, without unknown fields; infinity is the JSON string "Infinity"."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Scores(Frozen):
    """PSNR in dB, `inf` for equal pictures, and SSIM, under one protocol."""

    psnr: float
    ssim: float


class ImageReport(Frozen):
    """The result for one picture."""

    name: str
    lr: str
    """File name of the LR picture; "" if it was made from the HR one."""
    width: int
    """The width of the HR picture as compared, in pixels."""
    height: int
    seconds: float
    """The time of upscaling alone, without reading and scoring."""
    scores: dict[str, Scores]
    """Scores by the protocol's name."""
    measures: dict[str, float] = {}
    """Values of the other metrics that were asked for, by the metric's name."""


class MetricReport(Frozen):
    """The meaning of a number beside PSNR and SSIM."""

    name: str
    better: Literal["lower", "higher"]
    what: str
    network: str | None
    """The network of LPIPS, such as "lpips-squeeze"; None for other metrics."""
    weights_sha256: str | None
    """The hash of the network's weights file; None for other metrics."""


class ProtocolReport(Frozen):
    """The meaning of a protocol's numbers."""

    name: str
    channel: Channel
    shave: int
    """Border left out on each side, in HR pixels."""
    rounding: str
    source: str


class Comparison(Frozen):
    """The result of `compare_files`."""

    sr: str
    hr: str
    scale: int
    protocols: list[ProtocolReport]
    scores: dict[str, Scores]
    """Scores by the protocol's name."""


class ModelReport(Frozen):
    """The model that was judged."""

    name: str
    engine: str
    """The runtime; "imresize" for bicubic."""
    precision: str = "fp32"
    """The precision of computing; older reports, which lack it, are of fp32."""
    card_name: str | None
    """The name on the card inside the model file; None for bicubic."""
    sha256: str | None
    """The hash of the model file; None for bicubic."""
    self_ensemble: bool
    consistent: bool = False
    tile: int | Literal["auto"] | None


class Report(Frozen):
    """The result of `evaluate_folder`; `model_validate_json` reads the JSON back."""

    folder: str
    scale: int
    model: ModelReport
    degradation: str
    """The way in which the LR pictures were made, or the folder that held them."""
    protocols: list[ProtocolReport]
    images: list[ImageReport]
    mean: dict[str, Scores]
    """The mean over the pictures, by the protocol's name."""
    metrics: list[MetricReport] = []
    mean_measures: dict[str, float] = {}
    """The mean over the pictures, by the metric's name."""
    seconds: float
    """The time of upscaling all pictures."""
    date: str
    """ISO 8601, UTC."""
    versions: dict[str, str]
    machine: MachineReport


def protocol_report(protocol: Protocol, scale: int) -> ProtocolReport:
    """Describe a protocol in full for one scale."""
    luma = "Y rounded to whole levels" if protocol.y_rounded else "Y not rounded"
    return ProtocolReport(
        name=protocol.name,
        channel=protocol.channel,
        shave=protocol.shave(scale),
        rounding="SR rounded to integers" + (f", {luma}" if protocol.channel == "y" else ""),
        source=protocol.source,
    )


def check_report_path(path: Path) -> None:
    """Check before the work, and not after it, that a report can be written.

    Raises:
        ImageWriteError: The folder is missing or takes no file, or `path` is no regular file.
        OutputExistsError: The file exists and is no report, but perhaps a picture.
    """
    folder = path.parent
    if is_folder(path):
        raise ImageWriteError(f"{path}: is a folder, expected a file name for the report")
    if not (is_folder(folder) and os.access(folder, os.W_OK | os.X_OK)):
        found = "may not be written to" if is_folder(folder) else "is not a folder"
        raise ImageWriteError(f"{path}: {folder} {found}; name another file for the report")
    try:
        refuse_special(path)
    except OSError as error:
        raise ImageWriteError(f"{path}: {error.strerror}; name another file") from error
    if _first_byte(path) not in (b"", b"{"):
        raise OutputExistsError(f"{path}: exists already, and is no report; name another file")


def _first_byte(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1)
    except OSError:  # it does not exist, or writing it will say why it cannot be replaced
        return b""


def write_report(path: Path, report: BaseModel) -> None:
    """Write the report as JSON, the whole file or none; an older file is replaced.

    Raises:
        ImageWriteError: The folder is missing or takes no file.
    """
    try:
        with whole_file(path, overwrite=True) as file:
            file.write(report.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise ImageWriteError(
            f"{path}: the report cannot be written: {error.strerror}; name another file"
        ) from error


def versions() -> dict[str, str]:
    """Return the versions of all software that affects scores or times, by name."""
    from widesr.engine import ort  # here, because reading a report needs no runtime

    return {
        "widesr": __version__,
        "numpy": np.__version__,
        "onnxruntime": ort.VERSION,
        "pyvips": pyvips.__version__,
        "libvips": ".".join(str(pyvips.version(part)) for part in range(3)),
        "python": platform.python_version(),
    }
