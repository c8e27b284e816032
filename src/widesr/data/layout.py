"""Recognises HR files and their LR by the names of folders and files; opens none of them."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from widesr.degrade.named import DEGRADATIONS
from widesr.errors import DataError, ImageReadError
from widesr.system.folders import is_folder, pictures_in

_REAL = ("mild", "difficult", "wild")
"""Degradations of DIV2K that exist at x4 only, in a folder without `X4`."""
_TRACKS = ("unknown", *_REAL)
"""Degradations whose published LR differs from the LR that is made here."""


class Files(NamedTuple):
    """The pictures of a folder at one scale, by the HR file's path relative to the folder."""

    hr: dict[str, Path]
    lr: dict[str, tuple[Path, ...]] | None
    """One file for each HR, several in the wild track; None if LR is to be made."""
    what: str
    """The layout that was recognised, for people."""


def find_files(data: Path, *, scale: int, degradation: str, exclude: Iterable[str] = ()) -> Files:
    """Recognise HR alone, HR with LR in the layout of DIV2K or a benchmark, or `hr/` with `lr/`.

    Args:
        data: The folder that the user named.
        scale: The scale of the wanted LR, if there are several.
        degradation: The name of the LR's degradation; missing LR is made where that is possible.
        exclude: File names of HR to leave out.

    Raises:
        DataError: The folder does not exist or holds no pictures, the wanted LR is missing, or HR
            and LR do not match.
    """
    if not is_folder(data):
        found = "is a file" if os.path.lexists(data) else "no such folder"
        raise DataError(f"{data}: {found}; expected a folder of HR photographs, or a pack")
    hr_folder, lr_folder, what = _folders(data, scale=scale, degradation=degradation)
    left_out = set(exclude)
    pictures = _pictures(hr_folder)
    hr = {
        PurePosixPath(path.relative_to(data)).as_posix(): path
        for path in pictures
        if path.name not in left_out
    }
    if not hr:
        raise DataError(f"{hr_folder}: no pictures in it; expected HR photographs")
    without = but([path.name for path in pictures if path.name in left_out])
    if lr_folder is None:
        if degradation not in DEGRADATIONS:
            raise DataError(
                f"{data}: holds HR alone, and {degradation} is not made here; name a folder with "
                f"its LR beside, or one of the degradations {', '.join(DEGRADATIONS)}"
            )
        n = DEGRADATIONS[degradation].variants
        each = f", {n} of each" if n > 1 else ""
        return Files(hr, None, f"{what}, LR made by {degradation}{each}{without}")
    lr = _matched(hr, hr_folder, lr_folder, scale=scale, left_out=left_out)
    return Files(hr, lr, f"{what}{without}")


def _folders(data: Path, *, scale: int, degradation: str) -> tuple[Path, Path | None, str]:
    """Find the folder of HR and that of LR, None if LR is to be made, and describe the layout."""
    inside = folders_in(data)
    div2k = [name for name in inside if name.lower().endswith("_train_hr")]
    if len(div2k) > 1:
        raise DataError(f"{data}: holds {' and '.join(div2k)}; name one of them, or one's folder")
    plain = [name for name in inside if name.lower() == "hr"]
    if not div2k and not plain:
        return data, None, "HR photographs"
    hr = (div2k or plain)[0]
    prefix = hr[:-2]
    published = _published(prefix, scale=scale, degradation=degradation)
    expected = published if div2k else [*published, *_beside_hr(data, scale=scale)]
    for name in expected:
        lr = _below(data, name)
        if lr is not None:
            what = f"HR in {hr} with LR at x{scale} in {lr.relative_to(data)}"
            known = name in published or degradation == "given"
            return data / hr, lr, what if known else f"{what}, which are taken for {degradation}"
    others = [name for name in inside if re.match(f"{re.escape(prefix)}lr(_|$)", name, re.I)]
    # Beside other published LR, a missing track must not be replaced by ours of the same name.
    made = degradation in DEGRADATIONS and not (others and degradation in _TRACKS)
    if div2k and made:
        return data / hr, None, f"HR in {hr}"
    if made and not others:
        return data, None, "HR photographs"
    if made and _below(data, f"{prefix}lr_{degradation}"):
        return data / hr, None, f"HR in {hr}"
    if degradation in _REAL and scale != 4:
        raise DataError(f"{data}: the LR side {degradation} exists at x4 only, x{scale} was wanted")
    raise DataError(
        f"{data}: holds {', '.join([hr, *others])}, and no LR of {degradation} at x{scale}; "
        f"expected it in {' or '.join(expected)}"
    )


def _published(prefix: str, *, scale: int, degradation: str) -> list[str]:
    """List the folders in which published LR may lie, the usual one first."""
    if degradation in _REAL:
        return [f"{prefix}LR_{degradation}"] if scale == 4 else []
    names = [f"{prefix}LR_{degradation}/X{scale}"]
    return [*names, f"{prefix}LR_x8"] if (scale, degradation) == (8, "bicubic") else names


def _beside_hr(data: Path, *, scale: int) -> list[str]:
    """List the folders in which LR may be beside a folder named `hr`."""
    has_scales = any(re.fullmatch(r"[xX]\d", name) for name in folders_in(_below(data, "lr")))
    return [f"lr_x{scale}", f"lr/x{scale}", *([] if has_scales else ["lr"])]


def _below(folder: Path, name: str) -> Path | None:
    """Find a folder by its path below another, ignoring case; None if it does not exist."""
    for part in name.split("/"):
        found = [each for each in folders_in(folder) if each.lower() == part.lower()]
        if not found:
            return None
        folder = folder / found[0]
    return folder


def folders_in(folder: Path | None) -> list[str]:
    """List the names of the folders in a folder; None has none.

    Raises:
        DataError: The folder cannot be listed.
    """
    if folder is None:
        return []
    try:
        return sorted(path.name for path in folder.iterdir() if is_folder(path))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}") from error


def _pictures(folder: Path) -> list[Path]:
    try:
        return [path for path in pictures_in(folder, recursive=True) if not is_sheet(path)]
    except ImageReadError as error:
        raise DataError(error.message, options=error.options) from error


def is_sheet(picture: Path) -> bool:
    """Return whether a picture was made by a training run, which puts it beside its weights."""
    return picture.suffix == ".png" and picture.with_suffix(".safetensors").exists()


def _matched(
    hr: dict[str, Path], hr_folder: Path, lr_folder: Path, *, scale: int, left_out: set[str]
) -> dict[str, tuple[Path, ...]]:
    """Find the LR of each HR, which has the same name or the scale after it (0001x4m.png)."""
    stems = {_stem(path, hr_folder): name for name, path in hr.items()}
    if len(stems) < len(hr):
        twice = next(n for n, path in hr.items() if stems[_stem(path, hr_folder)] != n)
        raise DataError(f"{hr_folder}: {hr[twice].name} is there twice, with another ending")
    skipped = {PurePosixPath(name).stem for name in left_out}
    found: defaultdict[str, list[Path]] = defaultdict(list)
    alone: list[Path] = []
    for path in _pictures(lr_folder):
        stem = _stem(path, lr_folder)
        plain = re.sub(rf"x{scale}(m|d|w\d?)?$", "", stem)
        name = stems.get(stem) or stems.get(plain)
        if name is not None:
            found[name].append(path)
        elif PurePosixPath(plain).name not in skipped:
            alone.append(path)
    without = [path for name, path in hr.items() if name not in found]
    if without:
        raise DataError(
            f"{lr_folder}: no LR for {named(without)}; expected {without[0].stem}x{scale}"
            f"{without[0].suffix} or {without[0].name}"
        )
    if alone:
        raise DataError(f"{hr_folder}: no HR for {named(alone)} of {lr_folder}")
    for paths in found.values():
        if len(paths) > 1 and not all(re.search(r"x\dw\d?$", path.stem) for path in paths):
            raise DataError(f"{lr_folder}: {named(paths)} are LR of one photograph; keep one")
    return {name: tuple(paths) for name, paths in found.items()}


def _stem(path: Path, folder: Path) -> str:
    return PurePosixPath(path.relative_to(folder)).with_suffix("").as_posix()


def but(excluded: Sequence[str]) -> str:
    """Say which photographs a recipe leaves out, or nothing if it leaves out none."""
    return f" (left out by data.exclude: {named(excluded)})" if excluded else ""


def named(paths: Sequence[str | Path]) -> str:
    """Name the first file, and count the others."""
    first, others = PurePosixPath(paths[0]).name, len(paths) - 1
    return first + (f" and {others:,} other{'s' * (others > 1)}" if others else "")
