"""Contents of a picture file as a program sees them, in terms that can be compared."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms


class NoOracleError(Exception):
    """Neither Pillow nor tifffile reads such a file, or what they give is known to be wrong."""


class DamagedError(Exception):
    """A file of which not all pixels are there, says another program."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that is compared of a file."""

    frames: list[np.ndarray]
    """float32 in [0, 1], (H, W, 4): straight RGBA, upright."""
    bits: int
    """Bits of a channel, as the file states them."""
    alpha: bool = False
    """True if there is a channel, or a colour, for transparency."""
    extra: list[np.ndarray] | None = None
    """Bands that are neither colour nor alpha, float32, (H, W, n), one array a frame."""
    times: tuple[int, ...] | None = None
    """Milliseconds that each frame of an animation is shown."""
    plays: int | None = None
    icc: bytes | None = None
    """A profile that suits the channels."""
    tagged: bool = False
    """True if the colours are named in other ways: by codes, a gamma, or as inks."""
    in_srgb: bool = False
    """True if the frames are in sRGB, whatever is in the file: inks are."""
    uncertain: str | None = None
    """Reason for which the colours, though not their places, may differ."""
    dots: tuple[tuple[float, float], ...] = ()
    """Pixels per inch across and down, from each place that states any."""
    aspect: float = 1.0
    """Density across divided by that down, where no unit is stated."""
    geo: tuple[float, ...] | None = None
    """Ground covered by a pixel, of GeoTIFF."""
    turned: bool = False
    """True if the file asks to be turned when it is shown."""


def rgba(array: np.ndarray) -> np.ndarray:
    """Straight RGBA of grey or RGB, (H, W) or (H, W, C), in [0, 1], with alpha or without."""
    array = np.atleast_3d(array).astype(np.float32)
    alpha = np.ones((*array.shape[:2], 1), np.float32)
    match array.shape[2]:
        case 1:
            return np.concatenate([array] * 3 + [alpha], axis=2)
        case 2:
            return np.concatenate([array[..., :1]] * 3 + [array[..., 1:]], axis=2)
        case 3:
            return np.concatenate([array, alpha], axis=2)
    return array


def straight(frame: np.ndarray) -> np.ndarray:
    """RGBA whose colours were multiplied by their alpha, without that."""
    alpha = np.maximum(frame[..., 3:], 1e-6)
    return np.concatenate([np.minimum(frame[..., :3] / alpha, 1), frame[..., 3:]], axis=2)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Apply EXIF's orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    across = orientation in (2, 3, 6, 7)
    down = orientation in (3, 4, 7, 8)
    return array[:: -1 if down else 1, :: -1 if across else 1]


def suitable(icc: bytes | None, *, grey: bool = False) -> bytes | None:
    """The profile, if it can be read and is one of these channels; RGB's serves grey too."""
    if not icc:
        return None
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space.strip()
        ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError, ValueError, AttributeError):
        return None
    return icc if space == "RGB" or (grey and space == "GRAY") else None


def converted(frame: np.ndarray, icc: bytes | None) -> np.ndarray:
    """The frame in sRGB, through LittleCMS, in 8 bits; without a profile it is sRGB."""
    if icc is None:
        return frame
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    levels = np.round(frame[..., :3] * 255).astype(np.uint8)
    grey = profile.profile.xcolor_space.strip() == "GRAY"
    image = Image.fromarray(levels[..., 0] if grey else levels)
    colours = through(image, profile)
    return np.concatenate([colours, frame[..., 3:]], axis=2)


def through(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> np.ndarray:
    """sRGB of a PIL image, as relative colours, black to black: float32, (H, W, 3)."""
    made = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(made, np.float32) / 255


def inks(array: np.ndarray, icc: bytes | None) -> tuple[np.ndarray, str | None]:
    """sRGB of CMYK in [0, 1], 1 for full ink; and why that is not certain."""
    levels = np.round(array[..., :4] * 255).astype(np.uint8)
    if icc:
        try:
            image = Image.frombytes("CMYK", levels.shape[1::-1], levels.tobytes())
            return through(image, ImageCms.ImageCmsProfile(io.BytesIO(icc))), None
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return (1 - array[..., :3]) * (1 - array[..., 3:4]), "CMYK without a profile that can be read"
