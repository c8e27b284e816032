"""Checks whether colour profiles are sound, and makes profiles for colours that files only name."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Colours(NamedTuple):
    """The meaning of a picture's values: their primaries and the curve from values to light."""

    primaries: tuple[float, ...]
    """The CIE 1931 x and y of white, red, green and blue."""
    gamma: float | None = None
    """The power of a value that gives light; None means the curve of sRGB."""


_D65 = (0.3127, 0.3290)
SRGB = Colours((*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06))
_PRIMARIES = {
    1: SRGB.primaries,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
HDR = {16: "PQ", 18: "HLG"}
"""Transfer codes whose light goes far beyond white."""


def coded_colours(primaries: int, transfer: int) -> Colours:
    """Interpret the codes that video, AVIF and PNG share; unknown codes mean those of sRGB.

    The camera curves of television (1, 6, 14, 15) are taken for the curve of sRGB, as in browsers:
    a writer that names them for a still picture means the screen's curve.

    Source: ITU-T H.273, tables 2 and 3.
    """
    return Colours(_PRIMARIES.get(primaries, SRGB.primaries), _GAMMAS.get(transfer))


def sound_profile(icc: bytes | None) -> bytes | None:
    """Give an ICC profile without any bytes after its end; None if it is damaged.

    The checks are those of libpng, which ignores any other profile. One whose padding is missing
    is padded, as all other readers take it as it is.
    """
    if icc is None or len(icc) < 132:
        return None
    size, n_tags = int.from_bytes(icc[:4], "big"), int.from_bytes(icc[128:132], "big")
    table = icc[132 : 132 + 12 * n_tags]
    if not 132 + 12 * n_tags <= size <= len(icc) or icc[36:40] != b"acsp":
        return None
    if icc[12:16] in (b"abst", b"link", b"nmcl") or icc[20:24] not in (b"XYZ ", b"Lab "):
        return None
    if int.from_bytes(icc[64:68], "big") > 0xFFFF:  # rendering intent
        return None
    tags = struct.iter_unpack(">4sII", table)
    if not all(start + n <= size for _, start, n in tags):
        return None
    padding = -size % 4 if icc[8] > 3 else 0  # from version 4 on, everything is padded
    return icc[:size] if not padding else _sized(icc[:size] + bytes(padding))


def _sized(icc: bytes) -> bytes:
    """Set the size in a profile's header, and 0 for no checksum, as it would no longer match."""
    return len(icc).to_bytes(4, "big") + icc[4:84] + bytes(16) + icc[100:]


def profile_of(colours: Colours, *, grey: bool) -> bytes | None:
    """Make the equivalent ICC profile, version 4; None for sRGB, which needs none.

    With the primaries of sRGB, a gamma of about 2.2 means sRGB too, as writers so state its curve.
    """
    same = max(abs(a - b) for a, b in zip(colours.primaries, SRGB.primaries, strict=True)) < 0.002
    is_curve = colours.gamma is None or abs(colours.gamma / 2.2 - 1) < 0.05
    if is_curve and (same or grey):
        return None
    tags = {b"desc": _text("Of the colours named in the file"), b"cprt": _text("No copyright")}
    curve = _curve(colours.gamma)
    tags[b"wtpt"] = _numbers(b"XYZ ", _D50)
    if grey:
        tags[b"kTRC"] = curve
    else:
        adapted, matrix = _adaptation(colours.primaries)
        tags[b"chad"] = _numbers(b"sf32", adapted)
        for name, column in zip((b"r", b"g", b"b"), matrix.T, strict=True):
            tags |= {name + b"XYZ": _numbers(b"XYZ ", column), name + b"TRC": curve}
    return _packed(b"GRAY" if grey else b"RGB ", tags)


_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def _adaptation(primaries: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the matrices from the picture's white to D50, and from linear RGB to XYZ at D50."""
    x, y = np.array(primaries).reshape(4, 2).T
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])  # columns: white, red, green, blue
    white, rgb = xyz[:, 0], xyz[:, 1:]
    rgb = rgb * np.linalg.solve(rgb, white)
    gains = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted = np.linalg.solve(_BRADFORD, gains @ _BRADFORD)
    return adapted, adapted @ rgb


def _curve(gamma: float | None) -> bytes:
    if gamma is None:
        return _numbers(b"para", np.array([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]), 3)
    return _numbers(b"para", np.array([gamma]), 0)


def _numbers(kind: bytes, values: NDArray[np.float64], function: int | None = None) -> bytes:
    head = kind + bytes(4) + (b"" if function is None else struct.pack(">Hxx", function))
    return head + np.round(values.ravel() * 65536).astype(">i4").tobytes()


def _text(words: str) -> bytes:
    data = words.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(data), 28) + data


def _packed(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    start, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4xI4s4s4s", size, 0x04300000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += np.round(_D50 * 65536).astype(">i4").tobytes()
    return header.ljust(128, b"\0") + table + data
