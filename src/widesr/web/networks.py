"""Keeps a few networks loaded for all pictures, and unloads the least recently used."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

from widesr.engine import EngineOptions, find_model, native_scales
from widesr.engine.lookup import parted
from widesr.errors import ModelNotFoundError
from widesr.models.catalog import ALIASES, BICUBIC, NEAREST, model_paths
from widesr.upscaling.base import AnyUpscaler, ScaleUpscaler
from widesr.upscaling.resize_to import SizedUpscaler, load_upscaler
from widesr.upscaling.target import Target, plan_scales
from widesr.upscaling.upscaler import Upscaler
from widesr.web.memory import LOADED

_logger = logging.getLogger(__name__)

_FIRST = ("default", 2)
"""The network that most pictures go through; it is loaded before the first picture."""
_Key = tuple[str, int]


def known_models() -> list[str]:
    """List the names of models that a request may use: no paths, and "crisp" for its blends."""
    return [*ALIASES, *model_paths(), BICUBIC, NEAREST]


def check_model(name: str) -> None:
    """Refuse a name that is not that of a model.

    Raises:
        ModelNotFoundError: The name is not among `known_models`.
    """
    if parted(name)[0] not in known_models():
        raise ModelNotFoundError(
            f"model {name}: there is none of this name; expected one of {', '.join(ALIASES)}, "
            f"{BICUBIC}, {NEAREST}, or a name that /v1/info lists"
        )


class Networks:
    """Loads networks when they are needed, and keeps the last ones."""

    def __init__(self, *, max_memory: int, threads: int | None, pace: float | None = None) -> None:
        """Load nothing yet.

        Args:
            max_memory: Bytes that each network may take, as in `EngineOptions`.
            threads: The number of threads, as for `load_engine`; None is one for each CPU.
            pace: Seconds per pixel and parameter, if they are known; otherwise they are measured.
        """
        self.options = EngineOptions(max_memory=max_memory, threads=threads)
        self._loaded: OrderedDict[_Key, ScaleUpscaler] = OrderedDict()
        self._in_use: dict[_Key, int] = {}
        self._lock = threading.Lock()
        self._seconds: dict[_Key, float] = {}
        self._pace = pace

    def warm_up(self) -> None:
        """Load the network that most pictures need, and measure how fast this machine is."""
        if self.is_ready:
            return
        with self._using([_FIRST]) as networks:
            upscaler = networks[_FIRST[1]]
            seconds = upscaler.seconds_for(1000, 1000) / 1e6
        self._pace = seconds / _parameters(_FIRST)
        _logger.info("ready: %.2f s per megapixel by the default model", seconds * 1e6)

    @property
    def is_ready(self) -> bool:
        """True if the first network is loaded and measured."""
        return self._pace is not None

    def seconds(self, name: str, target: Target, *, height: int, width: int) -> float:
        """Forecast the seconds for a picture; raises as `Target.factor` and `plan_scales` do."""
        total, grown = 0.0, 1
        for scale in _scales(name, target.factor(height, width)):
            key = (name, scale)
            per_pixel = self._seconds.get(key)
            if per_pixel is None:
                per_pixel = (self._pace or 0.0) * _parameters(key)
            total += per_pixel * height * width * grown
            grown *= scale * scale
        return total

    def learn(
        self, name: str, target: Target, *, height: int, width: int, pages: int, seconds: float
    ) -> None:
        """Remember how long a picture took, for the next forecast."""
        scales = _scales(name, target.factor(height, width))
        if len(scales) == 1 and (pixels := height * width * pages) >= 2**16:
            key, new = (name, scales[0]), seconds / pixels
            self._seconds[key] = (self._seconds.get(key, new) + new) / 2

    def keys(self, name: str, target: Target, *, height: int, width: int) -> list[_Key]:
        """Name the networks that a picture goes through."""
        if name == NEAREST:
            return []
        return [(name, scale) for scale in _scales(name, target.factor(height, width))]

    def would_fit(self, keys: list[_Key]) -> bool:
        """Tell whether these networks can be loaded beside those that are in use."""
        with self._lock:
            return len({*self._in_use, *keys}) <= LOADED

    @contextmanager
    def upscaler(
        self, name: str, target: Target, *, height: int, width: int, consistent: bool
    ) -> Iterator[AnyUpscaler]:
        """Yield the upscaler that makes what was asked for of a picture of this size."""
        if name == NEAREST:
            yield load_upscaler(
                name, target=target, options=self.options.but(consistent=consistent)
            )
            return
        keys = self.keys(name, target, height=height, width=width)
        with self._using(keys) as networks:
            sized = SizedUpscaler(target, networks=networks, consistent=consistent)
            alone = list(networks.values())
            size = target.size(height, width)
            if len(alone) == 1 and not consistent and alone[0].output_size(height, width) == size:
                yield alone[0]  # it reports its tiles, where `sized` reports shares of the work
            else:
                yield sized

    def let_go(self) -> None:
        """Unload the networks that are not in use."""
        with self._lock:
            for key in [key for key in self._loaded if key not in self._in_use]:
                del self._loaded[key]

    @contextmanager
    def _using(self, keys: list[_Key]) -> Iterator[dict[int, ScaleUpscaler]]:
        with self._lock:
            for key in keys:
                self._in_use[key] = self._in_use.get(key, 0) + 1
        try:
            yield {key[1]: self._network(key) for key in keys}
        finally:
            with self._lock:
                for key in keys:
                    self._in_use[key] -= 1
                    if not self._in_use[key]:
                        del self._in_use[key]

    def _network(self, key: _Key) -> ScaleUpscaler:
        with self._lock:  # held during the load, lest two pictures load the same network twice
            if key not in self._loaded:
                idle = [each for each in self._loaded if each not in self._in_use]
                for each in idle[: max(len(self._loaded) + 1 - LOADED, 0)]:
                    _logger.info("model %s at x%d is let go", *each)
                    del self._loaded[each]
                name, scale = key
                self._loaded[key] = Upscaler.load(name, scale=scale, options=self.options)
            self._loaded.move_to_end(key)
            return self._loaded[key]


def _scales(name: str, factor: Fraction) -> tuple[int, ...]:
    native = () if name in (BICUBIC, NEAREST) else native_scales(name)
    return plan_scales(factor, native=native)


def _parameters(key: _Key) -> int:
    """Return a network's number of parameters, to which its time per pixel is proportional."""
    name, scale = key
    card = find_model(parted(name)[0], scale=scale).card  # a blend need not be made for this
    return card.parameters_fused or card.parameters or 10**6
