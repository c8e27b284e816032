"""Measures pictures by named metrics beside PSNR and SSIM."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from widesr.errors import DataError, ShapeError, UsageError
from widesr.evaluation.perceptual.lpips import Lpips
from widesr.evaluation.perceptual.niqe import niqe
from widesr.evaluation.report import MetricReport
from widesr.pixels.consistency import lr_psnr
from widesr.pixels.spectrum import lattice_peak, spectral_distance
from widesr.system.arguments import path_of, shown

BY_PROTOCOL = ("psnr", "ssim")
"""The metrics that have a protocol, and are always measured."""
_ABOUT: dict[str, tuple[Literal["lower", "higher"], str]] = {
    "lpips": ("lower", "distance of the maps of a network from the original's"),
    "niqe": ("lower", "how unnatural the picture looks, without its original; Y, no border"),
    "lr-psnr": ("higher", "dB, RGB, of SR shrunk by imresize against LR, no border"),
    "spectrum": ("lower", "dB, RMS distance of the radial spectra of SR and HR, Y"),
    "lattice": ("lower", "dB, power at the multiples of 1/scale against its neighbours, Y"),
}
"""Other metrics by name: the better direction, and a description."""
METRICS = (*BY_PROTOCOL, *_ABOUT)
"""The names of all metrics."""


@dataclass(frozen=True, kw_only=True)
class Triple:
    """An SR picture, its LR, and the HR that it should be; uint8 or uint16, (H, W, C)."""

    sr: NDArray[Any]
    hr: NDArray[Any]
    lr: NDArray[Any]
    scale: int


class Judge:
    """Measures the pictures of an evaluation by the metrics that were asked for."""

    def __init__(self, metrics: Sequence[str], *, lpips_weights: Path | None = None) -> None:
        """Look up the metrics, and read the weights of LPIPS if it is one of them.

        Args:
            metrics: Names from `METRICS`.
            lpips_weights: File of weights, as for `Lpips`; only "lpips" needs it.

        Raises:
            UsageError: An unknown metric, LPIPS without weights, or weights without LPIPS.
            ModelFileError: The weights cannot be used.
        """
        metrics = [metrics] if isinstance(metrics, str) else metrics
        if not isinstance(metrics, Sequence):
            raise UsageError(f"expected metrics as a list of names, got {shown(metrics)}")
        unknown = [name for name in metrics if name not in METRICS]
        if unknown:
            raise UsageError(
                f"metric {unknown[0]!r} is not known; expected some of {', '.join(METRICS)}"
            )
        self._names = [name for name in _ABOUT if name in metrics]
        self._lpips = None
        if "lpips" in metrics:
            if lpips_weights is None:
                raise UsageError(
                    "LPIPS looks with a network whose weights are not part of widesr; name a "
                    "safetensors file of torchvision's SqueezeNet 1.1, AlexNet or VGG16",
                    options=["lpips_weights"],
                )
            self._lpips = Lpips(path_of(lpips_weights, "lpips_weights"))
        elif lpips_weights is not None:
            raise UsageError(
                f"weights for LPIPS are given, but the metrics are {', '.join(metrics)}; add lpips",
                options=["metrics"],
            )

    @property
    def reports(self) -> list[MetricReport]:
        """The metrics' descriptions for the report."""
        return [
            MetricReport(
                name=name,
                better=_ABOUT[name][0],
                what=_ABOUT[name][1],
                network=self._lpips.name if self._lpips and name == "lpips" else None,
                weights_sha256=self._lpips.sha256 if self._lpips and name == "lpips" else None,
            )
            for name in self._names
        ]

    def measure(self, triple: Triple, *, name: str) -> dict[str, float]:
        """Measure a picture by each metric; `name` is its name in errors.

        Raises:
            DataError: The picture is too small for a metric.
        """
        try:
            return {metric: self._measured(metric, triple) for metric in self._names}
        except ShapeError as error:
            raise DataError(f"{name}: cannot be measured: {error.message}") from error

    def _measured(self, metric: str, triple: Triple) -> float:
        match metric:
            case "lpips":
                assert self._lpips is not None
                return self._lpips(triple.sr, triple.hr)
            case "niqe":
                return niqe(triple.sr)
            case "lr-psnr":
                return lr_psnr(triple.sr, triple.lr)
            case "spectrum":
                return spectral_distance(triple.sr, triple.hr)
            case "lattice":
                return lattice_peak(triple.sr, scale=triple.scale)
        raise AssertionError(metric)


def mean_measures(measures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Take the mean of each metric over the pictures."""
    return {name: float(np.mean([each[name] for each in measures])) for name in measures[0]}
