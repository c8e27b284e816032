"""Faithful single-image super-resolution with WDSR.

Importing the package loads nothing heavy: each name loads its module when it is first used.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from widesr.system.version import __version__ as __version__

if TYPE_CHECKING:
    from widesr.engine import Engine, EngineOptions, find_model, load_engine
    from widesr.errors import WidesrError
    from widesr.evaluation.report import Report
    from widesr.evaluation.scoring import evaluate_folder
    from widesr.models.catalog import ModelCard, ModelFile, list_models
    from widesr.models.mirrors import pull_model
    from widesr.pictures.picture import Picture
    from widesr.pictures.reading import read_picture
    from widesr.pictures.writing import write_picture
    from widesr.pixels.metrics import PROTOCOLS, Protocol, psnr, ssim
    from widesr.pixels.resize import imresize
    from widesr.upscaling.api import upscale
    from widesr.upscaling.sampling import samples, variance_map
    from widesr.upscaling.upscaler import Upscaler
    from widesr.video.api import upscale_frames, upscale_video
    from widesr.video.upscale import VideoResult

logging.getLogger("widesr").addHandler(logging.NullHandler())  # what is said is the program's

__all__ = [
    "PROTOCOLS",
    "Engine",
    "EngineOptions",
    "ModelCard",
    "ModelFile",
    "Picture",
    "Protocol",
    "Report",
    "Upscaler",
    "VideoResult",
    "WidesrError",
    "evaluate_folder",
    "find_model",
    "imresize",
    "list_models",
    "load_engine",
    "psnr",
    "pull_model",
    "read_picture",
    "samples",
    "ssim",
    "upscale",
    "upscale_frames",
    "upscale_video",
    "variance_map",
    "write_picture",
]

_MODULES = {
    "engine": ("Engine", "EngineOptions", "find_model", "load_engine"),
    "errors": ("WidesrError",),
    "evaluation.report": ("Report",),
    "evaluation.scoring": ("evaluate_folder",),
    "models.catalog": ("ModelCard", "ModelFile", "list_models"),
    "models.mirrors": ("pull_model",),
    "pictures.picture": ("Picture",),
    "pictures.reading": ("read_picture",),
    "pictures.writing": ("write_picture",),
    "pixels.metrics": ("PROTOCOLS", "Protocol", "psnr", "ssim"),
    "pixels.resize": ("imresize",),
    "upscaling.api": ("upscale",),
    "upscaling.sampling": ("samples", "variance_map"),
    "upscaling.upscaler": ("Upscaler",),
    "video.api": ("upscale_frames", "upscale_video"),
    "video.upscale": ("VideoResult",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any of the public names)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next look-up finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
