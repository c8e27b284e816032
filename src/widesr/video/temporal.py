"""Upscales the frames of a scene with networks that look at several of them, or keep a state."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np

from widesr.engine import (
    Engine,
    EngineOptions,
    Tensor,
    describe_ports,
    find_model,
    load_tuned,
    native_scales,
)
from widesr.errors import ModelFileError, UsageError
from widesr.models.catalog import ModelCard, ModelFile
from widesr.pixels.resize import resize_rows
from widesr.pixels.rows import Rows
from widesr.pixels.tiling import Tile, plan_tiles
from widesr.system.threads import in_threads
from widesr.upscaling.conversion import from_network, to_network
from widesr.upscaling.target import Target, plan_scales
from widesr.upscaling.tile_policy import MARGIN, TilePolicy
from widesr.video.colour import Plane, is_one_colour

_LEAD = 8
"""Frames after which a state that began empty is nearly the same as in a whole run."""


class TemporalFrames:
    """Upscales frames with a network that looks at several; it is used as a `FrameUpscaler`.

    Tiled and whole give the same frames, as a tile's halo also covers the state that the frame
    before left around the tile.
    """

    has_state = True

    def __init__(
        self,
        engine: Engine,
        options: EngineOptions | None = None,
        *,
        target: Target | None = None,
        card: ModelCard | None = None,
        fastest_tile: int | None = None,
    ) -> None:
        """Use an engine that takes frames stacked in its channels, and optionally a state.

        Args:
            engine: The network: (N, 3T, H, W) to (N, 3, sH, sW). It may also take a state and give
                the next one, both of the input's height and width.
            options: The settings, of which `tile` and `max_memory` are used here.
            target: The size to reach; None is the size that the network gives.
            card: The card of the network, if it has one.
            fastest_tile: The tile side that was measured to be fastest, LR pixels.

        Raises:
            ModelFileError: The network has other inputs or outputs.
            UsageError: Self-ensemble or consistency was asked for, or `tile` is not valid.
        """
        options = options or EngineOptions()
        self.model = card.name if card else engine.name
        self.weights_sha256 = card.weights_sha256 if card else None
        if not _is_temporal(engine):
            raise ModelFileError(
                f"{self.model}: expected a network from frames of RGB, and a state perhaps, to RGB "
                f"and the state, found {describe_ports(engine)}"
            )
        if options.self_ensemble or options.consistent:
            raise UsageError(
                f"{self.model} looks at several frames, which self-ensemble and consistency do "
                "not; leave them out",
                options=["self_ensemble", "consistent"],
            )
        self._engine, self._target = engine, target
        self._size = (engine.inputs[0].channels or 3) // 3
        self._is_recurrent = len(engine.inputs) == 2
        self.look_ahead = self._size - 1 - self._size // 2
        self.lead = _LEAD if self._is_recurrent else self._size // 2
        self._policy = TilePolicy(
            model=self.model,
            tile=options.tile,
            max_memory=options.max_memory,
            fastest=fastest_tile,
        )
        self._policy.side(engine)  # refuses a tile that is not valid

    @classmethod
    def of_model(
        cls, model: ModelFile, options: EngineOptions, *, target: Target | None = None
    ) -> "TemporalFrames":
        """Load a model file.

        Raises:
            ModelFileError: The file cannot be used.
            UsageError: The same reasons as for the class and `load_engine`.
        """
        engine, fastest = load_tuned(model, options)
        return cls(engine, options, target=target, card=model.card, fastest_tile=fastest)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the (height, width) of the output for a frame of this size."""
        if self._target is not None:
            return self._target.size(height, width)
        return height * self._engine.scale, width * self._engine.scale

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long a frame of this size takes, by measuring a small one once."""
        return height * width * self._seconds_per_pixel

    @cached_property
    def _seconds_per_pixel(self) -> float:
        side = 192
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        list(self.upscale_scene([noise]))  # the first takes longer
        start = time.perf_counter()
        list(self.upscale_scene([noise]))
        return (time.perf_counter() - start) / side**2

    def upscale_scene(self, frames: Iterable[Plane]) -> Iterator[Plane]:
        """Upscale the frames of one scene; the first and the last are repeated beyond its ends.

        Args:
            frames: RGB (H, W, 3) or grey (H, W, 1), uint8 or uint16, all alike.
        """
        padding, edge = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), MARGIN * self._engine.scale
        state: Tensor | None = None
        for seen in self._windows(np.pad(each, padding, mode="symmetric") for each in frames):
            padded = seen[self._size // 2]
            frame = padded[MARGIN:-MARGIN, MARGIN:-MARGIN]
            if state is None and self._is_recurrent:
                channels = self._engine.inputs[1].channels or 0
                state = np.zeros((1, channels, *padded.shape[:2]), np.float32)
            sr, state = self._step(seen, state)
            sr = sr[edge:-edge, edge:-edge]
            if is_one_colour(frame):  # which the output keeps exactly
                sr = np.broadcast_to(frame[0, 0], sr.shape)
            yield self._sized(sr, frame)

    def _windows(self, frames: Iterable[Plane]) -> Iterator[list[Plane]]:
        """Give, for each frame in order, the window of frames around it."""
        seen: deque[Plane] = deque(maxlen=self._size)
        waiting = 0
        for frame in frames:
            if not seen:  # repeat the first frame before the start
                seen.extend([frame] * (self._size // 2))
                waiting = self.look_ahead
            seen.append(frame)
            if waiting:
                waiting -= 1
            else:
                yield list(seen)
        if not seen:
            return
        last = seen[-1]
        for n in range(self.look_ahead):
            seen.append(last)
            if n >= waiting:
                yield list(seen)

    def _step(self, seen: list[Plane], state: Tensor | None) -> tuple[Plane, Tensor | None]:
        """Upscale the middle one of padded frames tile by tile, and compute the next state."""
        frame, scale = seen[self._size // 2], self._engine.scale
        engine = self._engine if frame.dtype == np.uint8 else self._engine.fp32
        height, width = frame.shape[:2]
        sr = np.empty((height * scale, width * scale, frame.shape[2]), frame.dtype)

        def fill(tile: Tile) -> Tensor | None:
            """Upscale a tile, and return its part of the next state."""
            read = tile.read_y, tile.read_x
            lr = np.concatenate([to_network(each[read]) for each in seen], axis=1)
            beside = [] if state is None else [state[:, :, *read]]
            picture, *others = engine.run_all(lr, *beside)
            into = sr[tile.placed(scale)]
            from_network(picture[:, :, *tile.kept(scale)], top=np.iinfo(frame.dtype).max, into=into)
            return others[0][:, :, *tile.kept(1)] if others else None

        tiles = plan_tiles(
            height,
            width,
            tile=self._policy.side(engine),
            halo=engine.receptive_radius,
            streams=engine.streams,
        )
        after: Tensor | None = None
        parts = in_threads(iter(tiles), fill, threads=engine.streams)
        for tile, part in zip(tiles, parts, strict=True):
            if part is None or len(tiles) == 1:
                after = part
                continue
            after = np.empty_like(state) if after is None else after
            after[:, :, tile.core_y, tile.core_x] = part
        return sr, after

    def _sized(self, sr: Plane, frame: Plane) -> Plane:
        """Resize the network's output to the size that was asked for."""
        size = self.output_size(*frame.shape[:2])
        if sr.shape[:2] == size:
            return sr
        return resize_rows(Rows.of(np.ascontiguousarray(sr)), size=size).whole()


def find_temporal(name: str, *, target: Target) -> ModelFile | None:
    """Find the named model if it looks at several frames; None if it looks at one.

    Raises:
        ModelNotFoundError: There is no such model.
        ModelFileError: The file is damaged.
        UsageError: The scale is larger than the model gives.
    """
    native = native_scales(name)
    if not native or find_model(name, scale=native[0]).card.frames == 1:
        return None
    scale = max(native)
    if target.scale is not None:
        scale = next(iter(plan_scales(target.factor(1, 1), native=native)), min(native))
    return find_model(name, scale=scale)


def _is_temporal(engine: Engine) -> bool:
    """Say whether a network maps frames, and optionally a state, to RGB and the next state."""
    frames, *states = (port.channels for port in engine.inputs)
    rgb, *after = (port.channels for port in engine.outputs)
    is_frames = frames is not None and frames % 3 == 0
    return is_frames and rgb == 3 and states == after and len(states) < 2
