"""Brings pictures to the requested size: by networks in turn, and then by `imresize`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import prod

from widesr.engine import EngineOptions, native_scales
from widesr.errors import UsageError
from widesr.models.catalog import ALIASES, BICUBIC, NEAREST
from widesr.pixels.resize import resize_rows
from widesr.pixels.rows import Rows
from widesr.upscaling.base import CONSISTENT, AnyUpscaler, Progress, ScaleUpscaler
from widesr.upscaling.consistent import check_whole_scale, correct_rows
from widesr.upscaling.interpolation import Nearest, as_floats, count_rows
from widesr.upscaling.target import Target, plan_scales
from widesr.upscaling.upscaler import Upscaler


class SizedUpscaler(AnyUpscaler):
    """Brings each picture to the size of a `Target`: by networks in turn, then by `imresize`.

    It is used like an `Upscaler`, but each picture has its own scale.
    """

    networks: Mapping[int, ScaleUpscaler]
    """The networks by their scale."""

    def __init__(
        self,
        target: Target,
        *,
        networks: Mapping[int, ScaleUpscaler],
        consistent: bool = False,
    ) -> None:
        """Use any networks.

        Args:
            target: The size to reach.
            networks: The networks by their scale; without any, the picture is only interpolated.
            consistent: Make the final output shrink back to the input, as in `EngineOptions`; the
                networks themselves must not be consistent.

        Raises:
            UsageError: `consistent` is set, and the scale is not a whole number.
        """
        if consistent:
            check_whole_scale(target)
        self._target, self.networks, self._consistent = target, networks, consistent
        self.model = ", ".join(network.model for network in networks.values()) or BICUBIC
        self.model += CONSISTENT if consistent else ""

    @classmethod
    def load(
        cls,
        name: str = "default",
        *,
        target: Target,
        options: EngineOptions | None = None,
    ) -> "SizedUpscaler":
        """Load the networks that `target` may need; arguments and errors as for `Upscaler.load`.

        Raises:
            UsageError: The scale is larger than the model called `name` reaches, among other
                reasons.
        """
        native = native_scales(name)
        if target.scale is not None:  # the same for every picture: refused before the first
            native = plan_scales(target.factor(1, 1), native=native)
        options = options or EngineOptions()
        # A runtime keeps the memory that it once took, so the networks share the limit.
        memory = max(options.max_memory // max(len(native), 1), 1)
        shared = replace(options, max_memory=memory, consistent=False)
        networks = {scale: Upscaler.load(name, scale=scale, options=shared) for scale in native}
        return cls(target, networks=networks, consistent=options.consistent)

    @property
    def weights_sha256(self) -> str | None:
        """The SHA-256 of every network that may run; None if there is none."""
        hashes = (network.weights_sha256 for network in self.networks.values())
        return ", ".join(each for each in hashes if each) or None

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the target, or raise the errors of `Target.size`."""
        return self._target.size(height, width)

    def rows(self, lr: Rows, *, progress: Progress | None = None) -> Rows:
        """Upscale or shrink rows as they arrive, as `Upscaler.rows` does."""
        if self._consistent:
            return correct_rows(lr, lambda each: self._made(each, progress, floats=True))
        return self._made(lr, progress, floats=False)

    def _made(self, lr: Rows, progress: Progress | None, *, floats: bool) -> Rows:
        size, scales = self.output_size(lr.height, lr.width), self._scales(lr.height, lr.width)
        rows = lr
        on_tiles = _shares(progress, scales) if progress else [None] * len(scales)
        for step, (scale, on_tile) in enumerate(zip(scales, on_tiles, strict=True), start=1):
            network = self.networks[scale]
            # Only the last network's output can stay in floats: networks take integer levels.
            make = network.float_rows if floats and step == len(scales) else network.rows
            rows = make(rows, progress=on_tile)
        if floats and not scales:
            rows = as_floats(rows)
        if scales and rows.shape[:2] == size:
            return rows
        rows = resize_rows(rows, size=size)
        return rows if scales else count_rows(rows, progress)

    def seconds_for(self, height: int, width: int) -> float:
        """Estimate the seconds that the networks take, without the final resize."""
        scales = self._scales(height, width)
        steps = [(self.networks[scale], prod(scales[:i])) for i, scale in enumerate(scales)]
        return sum(each.seconds_for(height * grown, width * grown) for each, grown in steps)

    def made_by(self, height: int, width: int) -> str:
        """Name the steps a picture goes through: "wdsr-a8-x4 then wdsr-a8-x2 then bicubic"."""
        scales = self._scales(height, width)
        reached = (height * prod(scales), width * prod(scales))
        names = [self.networks[scale].model for scale in scales]
        if not scales or reached != self._target.size(height, width):
            names.append(BICUBIC)
        return " then ".join(names) + (CONSISTENT if self._consistent else "")

    def _scales(self, height: int, width: int) -> tuple[int, ...]:
        return plan_scales(self._target.factor(height, width), native=self.networks)


def load_upscaler(
    name: str = "default", *, target: Target, options: EngineOptions | None = None
) -> AnyUpscaler:
    """Load an upscaler to the requested size; at the model's own scales it is one network alone.

    Arguments and errors are those of `Upscaler.load` and `SizedUpscaler.load`; "nearest" repeats
    pixels.
    """
    if name == NEAREST:
        if options is not None and options.consistent:
            raise UsageError(
                "nearest repeats the pixels of the input as they are, and there is nothing to "
                "correct; take another model",
                options=["model=default"],
            )
        return Nearest(target)
    if target.scale is not None and target.scale in ALIASES["default"]:
        native = native_scales(name)
        # `Upscaler.load` refuses a scale larger than any of the model's, and names those it has.
        if target.scale in native or target.scale > max(native, default=0):
            return Upscaler.load(name, scale=int(target.scale), options=options)
    return SizedUpscaler.load(name, target=target, options=options)


def _shares(progress: Progress, scales: tuple[int, ...]) -> list[Progress]:
    """Report each step's tiles as a share of the total work, which grows with the area.

    The steps take turns: each begins as soon as the one before it has made some rows.
    """
    costs = [prod(scales[:step]) ** 2 for step in range(len(scales))]
    done = [0.0] * len(scales)

    def tell(step: int, tiles_done: float, tiles: float) -> None:
        done[step] = costs[step] * tiles_done / tiles
        progress(sum(done), sum(costs))

    return [partial(tell, step) for step in range(len(scales))]
