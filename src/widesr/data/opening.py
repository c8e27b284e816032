"""Opens the data that a user names: a folder of photographs, a pack of one, or clips."""

from collections.abc import Sequence
from pathlib import Path

from widesr.data.clips import ClipFolder
from widesr.data.pack import Pack, is_pack
from widesr.data.photographs import Folder
from widesr.data.source import Source


def open_source(
    data: Path, *, scale: int, degradation: str, exclude: Sequence[str] = (), clips: bool = False
) -> Source:
    """Recognise photographs or clips, and list them.

    Args:
        data: A pack, a folder of HR alone, or a folder of HR and LR, either in the layout of DIV2K
            or a benchmark, or as `hr/` with `lr/` or `lr_x2/`.
        scale: HR pixels per LR pixel along each axis.
        degradation: Name of the degradation that makes LR, or that existing LR had.
        exclude: File names of HR, or the names of scenes, to leave out.
        clips: True to read clips, which are folders of frames.

    Raises:
        DataError: The data cannot be used; the message says what was found and expected.
    """
    if clips:
        return ClipFolder(data, scale=scale, degradation=degradation, exclude=exclude)
    if is_pack(data):
        return Pack(data, scale=scale, degradation=degradation, exclude=exclude)
    return Folder(data, scales=[scale], degradation=degradation, exclude=exclude)
