"""Opens what a user names as data: a folder of photographs, a pack of one, or a folder of clips."""

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
        data: A pack, a folder of HR alone, or one with LR beside HR as DIV2K and the benchmarks
            have it, or as `hr/` with `lr/` or `lr_x2/`.
        scale: HR pixels per LR pixel, on a side.
        degradation: The name of the way in which LR is made, or of the given LR that is wanted.
        exclude: File names of HR, or the names of scenes, to leave out.
        clips: Take folders of frames.

    Raises:
        DataError: Nothing that can be used; the message says what was found and expected.
    """
    if clips:
        return ClipFolder(data, scale=scale, degradation=degradation, exclude=exclude)
    if is_pack(data):
        return Pack(data, scale=scale, degradation=degradation, exclude=exclude)
    return Folder(data, scales=[scale], degradation=degradation, exclude=exclude)
