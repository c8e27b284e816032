"""Pictures of every kind as other programs write them: ImageMagick, cjpeg, cwebp, avifenc, ...

A kind is a list of commands that turn a source picture into a sample, and what exiftool must find
in the sample, so that a program that quietly writes something else is found out.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

from others import icc_file, tags
from samples import chunk, png, profile
from studio import PICTURES, Kind, Studio

GREY = "magick {rgb} -channel G -separate +channel"
TO_GREY = "magick {rgba} -colorspace gray"
PALETTED = 3
"""Levels that a smooth picture of a palette may be off: networks draw its steps as edges."""
FEW_COLOURS = "magick {rgb} +dither -colors 250"
PPM = "magick {rgb} -depth 8 {folder}/a.ppm\n"
PNG = "magick {rgb} PNG24:{folder}/a.png\n"
PNG_ALPHA = "magick {rgba} PNG32:{folder}/a.png\n"
AVIFENC = "avifenc -s 9 -j 1 --min 0 --max 6 --minalpha 0 --maxalpha 0"
BLOCKS = ("blocks",)


def _png(colour_type: int, bits: int) -> str:
    return f" -define png:color-type={colour_type} -define png:bit-depth={bits} {{sample}}"


def _with_chunks(source: tuple[str, ...], **bodies: bytes) -> Callable[[Studio], None]:
    """An 8-bit PNG with chunks that name its colours, and no other; `source` ends with them."""
    start = "-channel G -separate +channel -profile {grey22}"
    start = start if source[0] == "grey" else "-profile {srgb}"
    through = " ".join(f"-profile {{{name}}}" for name in source[1:])

    def make(studio: Studio) -> None:
        commands = f"magick {{rgb}} {start} {through} -strip -depth 8"
        studio.run(commands + " -define png:exclude-chunks=all PNG:{sample}")
        data, header = studio.sample.read_bytes(), 33
        added = b"".join(chunk(name.encode(), body) for name, body in bodies.items())
        studio.sample.write_bytes(data[:header] + added + data[header:])

    return make


def _by_tifffile(channels: int, dtype: Any = np.uint8, **options: Any) -> Callable[[Studio], None]:
    def make(studio: Studio) -> None:
        array = studio.levels(channels, dtype)
        if options.get("planarconfig") == "separate":
            array = np.ascontiguousarray(array.transpose(2, 0, 1))
        elif channels == 1:
            array = array[..., 0]
        tifffile.imwrite(studio.sample, array, metadata=None, **options)

    return make


def _by_pillow(mode: str, **options: Any) -> Callable[[Studio], None]:
    def make(studio: Studio) -> None:
        array = studio.levels(len(mode))
        image = Image.fromarray(array[..., 0] if len(mode) == 1 else array)
        image.save(studio.sample, **options)

    return make


def _clear_bits(studio: Studio) -> None:
    bits = np.packbits(studio.levels(1)[..., 0] > 127, axis=1)
    width = studio.picture.shape[1]
    clear = chunk(b"tRNS", b"\0\1")
    data = png(bits[..., np.newaxis], bits=1, colour_type=0, width=width, extra=clear)
    studio.sample.write_bytes(data)


PNG_KINDS = {
    "png grey 1 bit": Kind(
        make=GREY + " -threshold 50%" + _png(0, 1),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 1},
        mode="L",
        pictures=BLOCKS,
    ),
    "png grey 2 bit": Kind(
        make=GREY + " -posterize 4" + _png(0, 2),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 2},
        mode="L",
        pictures=BLOCKS,
    ),
    "png grey 4 bit": Kind(
        make=GREY + " -posterize 16" + _png(0, 4),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 4},
        mode="L",
        pictures=BLOCKS,
    ),
    "png grey 8 bit": Kind(
        make=GREY + _png(0, 8), found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 8}, mode="L"
    ),
    "png grey 16 bit": Kind(
        make=GREY + _png(0, 16),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 16},
        mode="L",
        bits=16,
    ),
    "png grey with a clear level": Kind(
        make=_by_pillow("L", transparency=0),
        found={"PNG:ColorType": "Grayscale", "PNG:Transparency": 0},
        mode="LA",
        pictures=BLOCKS,
    ),
    "png grey and alpha 8 bit": Kind(
        make=TO_GREY + _png(4, 8),
        found={"PNG:ColorType": "Grayscale with Alpha", "PNG:BitDepth": 8},
        mode="LA",
    ),
    "png grey and alpha 16 bit": Kind(
        make=TO_GREY + _png(4, 16),
        found={"PNG:ColorType": "Grayscale with Alpha", "PNG:BitDepth": 16},
        mode="LA",
        bits=16,
    ),
    "png palette 1 bit": Kind(
        make="magick {rgb} -colors 2" + _png(3, 1),
        found={"PNG:ColorType": "Palette", "PNG:BitDepth": 1},
        pictures=BLOCKS,
    ),
    "png palette 4 bit": Kind(
        make="magick {rgb}" + _png(3, 4),
        found={"PNG:ColorType": "Palette", "PNG:BitDepth": 4},
        pictures=BLOCKS,
    ),
    "png palette 8 bit": Kind(
        tolerance=PALETTED,
        make=FEW_COLOURS + " PNG8:{sample}",
        found={"PNG:ColorType": "Palette", "PNG:BitDepth": 8},
    ),
    "png palette with clear colours": Kind(
        make="magick {rgba} +dither -colors 250 PNG8:{sample}",
        found={"PNG:ColorType": "Palette"},
        holds=b"tRNS",
        mode="RGBA",
        pictures=BLOCKS,
    ),
    "png rgb 8 bit": Kind(
        make="magick {rgb} PNG24:{sample}", found={"PNG:ColorType": "RGB", "PNG:BitDepth": 8}
    ),
    "png rgb 16 bit": Kind(
        make="magick {rgb} PNG48:{sample}",
        found={"PNG:ColorType": "RGB", "PNG:BitDepth": 16},
        bits=16,
    ),
    "png rgb by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt rgb48be {sample}",
        found={"PNG:ColorType": "RGB", "PNG:BitDepth": 16},
        bits=16,
    ),
    "png rgb with a clear colour": Kind(
        make="magick {rgba} -channel A -threshold 50% +channel" + _png(2, 8),
        found={"PNG:ColorType": "RGB", "PNG:Transparency": "0 0 0"},
        mode="RGBA",
        pictures=BLOCKS,
    ),
    "png rgba 8 bit": Kind(
        make="magick {rgba} PNG32:{sample}",
        found={"PNG:ColorType": "RGB with Alpha", "PNG:BitDepth": 8},
        mode="RGBA",
    ),
    "png rgba 16 bit": Kind(
        make="magick {rgba} PNG64:{sample}",
        found={"PNG:ColorType": "RGB with Alpha", "PNG:BitDepth": 16},
        mode="RGBA",
        bits=16,
    ),
    "png interlaced": Kind(
        make="magick {rgb} -interlace PNG PNG24:{sample}",
        found={"PNG:Interlace": "Adam7 Interlace"},
    ),
    "png interlaced rgba 16 bit": Kind(
        make="magick {rgba} -interlace PNG PNG64:{sample}",
        found={"PNG:Interlace": "Adam7 Interlace", "PNG:BitDepth": 16},
        mode="RGBA",
        bits=16,
    ),
    "png display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} PNG24:{sample}",
        found={"PNG:BitDepth": 8},
        icc="p3",
    ),
    "png prophoto 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {prophoto} PNG48:{sample}",
        found={"PNG:BitDepth": 16},
        bits=16,
        icc="prophoto",
        tolerance=4,  # a level of ProPhoto is up to two of sRGB
    ),
    "png adobe rgb with alpha": Kind(
        make="magick {rgba} -profile {srgb} -profile {adobe} PNG32:{sample}",
        found={"PNG:ColorType": "RGB with Alpha"},
        mode="RGBA",
        icc="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "png grey with gamma 2.2 profile": Kind(
        make=GREY + " -profile {grey22}" + _png(0, 8),
        found={"PNG:ColorType": "Grayscale"},
        mode="L",
        icc="grey22",
    ),
    "png grey 16 bit with gamma 1.8 profile": Kind(
        make=GREY + " -profile {grey18}" + _png(0, 16),
        found={"PNG:ColorType": "Grayscale", "PNG:BitDepth": 16},
        mode="L",
        bits=16,
        icc="grey18",
    ),
    "png display p3 by codes": Kind(
        make=_with_chunks(("rgb", "p3"), cICP=b"\x0c\x0d\0\1"), holds=b"cICP", meant="p3"
    ),
    "png sRGB by codes, against its profile": Kind(
        make=_with_chunks(("rgb",), cICP=b"\x01\x0d\0\1", iCCP=b"p\0\0" + zlib.compress(profile())),
        holds=b"cICP",
        meant="srgb",
    ),
    "png by gamma": Kind(
        make=_with_chunks(("rgb", "gamma18"), gAMA=struct.pack(">I", round(100000 / 1.8))),
        found={"PNG:Gamma": 1.8},
        meant="gamma18",
    ),
    "png grey by gamma": Kind(
        make=_with_chunks(("grey", "grey18"), gAMA=struct.pack(">I", round(100000 / 1.8))),
        found={"PNG:Gamma": 1.8, "PNG:ColorType": "Grayscale"},
        mode="L",
        meant="grey18",
    ),
    "png by gamma and primaries": Kind(
        make=_with_chunks(
            ("rgb", "adobe"),
            gAMA=struct.pack(">I", round(256e5 / 563)),
            cHRM=struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000),
        ),
        found={"PNG:RedX": 0.64, "PNG:GreenX": 0.21},
        meant="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "png sRGB by gamma and primaries": Kind(
        make="magick {rgb} -define png:include-chunk=gAMA,cHRM PNG24:{sample}",
        found={"PNG:Gamma": 2.2, "PNG:RedX": 0.64},
        holds=b"gAMA",
    ),
}

JPEG_KINDS = {
    "jpeg 4:2:0": Kind(
        make=PPM + "cjpeg -quality 99 -outfile {sample} {folder}/a.ppm",
        found={
            "File:EncodingProcess": "Baseline DCT, Huffman coding",
            "File:YCbCrSubSampling": "YCbCr4:2:0 (2 2)",
        },
    ),
    "jpeg 4:2:2": Kind(
        make=PPM + "cjpeg -quality 99 -sample 2x1 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:2:2 (2 1)"},
    ),
    "jpeg 4:4:4": Kind(
        make=PPM + "cjpeg -quality 99 -sample 1x1 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:4:4 (1 1)"},
    ),
    "jpeg progressive": Kind(
        make=PPM + "cjpeg -quality 99 -progressive -outfile {sample} {folder}/a.ppm",
        found={"File:EncodingProcess": "Progressive DCT, Huffman coding"},
    ),
    "jpeg arithmetic": Kind(
        make=PPM + "cjpeg -quality 99 -arithmetic -outfile {sample} {folder}/a.ppm",
        found={"File:EncodingProcess": "Extended sequential DCT, arithmetic coding"},
    ),
    "jpeg with restart markers": Kind(
        make=PPM + "cjpeg -quality 99 -restart 1 -outfile {sample} {folder}/a.ppm",
        holds=b"\xff\xdd\x00\x04",
    ),
    "jpeg of rgb": Kind(
        make=PPM + "cjpeg -quality 99 -rgb -outfile {sample} {folder}/a.ppm",
        found={"Adobe:ColorTransform": "Unknown (RGB or CMYK)", "File:ColorComponents": 3},
    ),
    "jpeg grey": Kind(
        make=PPM + "cjpeg -quality 99 -grayscale -outfile {sample} {folder}/a.ppm",
        found={"File:ColorComponents": 1},
        mode="L",
    ),
    "jpeg grey with gamma 2.2 profile": Kind(
        make=GREY + " -profile {grey22} -quality 99 {sample}",
        found={"File:ColorComponents": 1},
        mode="L",
        icc="grey22",
    ),
    "jpeg display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} -quality 99 {sample}", icc="p3"
    ),
    "jpeg adobe rgb": Kind(
        make="magick {rgb} -profile {srgb} -profile {adobe} -quality 99 {sample}",
        icc="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "jpeg by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt yuvj444p -q:v 1 {sample}",
        found={"File:YCbCrSubSampling": "YCbCr4:4:4 (1 1)"},
    ),
    "jpeg ycck with profile": Kind(
        make="magick {rgb} -profile {srgb} -profile {cmyk} -quality 99 {sample}",
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "YCCK"},
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "jpeg ycck without profile": Kind(
        make="magick {rgb} -profile {srgb} -profile {vips_cmyk} -strip -quality 99 {sample}",
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "YCCK"},
        meant="vips_cmyk",
        tolerance=3,  # two conversions that round
    ),
    "jpeg cmyk with profile": Kind(
        make=lambda studio: _cmyk_by_pillow(studio, "cmyk", keep=True),
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "Unknown (RGB or CMYK)"},
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "jpeg cmyk without profile": Kind(
        make=lambda studio: _cmyk_by_pillow(studio, "vips_cmyk", keep=False),
        found={"File:ColorComponents": 4, "Adobe:ColorTransform": "Unknown (RGB or CMYK)"},
        meant="vips_cmyk",
        tolerance=3,  # two conversions that round
    ),
}


def _cmyk_by_pillow(studio: Studio, name: str, *, keep: bool) -> None:
    """Inks as Adobe has them, inverted, which Pillow writes too."""
    icc = icc_file(studio.folder, name).read_bytes()
    image = ImageCms.profileToProfile(
        Image.fromarray(studio.levels(3)),
        ImageCms.createProfile("sRGB"),
        io.BytesIO(icc),
        outputMode="CMYK",
    )
    image.save(studio.sample, quality=99, subsampling=0, icc_profile=icc if keep else None)


TURNED = (
    "Horizontal (normal)",
    "Mirror horizontal",
    "Rotate 180",
    "Mirror vertical",
    "Mirror horizontal and rotate 270 CW",
    "Rotate 90 CW",
    "Mirror horizontal and rotate 90 CW",
    "Rotate 270 CW",
)
JPEG_KINDS |= {
    f"jpeg orientation {n}": Kind(
        make="magick {rgb} -quality 99 {sample}\n"
        f"exiftool -overwrite_original -n -Orientation={n} {{sample}}",
        found={"IFD0:Orientation": words},
        pictures=("smooth",),
    )
    for n, words in enumerate(TURNED, 1)
}

TIFF_KINDS = {
    "tiff strips": Kind(
        make="magick {rgb} -depth 8 -define tiff:rows-per-strip=8 -compress none {sample}",
        found={"IFD0:Compression": "Uncompressed", "IFD0:RowsPerStrip": 8},
    ),
    "tiff lzw 16 bit": Kind(
        make="magick {rgb} -depth 16 -compress lzw {sample}",
        found={"IFD0:Compression": "LZW", "IFD0:BitsPerSample": "16 16 16"},
        bits=16,
    ),
    "tiff deflate": Kind(
        make="magick {rgb} -depth 8 -compress zip {sample}",
        found={
            "IFD0:Compression": "Adobe Deflate",
            "IFD0:Predictor": "Horizontal differencing",
        },
    ),
    "tiff packbits": Kind(
        make="magick {rgb} -depth 8 -compress rle {sample}",
        found={"IFD0:Compression": "PackBits"},
    ),
    "tiff jpeg": Kind(
        make="magick {rgb} -depth 8 -quality 99 -compress jpeg {sample}",
        found={"IFD0:Compression": "JPEG", "IFD0:PhotometricInterpretation": "RGB"},
    ),
    "tiff jpeg ycbcr": Kind(
        make="magick {rgb} -depth 8 -quality 99 -colorspace YCbCr -compress jpeg {sample}",
        found={"IFD0:Compression": "JPEG", "IFD0:PhotometricInterpretation": "YCbCr"},
    ),
    "tiff tiles": Kind(
        make="magick {rgb} -depth 8 -define tiff:tile-geometry=16x16 {sample}",
        found={"IFD0:TileWidth": 16},
    ),
    "tiff planes 16 bit": Kind(
        make="magick {rgb} -interlace plane {sample}",
        found={"IFD0:PlanarConfiguration": "Planar", "IFD0:BitsPerSample": "16 16 16"},
        bits=16,
    ),
    "tiff big-endian 16 bit": Kind(
        make=_by_tifffile(3, np.uint16, photometric="rgb", byteorder=">"),
        found={"File:ExifByteOrder": "Big-endian (Motorola, MM)", "IFD0:SamplesPerPixel": 3},
        bits=16,
    ),
    "tiff big": Kind(
        make="magick {rgb} -depth 8 TIFF64:{sample}",
        found={"File:FileType": "BTF"},
    ),
    "tiff big, big-endian, 16 bit, tiles": Kind(
        make=_by_tifffile(
            3, np.uint16, photometric="rgb", byteorder=">", bigtiff=True, tile=(16, 32)
        ),
        found={"File:FileType": "BTF", "IFD0:TileWidth": 32},
        bits=16,
    ),
    "tiff grey, white is zero": Kind(
        make=_by_tifffile(1, photometric="miniswhite"),
        found={"IFD0:PhotometricInterpretation": "WhiteIsZero", "IFD0:BitsPerSample": 8},
        mode="L",
    ),
    "tiff grey 16 bit": Kind(
        make=GREY + " -depth 16 -compress zip {sample}",
        found={"IFD0:PhotometricInterpretation": "BlackIsZero", "IFD0:BitsPerSample": 16},
        mode="L",
        bits=16,
    ),
    "tiff grey 16 bit, white is zero": Kind(
        make=_by_tifffile(1, np.uint16, photometric="miniswhite"),
        found={"IFD0:PhotometricInterpretation": "WhiteIsZero", "IFD0:BitsPerSample": 16},
        mode="L",
        bits=16,
    ),
    "tiff grey and alpha": Kind(
        make=TO_GREY + " -depth 8 {sample}",
        found={"IFD0:SamplesPerPixel": 2, "IFD0:ExtraSamples": "Unassociated Alpha"},
        mode="LA",
    ),
    "tiff 1 bit": Kind(
        make=GREY + " -threshold 50% -type bilevel -depth 1 -compress none {sample}",
        found={"IFD0:Compression": "Uncompressed", "IFD0:BitsPerSample": 1},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff group 4": Kind(
        make=GREY + " -threshold 50% -type bilevel -compress group4 {sample}",
        found={"IFD0:Compression": "T6/Group 4 Fax"},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff palette": Kind(
        tolerance=PALETTED,
        make=FEW_COLOURS + " -type palette -compress none {sample}",
        found={"IFD0:PhotometricInterpretation": "RGB Palette"},
    ),
    "tiff alpha": Kind(
        make="magick {rgba} -depth 8 -define tiff:alpha=unassociated {sample}",
        found={"IFD0:ExtraSamples": "Unassociated Alpha", "IFD0:BitsPerSample": "8 8 8 8"},
        mode="RGBA",
    ),
    "tiff alpha 16 bit": Kind(
        make="magick {rgba} -define tiff:alpha=unassociated {sample}",
        found={"IFD0:ExtraSamples": "Unassociated Alpha", "IFD0:BitsPerSample": "16 16 16 16"},
        mode="RGBA",
        bits=16,
    ),
    "tiff premultiplied alpha": Kind(
        make="magick {rgba} -depth 8 -define tiff:alpha=associated {sample}",
        found={"IFD0:ExtraSamples": "Associated Alpha", "IFD0:BitsPerSample": "8 8 8 8"},
        mode="RGBA",
    ),
    "tiff premultiplied alpha 16 bit": Kind(
        make="magick {rgba} -define tiff:alpha=associated {sample}",
        found={"IFD0:ExtraSamples": "Associated Alpha", "IFD0:BitsPerSample": "16 16 16 16"},
        mode="RGBA",
        bits=16,
    ),
    "tiff adobe rgb 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {adobe} {sample}",
        found={"IFD0:BitsPerSample": "16 16 16"},
        bits=16,
        icc="adobe",
        tolerance=3,  # a level of Adobe RGB is up to one and a half of sRGB
    ),
    "tiff prophoto 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {prophoto} {sample}",
        found={"IFD0:BitsPerSample": "16 16 16"},
        bits=16,
        icc="prophoto",
        tolerance=4,  # a level of ProPhoto is up to two of sRGB
    ),
    "tiff cmyk": Kind(
        make="magick {rgb} -profile {srgb} -profile {cmyk} -depth 8 {sample}",
        found={"IFD0:PhotometricInterpretation": "CMYK", "IFD0:BitsPerSample": "8 8 8 8"},
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "tiff cmyk 16 bit": Kind(
        make="magick {rgb} -profile {srgb} -profile {cmyk} -depth 16 {sample}",
        found={"IFD0:PhotometricInterpretation": "CMYK", "IFD0:BitsPerSample": "16 16 16 16"},
        bits=16,
        icc="cmyk",
        tolerance=3,  # two conversions that round
    ),
    "tiff orientation 6": Kind(
        make="magick {rgb} -depth 8 {sample}\n"
        "exiftool -overwrite_original -n -Orientation=6 {sample}",
        found={"IFD0:Orientation": "Rotate 90 CW"},
    ),
}

WEBP_KINDS = {
    "webp lossy": Kind(make=PNG + "cwebp -quiet -q 99 {folder}/a.png -o {sample}", holds=b"VP8 "),
    "webp lossless": Kind(
        make=PNG + "cwebp -quiet -lossless {folder}/a.png -o {sample}", holds=b"VP8L"
    ),
    "webp lossy alpha": Kind(
        make=PNG_ALPHA + "cwebp -quiet -q 99 {folder}/a.png -o {sample}",
        holds=b"ALPH",
        mode="RGBA",
    ),
    "webp lossless alpha": Kind(
        make=PNG_ALPHA + "cwebp -quiet -lossless -exact {folder}/a.png -o {sample}",
        holds=b"VP8L",
        mode="RGBA",
    ),
    "webp display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} PNG24:{folder}/a.png\n"
        "cwebp -quiet -q 99 -metadata all {folder}/a.png -o {sample}",
        holds=b"ICCP",
        icc="p3",
    ),
    "webp orientation 8": Kind(
        make=PNG + "cwebp -quiet -lossless {folder}/a.png -o {sample}\n"
        "exiftool -overwrite_original -n -Orientation=8 {sample}",
        found={"IFD0:Orientation": "Rotate 270 CW"},
        turned=270,
    ),
}

AVIF_KINDS = {
    f"avif {bits} bit {layout}": Kind(
        make=f"magick {{rgb}} PNG48:{{folder}}/a.png\n{AVIFENC} -d {bits} "
        f"-y {layout.replace(':', '')} {{folder}}/a.png {{sample}}",
        found={
            "QuickTime:ImagePixelDepth": " ".join([str(bits)] * 3),
            "QuickTime:ChromaFormat": f"YUV {layout}",
        },
        bits=8 if bits == 8 else 12,
        tolerance=7 if layout == "4:2:0" else 2,  # libheif repeats colours, libavif interpolates
    )
    for bits, layout in ((8, "4:2:0"), (8, "4:4:4"), (10, "4:2:0"), (10, "4:4:4"), (12, "4:2:0"))
} | {
    "avif 12 bit 4:4:4": Kind(
        make="magick {rgb} PNG48:{folder}/a.png\n"
        + AVIFENC
        + " -d 12 -y 444 {folder}/a.png {sample}",
        found={"QuickTime:ImagePixelDepth": "12 12 12"},
        bits=12,
    ),
    "avif lossless": Kind(
        make=PNG + "avifenc -s 9 -j 1 --lossless {folder}/a.png {sample}",
        found={"QuickTime:MatrixCoefficients": "Identity matrix"},
    ),
    "avif of limited range": Kind(
        make=PNG + AVIFENC + " -r limited {folder}/a.png {sample}",
        found={"QuickTime:ChromaFormat": "YUV 4:4:4"},
        tolerance=3,  # two decoders that round
    ),
    "avif monochrome": Kind(
        make=PNG + AVIFENC + " -y 400 {folder}/a.png {sample}",
        found={"QuickTime:ChromaFormat": "Monochrome 4:0:0"},
        mode="RGB",
    ),
    "avif alpha": Kind(
        make=PNG_ALPHA + AVIFENC + " {folder}/a.png {sample}",
        holds=b"auxiliary:alpha",
        mode="RGBA",
    ),
    "avif premultiplied alpha": Kind(
        make=PNG_ALPHA + AVIFENC + " --premultiply {folder}/a.png {sample}",
        holds=b"prem",
        mode="RGBA",
        tolerance=4,  # 8 bits times alpha leave fewer
    ),
    "avif display p3": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} PNG24:{folder}/a.png\n"
        + AVIFENC
        + " {folder}/a.png {sample}",
        holds=b"colrprof",
        icc="p3",
        tolerance=3,  # two decoders that round
    ),
    "avif display p3 by codes": Kind(
        make="magick {rgb} -profile {srgb} -profile {p3} -strip PNG24:{folder}/a.png\n"
        + AVIFENC
        + " --cicp 12/13/6 {folder}/a.png {sample}",
        found={"QuickTime:ColorPrimaries": "SMPTE EG 432-1"},
        meant="p3",
        tolerance=3,  # two decoders that round
    ),
    "avif turned": Kind(
        make=PNG + AVIFENC + " --irot 1 {folder}/a.png {sample}",
        found={"QuickTime:Rotation": 90},
        turned=270,  # irot turns the other way round
    ),
    "avif by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgb} -c:v libaom-av1 -still-picture 1 -crf 4 -cpu-used 8 "
        "-pix_fmt yuv444p {sample}",
        found={"QuickTime:HandlerDescription": "PictureHandler"},
        tolerance=3,  # two decoders that round
    ),
}

OTHER_KINDS = {
    "bmp 1 bit": Kind(
        make="magick {rgb} -threshold 50% -type bilevel BMP3:{sample}",
        found={"File:BitDepth": 1},
        mode="L",
        pictures=BLOCKS,
    ),
    "bmp 4 bit": Kind(
        make="magick {rgb} -colors 16 BMP3:{sample}", found={"File:BitDepth": 4}, pictures=BLOCKS
    ),
    "bmp 8 bit": Kind(
        tolerance=PALETTED,
        make=FEW_COLOURS + " -compress none BMP3:{sample}",
        found={"File:BitDepth": 8, "File:Compression": "None"},
    ),
    "bmp run lengths": Kind(
        tolerance=PALETTED,
        make=FEW_COLOURS + " -compress RLE BMP3:{sample}",
        found={"File:BitDepth": 8, "File:Compression": "8-Bit RLE"},
    ),
    "bmp 16 bit 5-5-5": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt rgb555le {sample}",
        found={"File:BitDepth": 16, "File:Compression": "None"},
        tolerance=4,  # in steps of 8 levels, no picture is smooth
    ),
    "bmp 16 bit 5-6-5": Kind(
        make="ffmpeg -v error -i {rgb} -pix_fmt rgb565le {sample}",
        found={"File:BitDepth": 16, "File:Compression": "Bitfields"},
        tolerance=4,  # in steps of 8 levels, no picture is smooth
    ),
    "bmp 24 bit": Kind(make="magick {rgb} BMP3:{sample}", found={"File:BitDepth": 24}),
    "bmp 32 bit alpha": Kind(
        make="magick {rgba} -depth 8 BMP:{sample}",
        found={"File:BitDepth": 32, "File:AlphaMask": "0xff000000"},
        mode="RGBA",
    ),
    "pbm plain": Kind(
        make=GREY + " -threshold 50% -compress none PBM:{sample}",
        holds=b"P1\n",
        mode="L",
        pictures=BLOCKS,
    ),
    "pbm raw": Kind(
        make=GREY + " -threshold 50% PBM:{sample}", holds=b"P4\n", mode="L", pictures=BLOCKS
    ),
    "pgm plain 16 bit": Kind(
        make=GREY + " -compress none PGM:{sample}",
        found={"File:MaxVal": 65535},
        holds=b"P2\n",
        mode="L",
        bits=16,
    ),
    "pgm raw": Kind(make=GREY + " -depth 8 PGM:{sample}", holds=b"P5\n", mode="L"),
    "ppm plain": Kind(make="magick {rgb} -depth 8 -compress none PPM:{sample}", holds=b"P3\n"),
    "ppm raw": Kind(make=PPM + "magick {folder}/a.ppm PPM:{sample}", holds=b"P6\n"),
    "ppm raw 16 bit": Kind(
        make="magick {rgb} PPM:{sample}", found={"File:MaxVal": 65535}, holds=b"P6\n", bits=16
    ),
    "gif": Kind(
        make=FEW_COLOURS + " {sample}",
        found={"GIF:HasColorMap": "Yes"},
        tolerance=PALETTED,
    ),
    "gif interlaced": Kind(
        tolerance=PALETTED,
        make=FEW_COLOURS + " -interlace GIF {sample}",
        found={"GIF:HasColorMap": "Yes"},
    ),
    "gif with a clear colour": Kind(
        make="magick {rgba} +dither -colors 250 {sample}",
        holds=b"\x21\xf9\x04\x01",
        mode="RGBA",
        pictures=BLOCKS,
    ),
}

REFUSED = {
    "tiff lab": (
        Kind(
            make="magick {rgb} -colorspace Lab -depth 8 {sample}",
            found={"IFD0:PhotometricInterpretation": "CIELab"},
        ),
        ["Lab"],
    ),
    "tiff float": (
        Kind(
            make=lambda studio: tifffile.imwrite(
                studio.sample, studio.picture.astype(np.float32), photometric="rgb"
            ),
            found={"IFD0:SampleFormat": "Float; Float; Float; Float"},
        ),
        ["type float"],
    ),
    "png hdr": (
        Kind(make=_with_chunks(("rgb",), cICP=b"\x09\x10\0\1"), holds=b"cICP"),
        ["HDR", "PQ"],
    ),
    "avif hdr": (
        Kind(
            make=PNG + AVIFENC + " --cicp 9/18/9 {folder}/a.png {sample}",
            found={"QuickTime:ColorPrimaries": "BT.2020, BT.2100"},
        ),
        ["HDR", "HLG"],
    ),
    "jpeg 2000": (
        Kind(make="magick {rgb} -depth 8 JP2:{sample}", holds=b"jP  "),
        ["JPEG 2000"],
    ),
}
"""Kinds that are not read, and the facts that are said of them."""

RARE_KINDS = {
    "png grey 1 bit with a clear level": Kind(
        make=_clear_bits,
        found={"PNG:BitDepth": 1, "PNG:Transparency": 1},
        mode="LA",
        pictures=BLOCKS,
    ),
    "png grey and alpha by ffmpeg": Kind(
        make="ffmpeg -v error -i {rgba} -pix_fmt ya16be {sample}",
        found={"PNG:ColorType": "Grayscale with Alpha", "PNG:BitDepth": 16},
        mode="LA",
        bits=16,
    ),
    "jpeg 4:1:1": Kind(
        make=PPM + "cjpeg -quality 99 -sample 4x1 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:1:1 (4 1)"},
    ),
    "jpeg 4:4:0": Kind(
        make=PPM + "cjpeg -quality 99 -sample 1x2 -outfile {sample} {folder}/a.ppm",
        found={"File:YCbCrSubSampling": "YCbCr4:4:0 (1 2)"},
    ),
    "tiff grey 4 bit": Kind(
        make=GREY + " -depth 4 {sample}",
        found={"IFD0:BitsPerSample": 4},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff palette 2 bit": Kind(
        make="magick {rgb} -colors 8 -type palette -depth 4 {sample}",
        found={"IFD0:PhotometricInterpretation": "RGB Palette", "IFD0:BitsPerSample": 2},
        pictures=BLOCKS,
    ),
    "tiff group 3": Kind(
        make=GREY + " -threshold 50% -type bilevel -depth 1 -compress fax {sample}",
        found={"IFD0:Compression": "T4/Group 3 Fax"},
        mode="L",
        pictures=BLOCKS,
    ),
    "tiff ycbcr": Kind(
        make="magick {rgb} -depth 8 -colorspace YCbCr -compress none {sample}",
        found={
            "IFD0:Compression": "Uncompressed",
            "IFD0:PhotometricInterpretation": "YCbCr",
        },
        tolerance=3,  # rounded to whole levels of Y, Cb and Cr
    ),
    "tiff webp": Kind(
        make="magick {rgb} -depth 8 -quality 99 -compress webp {sample}",
        holds=b"WEBPVP8 ",
    ),
    "tiff tiled planes": Kind(
        make=_by_tifffile(3, planarconfig="separate", photometric="rgb", tile=(16, 16)),
        found={"IFD0:PlanarConfiguration": "Planar", "IFD0:TileWidth": 16},
    ),
    "tiff 12 bit": Kind(
        make=GREY + " -depth 12 {sample}", found={"IFD0:BitsPerSample": 12}, mode="L", bits=16
    ),
    "tiff lzma": Kind(
        make="magick {rgb} -depth 8 -compress lzma {sample}",
        found={"IFD0:Compression": "LZMA2"},
    ),
    "tiff planes with alpha": Kind(
        make="magick {rgba} -depth 8 -interlace plane {sample}",
        found={"IFD0:PlanarConfiguration": "Planar", "IFD0:SamplesPerPixel": 4},
        mode="RGBA",
    ),
    "tiff grey, premultiplied alpha": Kind(
        make=_by_tifffile(2, extrasamples=["assocalpha"], photometric="minisblack"),
        found={"IFD0:SamplesPerPixel": 2, "IFD0:ExtraSamples": "Associated Alpha"},
        mode="LA",
    ),
    "avif grid": Kind(
        make="magick {rgb} -resize 256x128! PNG24:{folder}/a.png\n"
        "magick {folder}/a.png -crop 128x128 +repage PNG24:{folder}/%d.png\n"
        + AVIFENC
        + " --grid 2x1 {folder}/0.png {folder}/1.png {sample}",
        holds=b"grid",
    ),
    "avif 10 bit alpha": Kind(
        make=f"magick {{rgba}} PNG64:{{folder}}/a.png\n{AVIFENC} -d 10 {{folder}}/a.png {{sample}}",
        holds=b"auxiliary:alpha",
        mode="RGBA",
        bits=12,
    ),
    "avif monochrome 10 bit": Kind(
        make=f"magick {{rgb}} PNG48:{{folder}}/a.png\n"
        f"{AVIFENC} -d 10 -y 400 {{folder}}/a.png {{sample}}",
        found={"QuickTime:ChromaFormat": "Monochrome 4:0:0"},
        bits=12,
    ),
    "bmp of os/2": Kind(make="magick {rgb} BMP2:{sample}", found={"File:BMPVersion": "OS/2 V1"}),
    "bmp grey": Kind(make=GREY + " -type palette BMP3:{sample}", mode="L"),
}
RARE_KINDS = {name: replace(each, pictures=each.pictures[:1]) for name, each in RARE_KINDS.items()}

KINDS = PNG_KINDS | JPEG_KINDS | TIFF_KINDS | WEBP_KINDS | AVIF_KINDS | OTHER_KINDS | RARE_KINDS


def sample_of(name: str, picture: str, folder: Path) -> Path:
    """Make the sample of a kind, and hold it to be of that kind."""
    kind = KINDS[name] if name in KINDS else REFUSED[name][0]
    studio = Studio(folder, folder / f"sample.{name.split()[0]}", PICTURES[picture]())
    if callable(kind.make):
        kind.make(studio)
    else:
        studio.run(kind.make)
    said = tags(studio.sample)
    assert {tag: said.get(tag) for tag in kind.found} == kind.found
    assert kind.holds in studio.sample.read_bytes()
    return studio.sample
