"""Whole pictures for the fuzzer: python tests/helpers/seeds.py writes tests/assets/corpus/.

They are kept as files, so that a seed of the fuzzer gives the same damage whatever versions of
Pillow and tifffile are there. In defects/ beside them lies every file that ever showed a defect.
"""

import re
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image

from bitmaps import BMPS, NETPBM, NETPBM_16
from metadata_samples import IPTC, XMP
from samples import (
    PALETTE,
    PIXELS,
    RGB,
    RGBA,
    by_pillow,
    full_exif,
    noise,
    pillow_image,
    profile,
    smooth,
    tiff,
)
from widesr.pictures.picture import Picture
from widesr.pictures.writing import write_picture

CORPUS = Path(__file__).parents[1] / "assets" / "corpus"
DEFECTS = CORPUS / "defects"


def whole_pictures() -> dict[str, bytes]:
    """Whole pictures of every kind, small, with metadata, by name."""
    files = {name: data for name, (data, _) in PIXELS.items()}
    files |= {f"bmp {name}": data for name, data in BMPS.items()}
    files |= {f"netpbm {name}": data for name, (data, _) in NETPBM.items()}
    files |= {f"netpbm 16 {name}": data for name, (data, _) in NETPBM_16.items()}
    return files | by_others() | by_libvips() | by_libheif() | by_us()


def by_others() -> dict[str, bytes]:
    """Write files by Pillow and tifffile."""
    exif = {"exif": b"Exif\0\0" + full_exif(thumbnail=b"\xff\xd8\xff" + bytes(90))}
    turned_exif = {"exif": b"Exif\0\0" + full_exif(orientation=6)}
    photo, other = pillow_image(smooth()), pillow_image(255 - smooth())
    cmyk, two = photo.convert("CMYK"), [photo, other]
    files = {}
    for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        files[f"{name} with profile"] = by_pillow(photo, name, icc_profile=profile(), **exif)
        files[f"{name} grey"] = by_pillow(photo.convert("L"), name)
    files |= {
        "jpeg progressive": by_pillow(photo, "JPEG", progressive=True, subsampling=2),
        "jpeg restarts": by_pillow(photo, "JPEG", subsampling=1, restart_marker_blocks=3),
        "jpeg cmyk": by_pillow(cmyk, "JPEG"),
        "jpeg on its side": by_pillow(photo, "JPEG", xmp=XMP, **turned_exif),
        "png on its side": by_pillow(photo, "PNG", **turned_exif),
        "tiff cmyk lzw": by_pillow(cmyk, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": by_pillow(photo, "TIFF", compression="jpeg"),
        "tiff packbits": by_pillow(photo, "TIFF", compression="packbits"),
        "tiff on its side": by_pillow(photo, "TIFF", tiffinfo={274: 8}),
        "avif alpha": by_pillow(Image.fromarray(RGBA, "RGBA"), "AVIF"),
        "webp lossy alpha": by_pillow(Image.fromarray(RGBA, "RGBA"), "WEBP", xmp=XMP, **exif),
        "png animated": by_pillow(photo, "PNG", save_all=True, append_images=two),
        "webp animated": by_pillow(photo, "WEBP", save_all=True, append_images=two),
        "gif animated": by_pillow(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(9)]),
        "tiff strips": tiff(smooth(), photometric="rgb", rowsperstrip=7, compression="zlib"),
        "tiff tiles deflate": tiff(
            smooth(dtype=np.uint16), photometric="rgb", tile=(16, 32), compression="zlib"
        ),
        "tiff deep predictor": tiff(
            smooth(dtype=np.uint16), photometric="rgb", compression="zlib", predictor=True
        ),
        "tiff deep cmyk": tiff(noise(9, 8, 4, np.uint16), photometric="separated"),
        "tiff pages": tiff(np.stack([RGB, RGB]), photometric="rgb", metadata=None),
        "tiff float": tiff(smooth()[..., 0].astype(np.float32)),
    }
    return files


def by_libvips() -> dict[str, bytes]:
    """Write what Pillow cannot: interlaced PNG and GIF, AVIF of 10 bits."""
    photo = pyvips.Image.new_from_array(smooth())
    deep = pyvips.Image.new_from_array(smooth(dtype=np.uint16))
    deep = deep.copy(interpretation="rgb16")
    return {
        "png interlaced": photo.pngsave_buffer(interlace=True),
        "png interlaced deep": deep.pngsave_buffer(interlace=True, bitdepth=16),
        "gif interlaced": photo.gifsave_buffer(interlace=True),
        "avif 10 bit": deep.heifsave_buffer(compression="av1", bitdepth=10),
        "tiff pyramid": photo.tiffsave_buffer(tile=True, tile_width=16, tile_height=16),
        "tiff webp": photo.tiffsave_buffer(compression="webp"),
    }


def by_libheif() -> dict[str, bytes]:
    """Write HEIC of 8 and 10 bits."""
    import pillow_heif

    def heic(mode: str, pixels: np.ndarray) -> bytes:
        file = BytesIO()
        pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes()).save(file)
        return file.getvalue()

    return {
        "heic": heic("RGBA", RGBA),
        "heic 10 bit": heic("RGB;16", smooth(dtype=np.uint16)),
    }


def by_us() -> dict[str, bytes]:
    """Write files by widesr, with all the metadata that fits."""
    ours = Picture(
        pixels=smooth(),
        icc=profile(),
        exif=full_exif(),
        xmp=XMP,
        iptc=IPTC,
        pixels_per_mm=(9, 8),
    )
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for suffix in ("jpg", "png", "webp", "tif", "avif"):
            path = Path(folder) / f"ours.{suffix}"
            write_picture(path, ours)
            files[f"ours {suffix}"] = path.read_bytes()
        return files


def main() -> None:
    """Write them anew."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    for old in CORPUS.iterdir():
        if old.is_file():
            old.unlink()
    for name, data in whole_pictures().items():
        (CORPUS / re.sub(r"\W+", "-", name.lower())).write_bytes(data)


if __name__ == "__main__":
    main()
