"""Reads one page of a TIFF file: its pixels as rows, and its metadata."""

from dataclasses import dataclass

from widesr.pictures.blocks import decoded_plane
from widesr.pictures.colour import inks_to_srgb
from widesr.pictures.density import Density, density_of_tiff
from widesr.pictures.geo import Place, lost_tags, place_of
from widesr.pictures.inks import coloured
from widesr.pictures.metadata import (
    IPTC_TAG,
    Metadata,
    descriptive,
    exif_of,
    orientation_in,
    speaks_of_pixels,
)
from widesr.pictures.raster import BAND, CMYK, Raster, read_raster
from widesr.pictures.sources import PictureFile
from widesr.pictures.tiff import Sliceable, Tiff
from widesr.pixels.rows import Rows

_DESCRIPTION, _ICC, _XMP = 270, 34675, 700


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A page whose directory was read, but no pixels."""

    file: Sliceable
    raster: Raster
    icc: bytes | None
    metadata: Metadata
    """The metadata as it is in the file."""
    density: Density
    orientation: int
    """The orientation as EXIF counts it, 1 to 8."""
    place: Place | None
    lost: tuple[str, ...]
    """The names of tags that are not kept, as they would no longer be true."""

    @property
    def has_band(self) -> bool:
        """True if the last channel is a band of its own, not opacity."""
        return self.raster.extra == BAND

    @property
    def channels(self) -> int:
        """The channels of `rows`."""
        return self.raster.channels - (self.raster.photometric == CMYK)

    def rows(self) -> tuple[Rows, bytes | None]:
        """Decode to grey or RGB, then opacity or another band, and give their profile too.

        Raises:
            ValueError: The file is damaged; also raised while rows are read.
            pyvips.Error: The same, or the profile is damaged.
        """
        first, *others = (
            decoded_plane(self.raster, self.file, plane) for plane in range(self.raster.planes)
        )
        for other in others:
            first = first.beside(other)
        rows = coloured(first, self.raster)
        return inks_to_srgb(rows, self.icc) if self.raster.photometric == CMYK else (rows, self.icc)


def pages_of_tiff(file: Sliceable) -> list[int]:
    """Number the pages from 0, without smaller copies.

    Raises:
        ValueError: The directories are damaged.
    """
    tiff = Tiff.open(file)
    fields = map(tiff.directory, tiff.directories())
    types = [tiff.number(each, 254, default=0) for each in fields]
    return [number for number, type_ in enumerate(types) if not type_ & 1] or [0]


def open_scan(file: PictureFile, number: int) -> Scan:
    """Read the directory of a page.

    Raises:
        ImageFormatError: The pixels are of an unsupported kind.
        ValueError: The file is damaged.
    """
    tiff = Tiff.open(file)
    at = tiff.directories()[number]
    raster, fields = read_raster(file.path, tiff, at), tiff.directory(at)
    tree, lost = descriptive(tiff, at), lost_tags(tiff, at)
    if speaks_of_pixels(tiff.raw(fields, _DESCRIPTION)):
        tree.pop(_DESCRIPTION, None)
        lost.append("ImageDescription")
    orientation = orientation_in(tiff, fields)
    place = place_of(tiff, at, height=raster.height, width=raster.width)
    if place and orientation != 1:
        place, lost = None, [*lost, "GeoTIFF"]
    return Scan(
        file=file,
        raster=raster,
        icc=tiff.raw(fields, _ICC) or None,
        metadata=Metadata(
            exif=exif_of(tree) if tree else None,
            xmp=tiff.raw(fields, _XMP) or None,
            iptc=tiff.raw(fields, IPTC_TAG) or None,
        ),
        density=density_of_tiff(tiff, fields),
        orientation=orientation,
        place=place,
        lost=tuple(lost),
    )
