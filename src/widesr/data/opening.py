"""Opens what a user names as data: a folder of photographs, or a pack of one."""

from collections.abc import Sequence
from pathlib import Path

from widesr.data.pack import Pack, is_pack
from widesr.data.photographs import Folder
from widesr.data.source import Source


def open_source(data: Path, *, scale: int, degradation: str, exclude: Sequence[str] = ()) -> Source:
    """Recognise photographs, and list them.

    Args:
        data: A pack, a folder of HR alone, or one with LR beside HR as DIV2K and the benchmarks
            have it, or as `hr/` with `lr/` or `lr_x2/`.
        scale: HR pixels per LR pixel, on a side.
        degradation: How LR is made, or which given LR is wanted.
        exclude: File names of HR to leave out.

    Raises:
        DataError: Nothing that can be used; the message says what was found and expected.
    """
    if is_pack(data):
        return Pack(data, scale=scale, degradation=degradation, exclude=exclude)
    return Folder(data, scales=[scale], degradation=degradation, exclude=exclude)
