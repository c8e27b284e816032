"""Validates a network on photographs that it never learned from: scores, and a sheet to look at."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from widesr.data.patches import PICTURE, Pair, Span, frames_of, n_frames, stills
from widesr.nets import Network
from widesr.pixels.consistency import lr_psnr
from widesr.pixels.drawing import densest, joined, titled
from widesr.pixels.metrics import PROTOCOLS, psnr
from widesr.pixels.noise import noise_rows
from widesr.pixels.resize import imresize
from widesr.pixels.spectrum import lattice_peak
from widesr.train.features import Perceptual
from widesr.train.run import as_tensor
from widesr.train.tables import Scores

_CROP = 128
"""Largest side of the centre of a held-out photograph that is validated on, in LR pixels."""
_SHOWN = 4
"""Largest number of photographs on a sheet."""
_WINDOW = 192
"""Largest side of the window that a sheet shows of each photograph, in HR pixels."""
_EXACT = 100.0
"""PSNR in dB of equal pictures, such as flat ones: means would be infinite, and no weights best."""
_SAMPLES = 3
"""Number of pictures that a network with noise makes of each photograph."""
_WITH_SPECTRUM = 32
"""Smallest side of a picture in which a lattice can be measured, in HR pixels."""


class Validated(NamedTuple):
    """The pictures that a network made of the held-out photographs or frames, and their scores."""

    scores: Scores
    pictures: list[NDArray[np.uint8]]
    """(s*h, s*w, 3) each."""


def centre(pair: Pair, *, scale: int, span: Span = PICTURE) -> Pair:
    """Crop the centre of a photograph, so that validation takes seconds.

    Of a clip, take the frames around the middle one, or all frames if the network learns them all.
    """
    height, width = (min(side, _CROP) for side in pair.lr.shape[:2])
    y, x = (pair.lr.shape[0] - height) // 2, (pair.lr.shape[1] - width) // 2
    lr = pair.lr[y : y + height, x : x + width]
    hr = pair.hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]
    if (n := n_frames(pair)) > 1:
        read = tuple(range(n)) if span.learns_all else span.around(n // 2, n)
        learned = read if span.learns_all else span.learned(read)
        lr, hr = (
            np.concatenate([frames_of(whole)[at] for at in frames], axis=2)
            for whole, frames in ((lr, read), (hr, learned))
        )
    # Copies: the whole pictures can be freed, and torch does not take arrays mapped from a file.
    return Pair(pair.name, lr.copy(), hr.copy())


def validate(
    network: Network,
    pairs: Sequence[Pair],
    *,
    device: torch.device,
    perceptual: Perceptual | None = None,
) -> Validated:
    """Upscale the LR of each pair, rounded to 8 bits, and score the result.

    Args:
        network: The network as it is trained; it is not changed.
        pairs: The pairs of LR and HR, at least one.
        device: The device that the networks are on.
        perceptual: The network of LPIPS; None leaves LPIPS out.
    """
    fused = network.fused().eval()
    sets = [_samples(fused, pair.lr, device=device) for pair in pairs]
    pictures = [frame for samples in sets for frame in frames_of(samples[0])]
    alone = stills(pairs)
    made = list(zip(pictures, alone, strict=True))
    scale = network.cfg.scale
    lpips = space = None
    if perceptual:
        judged = sets if network.noise else [[sr] for sr in pictures]
        found = [
            _distances(perceptual, samples, pair.hr, device)
            for samples, pair in zip(judged, alone, strict=True)
        ]
        lpips = float(np.mean([each.mean for each in found]))
        if network.noise:
            space = float(np.mean([100 * (1 - each.nearest / each.best) for each in found]))
    scores = Scores(
        psnr=float(np.mean([_psnr(sr, pair.hr, scale) for sr, pair in made])),
        lpips=lpips,
        lr_psnr=float(np.mean([min(lr_psnr(sr, pair.lr), _EXACT) for sr, pair in made])),
        lattice=_lattice(pictures, scale=scale),
        space=space,
    )
    return Validated(scores, pictures)


def _samples(
    network: Network, lr: NDArray[np.uint8], *, device: torch.device
) -> list[NDArray[np.uint8]]:
    """Make a network's picture, or several if it reads noise; they are the same each time."""
    made = []
    read = as_tensor(lr[None], device)
    for seed in range(_SAMPLES if network.noise else 1):
        x = read
        if network.noise:
            noise = noise_rows(*lr.shape[:2], channels=network.noise, seed=seed).whole()
            beside = torch.from_numpy(noise).to(device).permute(2, 0, 1)
            x = torch.cat([read, beside[None]], dim=1)
        with torch.inference_mode():
            sr = network(x)[0].permute(1, 2, 0).cpu().numpy()
        made.append(np.floor(np.clip(sr, 0, 1) * 255 + 0.5).astype(np.uint8))
    return made


class _Distances(NamedTuple):
    """LPIPS distances of a network's samples from the photograph."""

    mean: float
    best: float
    nearest: float
    """The distance if the nearest sample is taken at each place."""


def _distances(
    perceptual: Perceptual,
    samples: Sequence[NDArray[np.uint8]],
    hr: NDArray[np.uint8],
    device: torch.device,
) -> _Distances:
    truth = as_tensor(hr[None], device)
    with torch.inference_mode():
        if len(samples) == 1:
            distance = float(perceptual(as_tensor(samples[0][None], device), truth))
            return _Distances(mean=distance, best=distance, nearest=distance)
        maps = torch.cat([perceptual.maps(as_tensor(sr[None], device), truth) for sr in samples])
        means = maps.mean(dim=(1, 2, 3, 4))
        return _Distances(float(means.mean()), float(means.min()), float(maps.amin(dim=0).mean()))


def _lattice(pictures: Sequence[NDArray[np.uint8]], *, scale: int) -> float | None:
    large = [each for each in pictures if min(each.shape[:2]) >= _WITH_SPECTRUM]
    return max((lattice_peak(each, scale=scale) for each in large), default=None)


def bicubic_psnr(pairs: Sequence[Pair], *, scale: int) -> float:
    """Score bicubic interpolation on the same photographs, in dB, which a network has to beat."""
    scores = [_psnr(imresize(pair.lr, scale=scale), pair.hr, scale) for pair in stills(pairs)]
    return float(np.mean(scores))


def draw_sheet(
    network: Network, pairs: Sequence[Pair], pictures: Sequence[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Put a window of the first photographs side by side: bicubic, the network's, and the HR.

    The window is where the HR picture has the most detail; the labels give the PSNR-Y of the centre
    that was validated on.

    Returns:
        (H, W, 3), RGB.
    """
    rows, scale = [], network.cfg.scale
    for pair, sr in list(zip(stills(pairs), pictures, strict=True))[:_SHOWN]:
        bicubic = imresize(pair.lr, scale=scale)
        windows = _windows(pair.hr, bicubic, sr)
        titles = (
            f"HR {pair.name}",
            f"bic {_psnr(bicubic, pair.hr, scale):.2f} dB",
            f"SR {_psnr(sr, pair.hr, scale):.2f} dB",
        )
        hr, *others = (
            titled(title, window, width=_WINDOW)
            for title, window in zip(titles, windows, strict=True)
        )
        rows.append(joined([*others, hr], axis=1))
    return joined(rows, axis=0)


def _windows(hr: NDArray[np.uint8], *others: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Cut the same window out of pictures of one size, where the first has the most detail."""
    grey = hr.astype(np.int64).sum(axis=2)
    detail = np.abs(np.diff(grey, axis=0, prepend=grey[:1]))
    detail += np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    height, width = (min(side, _WINDOW) for side in grey.shape)
    top, left = densest(detail, height=height, width=width)
    return [picture[top : top + height, left : left + width] for picture in (hr, *others)]


def _psnr(sr: NDArray[np.uint8], hr: NDArray[np.uint8], scale: int) -> float:
    return min(psnr(sr, hr, protocol=PROTOCOLS["benchmark-y"], scale=scale), _EXACT)
