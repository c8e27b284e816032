"""Makes a teacher's pictures of the photographs once, and keeps them on the disk for training."""

import hashlib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from widesr.data.patches import Pair
from widesr.engine import NOISY, Engine, Port, find_model
from widesr.errors import RecipeError
from widesr.models.catalog import ALIASES
from widesr.nets import Network
from widesr.system.files import sha256_of
from widesr.system.progress import ignore
from widesr.train.checkpoint import load_weights
from widesr.train.kept import identity, keep, open_kept
from widesr.train.tables import TeacherTable
from widesr.upscaling.base import AnyUpscaler
from widesr.upscaling.upscaler import Upscaler


class Teacher:
    """A trained model, and the identity of its pictures; it is loaded when it has to make one."""

    def __init__(self, table: TeacherTable, *, scale: int, device: torch.device) -> None:
        """Find the teacher of a recipe.

        Raises:
            RecipeError: The teacher is of another scale.
            CheckpointError: The weights cannot be read.
            ModelNotFoundError: There is no such model.
            ModelFileError: The model file is damaged.
        """
        self._table, self._device = table, device
        self._path, licence = Path(table.model), "licence not stated"
        if self._is_weights:
            found: int = load_weights(self._path)[0].cfg.scale
        else:
            model = find_model(table.model, scale=scale if table.model in ALIASES else None)
            self._path, licence, found = model.path, model.card.licence, model.card.scale
        if found != scale:
            raise RecipeError(f"teacher.model = {table.model!r} is of x{found}, expected x{scale}")
        digest = sha256_of(self._path)
        name = self._path.stem + ("+" if table.self_ensemble else "")
        self._scale = scale
        self.origin = f"{name} ({licence}) sha256:{digest}"
        """Name, licence (if known) and SHA-256 of the teacher's file, for cards."""
        self.sha256 = hashlib.sha256(f"{digest} {table.self_ensemble}".encode()).hexdigest()
        """Hash of everything that the teacher's pictures depend on."""

    @property
    def _is_weights(self) -> bool:
        return self._path.suffix == ".safetensors"

    @cached_property
    def upscaler(self) -> AnyUpscaler:
        """The model, ready to run."""
        ensemble = self._table.self_ensemble
        if not self._is_weights:
            return Upscaler.load(str(self._path), scale=self._scale, self_ensemble=ensemble)
        network = load_weights(self._path)[0].fused().eval().to(self._device)
        engine = _TorchEngine(self._path.stem, network, self._device)
        return Upscaler(engine, self_ensemble=ensemble)


def taught(
    pairs: Sequence[Pair],
    teacher: Teacher,
    *,
    folder: Path,
    exclude: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = ignore,
) -> list[Pair]:
    """Add the teacher's picture to each pair: make it unless it is kept, and memory-map it.

    Args:
        pairs: All photographs that the network learns from.
        teacher: The model that makes the pictures.
        folder: The place for the teacher's own folder, which keeps the pictures; a killed run loses
            one picture.
        exclude: Patterns of the names of photographs that use their own HR in place of the picture.
        on_progress: Called with the number of pictures that are ready and the number of all.

    Raises:
        CheckpointError: The folder takes no file, or is full.
    """
    kept = folder / f"teacher-{teacher.sha256[:16]}"
    paths = [kept / f"{identity(pair.lr)}.npy" for pair in pairs]
    pictures = []
    for done, (pair, path) in enumerate(zip(pairs, paths, strict=True)):
        on_progress(done, len(pairs))
        if any(fnmatchcase(pair.name, pattern) for pattern in exclude):
            pictures.append(pair.hr)
            continue
        found = open_kept(path, dtype=np.uint8, shape=pair.hr.shape)
        if found is None:
            keep(path, teacher.upscaler(pair.lr))
            found = open_kept(path, dtype=np.uint8, shape=pair.hr.shape)
            assert found is not None
        pictures.append(found)
    on_progress(len(pairs), len(pairs))
    return [pair._replace(taught=sr) for pair, sr in zip(pairs, pictures, strict=True)]


class _TorchEngine(Engine):
    """Run a network of the zoo as an `Engine`, in fp32, on the device of the training."""

    precision = "fp32"
    streams = 1
    bytes_per_pixel = 64 * 64 * 4
    """Bytes of a few wide layers, which is more than networks of this size hold."""

    def __init__(self, name: str, network: Network, device: torch.device) -> None:
        self.name, self.scale = name, network.cfg.scale
        radius = network.receptive_radius
        self.receptive_radius = radius or 0
        self.smallest_tile = None if radius is None else 0
        if network.noise:
            self.inputs = (Port(NOISY, 3 + network.noise),)
        elif not network.cfg.is_recurrent:
            self.inputs = (Port("lr", 3 * network.cfg.window),)
        self._network, self._device = network, device

    def run_all(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            sr = self._network(torch.from_numpy(inputs[0]).to(self._device))
        return (sr.cpu().numpy(),)
