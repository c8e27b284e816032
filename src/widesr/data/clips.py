"""Reads a folder of clips to learn from, each a folder of frames, and makes their LR."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from widesr.data.layout import folders_in, is_sheet
from widesr.data.motion import make_clip
from widesr.data.patches import Pair
from widesr.data.photographs import Folder, data_errors, read_licences, read_rgb, require_memory
from widesr.data.source import Licence
from widesr.degrade.named import DEGRADATIONS, photograph_seed
from widesr.errors import DataError
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_header
from widesr.pictures.writing import write_picture
from widesr.system.folders import frames_in, is_folder
from widesr.system.progress import ignore


class ClipFolder:
    """A folder of scenes, as a `Source` at one scale.

    A clip is a folder of frames; a scene is a clip or a folder of several clips. The names of the
    source are those of the scenes, so that all clips of a photograph stay on one side when some
    are held out.
    """

    def __init__(
        self, data: Path, *, scale: int, degradation: str, exclude: Iterable[str] = ()
    ) -> None:
        """List the frames without opening any.

        Raises:
            DataError: There are no clips, or the degradation is not in `DEGRADATIONS`.
        """
        if degradation not in DEGRADATIONS:
            raise DataError(
                f"LR of clips is made of their frames; expected one of {', '.join(DEGRADATIONS)}, "
                f"not {degradation}",
                options=["degradation"],
            )
        self.data, self.degradation, self._scale = data, degradation, scale
        left_out = set(exclude)
        scenes = {
            name: _clips_of(data / name)
            for name in (folders_in(data) if is_folder(data) else [])
            if not name.startswith(".") and name not in left_out
        }
        self._scenes = {name: clips for name, clips in scenes.items() if clips}
        if not self._scenes:
            raise DataError(
                f"{data}: holds no clips, which are folders of frames; `widesr data clips` makes "
                "some of photographs"
            )
        self.names: Sequence[str] = list(self._scenes)

    @property
    def title(self) -> str:
        """The folder's own name."""
        return self.data.resolve().name

    @property
    def what(self) -> str:
        """The layout that was recognised, for people."""
        clips = [clip for scene in self._scenes.values() for clip in scene]
        frames = sum(map(len, clips))
        return (
            f"{len(self.names):,} scenes, {len(clips):,} clips, {frames:,} frames, LR made by "
            f"{self.degradation}"
        )

    @cached_property
    def licences(self) -> Mapping[str, Licence] | None:
        """The licences of the scenes from MANIFEST.csv; None if there is no such file."""
        return read_licences(self.data)

    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Return the least height and width of each scene's clips, read from their first frames."""
        return self._sizes

    @cached_property
    def _sizes(self) -> Mapping[str, tuple[int, int]]:
        def size(name: str) -> tuple[int, int]:
            with data_errors():
                headers = [read_header(clip[0]) for clip in self._scenes[name]]
            return min(each.height for each in headers), min(each.width for each in headers)

        with ThreadPoolExecutor() as pool:
            return dict(zip(self.names, pool.map(size, self.names), strict=True))

    def load(self, names: Sequence[str]) -> list[Pair]:
        """Decode the clips of scenes and make their LR, on all cores; all stay in memory.

        Returns:
            A pair for each clip, with its frames side by side in the channels: LR (h, w, 3F), HR
            (s*h, s*w, 3F).

        Raises:
            DataError: A frame cannot be used, or the frames need more memory than is free.
        """
        frames = {name: sum(map(len, self._scenes[name])) for name in names}
        pixels = sum(n * self._sizes[name][0] * self._sizes[name][1] for name, n in frames.items())
        require_memory(
            3 * pixels + 3 * pixels // self._scale**2,
            what=f"{self.data}: {sum(frames.values()):,} frames",
            way_out="take fewer or smaller ones",
        )
        clips = [(name, clip) for name in names for clip in self._scenes[name]]
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda clip: self._pair(*clip), clips))

    def _pair(self, name: str, frames: Sequence[Path]) -> Pair:
        shrink, seed = DEGRADATIONS[self.degradation].shrink, photograph_seed(name)
        hrs: list[NDArray[np.uint8]] = []
        lrs: list[NDArray[np.uint8]] = []
        for path in frames:
            hr = read_rgb(path)
            if hrs and hr.shape != hrs[0].shape:
                raise DataError(
                    f"{path}: is {hr.shape[1]}x{hr.shape[0]} and the first frame is "
                    f"{hrs[0].shape[1]}x{hrs[0].shape[0]}; expected one size throughout"
                )
            hrs.append(hr)
            lrs.append(shrink(hr, scale=self._scale, seed=seed))
        height, width = (side * self._scale for side in lrs[0].shape[:2])
        hr = np.concatenate([each[:height, :width] for each in hrs], axis=2)
        return Pair(name, np.concatenate(lrs, axis=2), hr)


def _clips_of(scene: Path) -> list[list[Path]]:
    """List the frames of each clip of a scene, which is a clip itself or a folder of clips."""
    if frames := [frame for frame in frames_in(scene) if not is_sheet(frame)]:
        return [frames]
    clips = [frames_in(scene / name) for name in folders_in(scene) if not name.startswith(".")]
    return [frames for frames in clips if frames]


def write_clips(
    photographs: Folder,
    out: Path,
    *,
    seed: int,
    frames: int,
    side: int,
    each: int,
    on_progress: Callable[[int, str], None] = ignore,
) -> int:
    """Make clips from photographs by `make_clip`, as folders of PNG frames: PHOTOGRAPH/NUMBER.

    Each clip is written whole or not at all. Existing clips are not made again, so that a killed
    run can be continued. MANIFEST.csv is copied if there is one.

    Args:
        photographs: The photographs.
        out: The folder to write to; made if it is missing.
        seed: The seed; a clip depends on it, its photograph's name and its own number.
        frames: Number of frames in a clip.
        side: The side of the square frames, in pixels.
        each: Number of clips of each photograph.
        on_progress: Called with the number of clips that exist, and the last photograph's name.

    Returns:
        The number of clips, including those that existed before.

    Raises:
        DataError: Two photographs have the same file name, a photograph cannot be read, or the
            folder cannot be written to.
    """
    named: dict[str, str] = {}
    for name in photographs.names:
        if (other := named.setdefault(Path(name).name, name)) != name:
            raise DataError(
                f"{photographs.data}: clips of {other} and {name} would share a folder; rename one"
            )
    manifest = photographs.data / "MANIFEST.csv"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if manifest.is_file():
            shutil.copyfile(manifest, out / manifest.name)
        for done, name in enumerate(photographs.names, start=1):
            wanted = [out / Path(name).name / f"{number:03d}" for number in range(each)]
            missing = [number for number in range(each) if not wanted[number].is_dir()]
            hr = photographs.read(name) if missing else None
            for number in missing:
                assert hr is not None
                drawn = (seed, photograph_seed(name, variant=number))
                clip = make_clip(hr, frames=frames, side=side, seed=drawn)
                _write_clip(clip, wanted[number])
            on_progress(done * each, name)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error})") from error
    return len(photographs.names) * each


def _write_clip(clip: Sequence[NDArray[np.uint8]], folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for number, frame in enumerate(clip):
        write_picture(part / f"{number:04d}.png", Picture(pixels=frame))
    part.replace(folder)
