"""Reads how a page of a TIFF file describes its pixels: their layout, depth and colours.

Nothing is decoded here. A page that passes is complete as far as its directory tells, and of a
supported kind, so decoders need not check it again.

Source: TIFF 6.0 (Adobe, 1992), and its Technical Note 2 for JPEG.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from widesr.errors import ImageFormatError
from widesr.pictures.tiff import Field, Tiff

NONE, LZW, OLD_JPEG, JPEG, PACKBITS, WEBP = 1, 5, 6, 7, 32773, 50001
DEFLATE = (8, 32946)
LZMA = 34925
DRAWN = {2: 1, 3: 1, 4: 1, 32771: 1, 32809: 4, 32766: 2}
"""The codecs that work on pixels, not bytes, with their bits: fax, ThunderScan and NeXT."""
LOSSY = (OLD_JPEG, JPEG, WEBP)
_OTHERS = {
    34661: "JBIG",
    34676: "LogLuv",
    34677: "LogLuv",
    32909: "PixarLog",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34926: "Zstandard",
    50000: "Zstandard",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""The names of other codecs, which occur but are not supported."""
WHITE_IS_ZERO, GREY, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {WHITE_IS_ZERO: 1, GREY: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
_NAMES = {8: "Lab", 9: "Lab", 10: "Lab"}
_SIGNED = {8: "char", 16: "short", 32: "int"}
_FLOATS = {16: "half", 32: "float", 64: "double"}
BAND, PREMULTIPLIED = 0, 1
"""The kinds of samples besides the colours that are not plain opacity."""


class OldJpeg(NamedTuple):
    """The tags of an old-style JPEG, which no two writers used alike."""

    start: int
    """The offset of a whole stream, or of its beginning; 0 for none."""
    size: int
    quantisation: list[int]
    """The offset of the table of each channel."""
    dc: list[int]
    ac: list[int]
    restart: int
    """The number of blocks between restarts."""
    subsampling: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Raster:
    """The places of a page's pixels, and the meaning of their values."""

    height: int
    width: int
    samples: int
    """The number of samples per pixel."""
    bits: int
    """The bits of each sample, 1 to 16."""
    order: str
    """The byte order, "<" or ">"."""
    reversed_bits: bool
    """True if the first bit is the lowest of its byte."""
    photometric: int
    extra: int | None
    """The sample after the colours: `BAND`, `PREMULTIPLIED`, 2 for opacity; None for none."""
    compression: int
    horizontal: bool
    """True if values are differences from the values on their left."""
    planes: int
    """1, or the number of samples if each has blocks of its own."""
    is_tiled: bool
    block: tuple[int, int]
    """The height and width of a tile or strip; the last strip may be lower."""
    places: NDArray[np.uint64]
    """The offset and size of each block, (planes, blocks, 2)."""
    subsampling: tuple[int, int] = (1, 1)
    """The pixels that share Cb and Cr: across, down."""
    luma: tuple[float, float, float] = (0.299, 0.587, 0.114)
    ranges: tuple[float, ...] = ()
    """The values of black and white for Y, Cb and Cr."""
    palette: NDArray[np.uint8] | None = None
    """The colours, (n, 3)."""
    options: int = 0
    """The options of the fax codecs."""
    tables: bytes = b""
    """The JPEG tables that all blocks share."""
    old_jpeg: OldJpeg | None = None

    @property
    def colours(self) -> int:
        """The number of samples in the file that are colours: 1, 3 or 4."""
        return _COLOURS[self.photometric]

    @property
    def block_samples(self) -> int:
        """The number of samples per pixel in a block: all of them, or one if these are planes."""
        return self.samples // self.planes

    @property
    def channels(self) -> int:
        """The number of channels of the decoded picture, where a palette has become RGB."""
        return self.samples + (2 if self.photometric == PALETTE else 0)

    @property
    def codec_gives_rgb(self) -> bool:
        """True if the codec decodes YCbCr to RGB, as libjpeg and libwebp do."""
        return self.samples == 3 and self.planes == 1 and self.compression in LOSSY

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the decoded values."""
        deep = self.bits > 8 and self.photometric != PALETTE
        return np.dtype(np.uint16 if deep else np.uint8)


def read_raster(path: Path, tiff: Tiff, at: int) -> Raster:
    """Read the directory at `at`.

    Raises:
        ImageFormatError: The pixels are of an unsupported kind.
        ValueError: The directory is damaged, or names blocks that are not in the file.
    """
    page = _Page(path, tiff, at)
    height, width = page.number(257, 0), page.number(256, 0)
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise ValueError(f"the size is {width}x{height}")
    samples, bits = page.number(277, 1), page.bits()
    photometric = page.photometric(samples)
    extra = page.beside_colours(photometric, samples)
    compression = page.compression(bits, photometric)
    planes = samples if page.number(284, 1) == 2 else 1
    is_tiled = 322 in page.fields or 324 in page.fields
    if is_tiled:
        block = page.number(323, 0), page.number(322, 0)
        if not all(0 < side < 2**24 for side in block):
            raise ValueError(f"tiles are {block[1]}x{block[0]}")
    else:
        block = min(page.number(278, 2**32 - 1), height), width
        if block[0] < 1:
            raise ValueError("strips have no rows")
    down, across = -(-height // block[0]), -(-width // block[1])
    subsampling = page.subsampling(compression, photometric)
    if subsampling != (1, 1) and (
        planes > 1 or (not is_tiled and down > 1 < block[0] % subsampling[1])
    ):
        raise page.variant("planes or strips with halved colours")
    horizontal = page.predictor(compression, bits, subsampling)
    return Raster(
        height=height,
        width=width,
        samples=samples,
        bits=bits,
        order=tiff.order,
        reversed_bits=page.number(266, 1) == 2,
        photometric=photometric,
        extra=extra,
        compression=compression,
        horizontal=horizontal,
        planes=planes,
        is_tiled=is_tiled,
        block=block,
        places=page.places(planes, down * across, compression, is_tiled=is_tiled),
        subsampling=subsampling,
        luma=page.luma(),
        ranges=page.ranges(bits),
        palette=page.palette(bits) if photometric == PALETTE else None,
        options=page.number(293 if compression == 4 else 292, 0) % 2**32,
        tables=page.raw(347),
        old_jpeg=page.old_jpeg() if compression == OLD_JPEG else None,
    )


class _Page:
    """The directory of a page."""

    def __init__(self, path: Path, tiff: Tiff, at: int) -> None:
        self._path, self._tiff = path, tiff
        self.fields: dict[int, Field] = tiff.directory(at)

    def number(self, tag: int, default: int) -> int:
        return self._tiff.number(self.fields, tag, default=default)

    def raw(self, tag: int) -> bytes:
        return self._tiff.raw(self.fields, tag)

    def _values(self, tag: int) -> NDArray[Any]:
        return self._tiff.values(self.fields, tag)

    def _integers(self, tag: int) -> NDArray[Any]:
        values = self._values(tag)
        if values.dtype.kind == "f":
            raise ValueError(f"tag {tag} holds fractions, integers were expected")
        return values

    def variant(self, what: str) -> ImageFormatError:
        return ImageFormatError(
            f"{self._path}: this is a variant of TIFF that is not read ({what}); open it in "
            "another program and save it as PNG or TIFF with 8 or 16 bits"
        )

    def bits(self) -> int:
        """Give the depth of all samples, which must be unsigned integers of one depth."""
        depths, kinds = set(self._values(258).tolist()) or {1}, set(self._values(339).tolist())
        if len(depths) > 1:
            raise self.variant("samples of different bits")
        bits = int(depths.pop())
        if kinds <= {1, 4} and 1 <= bits <= 16:
            return bits
        name = "uint" if bits == 32 else f"{bits}-bit integer"
        if kinds & {2}:
            name = _SIGNED.get(bits, f"signed {bits}-bit integer")
        elif kinds & {3}:
            name = _FLOATS.get(bits, f"{bits}-bit float")
        elif kinds & {5, 6}:
            name = "complex"
        raise ImageFormatError(
            f"{self._path}: the values are of type {name}, unsigned integers of 1 to 16 bits "
            "were expected; save it as a 16-bit TIFF or PNG"
        )

    def photometric(self, samples: int) -> int:
        photometric = self.number(262, RGB if samples > 2 else GREY)
        if photometric not in _COLOURS:
            name = _NAMES.get(photometric, f"of photometric type {photometric}")
            raise ImageFormatError(
                f"{self._path}: the colours are {name}, RGB, grey or CMYK was expected; save it "
                "as RGB"
            )
        if photometric == CMYK and self.number(332, 1) != 1:
            raise self.variant("inks other than CMYK")
        return photometric

    def beside_colours(self, photometric: int, samples: int) -> int | None:
        """Give the kind of the sample after the colours, of which there may be one."""
        colours = _COLOURS[photometric]
        if samples not in (colours, colours + 1):
            raise ImageFormatError(
                f"{self._path}: has {samples} channels, expected grey, RGB or CMYK, with or "
                "without alpha; save it as RGB"
            )
        if samples == colours:
            return None
        kinds = self._values(338)
        kind = int(kinds[-1]) if len(kinds) else BAND
        kind = kind if kind in (PREMULTIPLIED, 2) else BAND
        if kind == BAND and photometric in (CMYK, PALETTE):
            raise self.variant("a band that is not opacity beside inks or a palette")
        if kind == PREMULTIPLIED and photometric == PALETTE:
            raise self.variant("a palette with premultiplied opacity")
        return kind

    def compression(self, bits: int, photometric: int) -> int:
        compression = self.number(259, NONE)
        if compression in _OTHERS:
            raise self.variant(f"{_OTHERS[compression]} compression")
        drawn = DRAWN.get(compression)
        if drawn is not None:
            if (bits, self.number(277, 1)) != (drawn, 1) or photometric == YCBCR:
                raise self.variant(f"compression {compression} of other than {drawn} bits")
        elif compression in LOSSY:
            if bits != 8 or photometric == PALETTE:
                raise self.variant(f"lossy compression of {bits}-bit or palette values")
        elif compression not in (NONE, LZW, PACKBITS, LZMA, *DEFLATE):
            raise self.variant(f"compression of type {compression}")
        return compression

    def predictor(self, compression: int, bits: int, subsampling: tuple[int, int]) -> bool:
        predictor = self.number(317, 1)
        if compression not in (LZW, LZMA, *DEFLATE) or predictor == 1:
            return False
        if predictor != 2 or bits not in (8, 16) or subsampling != (1, 1):
            raise self.variant(f"predictor {predictor} of {bits}-bit values")
        return True

    def subsampling(self, compression: int, photometric: int) -> tuple[int, int]:
        if photometric != YCBCR or compression in LOSSY:
            return 1, 1  # a codec undoes its own subsampling
        return self._subsampling()

    def _subsampling(self) -> tuple[int, int]:
        values = [*self._values(530).tolist(), 2, 2]
        across, down = values[:2] if len(values) == 4 else (2, 2)
        if not {across, down} <= {1, 2, 4}:
            raise ValueError(f"colours are subsampled {across}x{down}")
        return int(across), int(down)

    def old_jpeg(self) -> OldJpeg:
        quantisation, dc, ac = (self._integers(tag).tolist() for tag in (519, 520, 521))
        return OldJpeg(
            start=self.number(513, 0),
            size=self.number(514, 0),
            quantisation=quantisation,
            dc=dc,
            ac=ac,
            restart=self.number(515, 0),
            subsampling=self._subsampling(),
        )

    def luma(self) -> tuple[float, float, float]:
        values = self._values(529).tolist()
        if len(values) == 3 and values[1] > 0 and all(0 <= value < 1 for value in values):
            return values[0], values[1], values[2]
        return Raster.luma

    def ranges(self, bits: int) -> tuple[float, ...]:
        top, half = 2**bits - 1, 2 ** (bits - 1)
        values = self._values(532).tolist()
        is_stated = len(values) == 6 and np.isfinite(values).all()
        if is_stated and all(a != b for a, b in zip(values[::2], values[1::2], strict=True)):
            return tuple(values)
        return 0.0, top, half, top, half, top

    def palette(self, bits: int) -> NDArray[np.uint8]:
        values = self._integers(320)
        if len(values) < 3 * 2**bits:
            raise ValueError("the palette is cut short")
        values = values[: 3 * 2**bits].reshape(3, -1).T
        deep = values.max() > 255  # else an old writer put 8-bit values
        return np.ascontiguousarray(values >> 8 if deep else values, np.uint8)

    def places(
        self, planes: int, blocks: int, compression: int, *, is_tiled: bool
    ) -> NDArray[np.uint64]:
        """Give the offset and size of each block, and check that it is in the file."""
        name, size = "tile" if is_tiled else "strip", len(self._tiff.data)
        offsets = self._integers(324 if is_tiled and 324 in self.fields else 273)
        counts = self._integers(325 if is_tiled and 325 in self.fields else 279)
        n = planes * blocks
        if len(offsets) < n:
            raise ValueError(f"{n} {name}s are needed, {len(offsets)} are named")
        offsets = offsets[:n].astype(np.int64)
        if len(counts) == 0 and (n == 1 or compression == NONE):
            counts = size - offsets  # an old writer gave none; missing data are detected later
        if len(counts) < n:
            raise ValueError(f"{n} {name}s are needed, the bytes of {len(counts)} are named")
        counts = counts[:n].astype(np.int64)
        if compression == NONE:  # the last may claim to be as long as the others
            counts = np.clip(counts, 0, size - offsets)
        wrong = (offsets <= 0) | (counts <= 0) | (counts > size - offsets)
        if wrong.any():
            raise ValueError(f"{name} {wrong.argmax() + 1} of {n} is not in the file")
        return np.stack([offsets, counts], axis=1).astype(np.uint64).reshape(planes, blocks, 2)
