"""A recurrent WDSR: what it computed for the frames before goes into each picture.

Source: Isobe et al., "Revisiting Temporal Modeling for Video Super-resolution" (RRN), 2020: frames,
hidden features and the last output in pixel-unshuffled form are read together. Ours has WDSR's
blocks and linear skip, where RRN has plain blocks and enlarges by interpolation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from widesr.nets.network import Network
from widesr.nets.wdsr import WDSR, WDSRConfig
from widesr.nets.weight_norm import conv2d


@dataclass(frozen=True, kw_only=True)
class RecurrentWDSRConfig(WDSRConfig):
    """The configuration of `RecurrentWDSR`."""

    later: ClassVar[dict[str, Any]] = {
        "reuse": 1, "noise": 0, "n_hidden": 0, "feedback": True, "skip": "window",
    }  # fmt: skip

    temporal_size: Literal[1, 2, 3, 5] = 2
    """Frames that are stacked in the input: 2 is the frame before and the one that is enlarged, as
    in RRN; 3 also looks one frame ahead."""
    n_hidden: Annotated[int, Field(ge=0)] = 0
    """Channels of the hidden state; 0 is as many as `n_feats`, as in RRN."""
    feedback: bool = True
    """True if the state also holds the last picture, as in RRN. Without it a frame takes less time,
    since the state that is read and written is smaller."""
    skip: Literal["window", "frame"] = "window"
    """The frames that the linear skip reads: all that are stacked, or the one that is enlarged,
    which takes less time."""

    @property
    def is_recurrent(self) -> bool:
        """True: each picture depends on what was computed for the frames before."""
        return True

    @property
    def skip_channels(self) -> int:
        """Channels that the linear skip reads."""
        return 3 if self.skip == "frame" else super().skip_channels

    @property
    def state_channels(self) -> int:
        """Channels of the state: the hidden features, and the last picture unshuffled."""
        return self.hidden_channels + (3 * self.scale**2 if self.feedback else 0)

    @property
    def hidden_channels(self) -> int:
        """Channels of the hidden features in the state."""
        return self.n_hidden or self.n_feats


class RecurrentWDSR(WDSR):
    """Super-resolve a clip: (N, 3F, H, W) to (N, 3F, sH, sW), its F frames in the channels.

    The first and the last frame are repeated beyond the ends of the clip. The state is zero at
    first.
    """

    cfg: RecurrentWDSRConfig

    def __init__(self, cfg: RecurrentWDSRConfig) -> None:
        super().__init__(cfg)
        self.hidden = conv2d(cfg.n_feats, cfg.hidden_channels, 3, normed=cfg.norm == "weight")

    def forward(self, lr: Tensor) -> Tensor:
        """Super-resolve all frames of a batch of clips; see the class."""
        return torch.cat(list(self.predictions(lr)), dim=1)

    def supervised(self, lr: Tensor) -> Tensor:
        """Return the pictures of all frames, (F N, 3, sH, sW): all clips' first frames first."""
        return torch.cat(list(self.predictions(lr)))

    def predictions(self, lr: Tensor) -> Iterator[Tensor]:
        """Yield the picture of each frame in turn, (N, 3, sH, sW)."""
        frames = lr.chunk(lr.shape[1] // 3, dim=1)
        size = self.cfg.temporal_size
        state = lr.new_zeros(len(lr), self.cfg.state_channels, *lr.shape[2:])
        if lr.stride(1) == 1:  # the layout of the first state is that of all that is computed
            state = state.contiguous(memory_format=torch.channels_last)
        for now in range(len(frames)):
            around = (now - size // 2 + i for i in range(size))
            seen = [frames[min(max(at, 0), len(frames) - 1)] for at in around]
            sr, state = self.step(torch.cat(seen, dim=1), state)
            yield sr

    def step(self, lr: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve one frame.

        Args:
            lr: (N, 3T, H, W), T = `temporal_size` frames in [0, 1].
            state: (N, `state_channels`, H, W), as returned for the frame before; zero at first.

        Returns:
            The picture (N, 3, sH, sW), and the state for the next frame.
        """
        x = self.centred(lr)
        feats = self.features(torch.cat([x, state], dim=1))
        first = 3 * (self.cfg.temporal_size // 2) if self.cfg.skip == "frame" else 0
        pixels = self.tail(feats) + self.skip(x[:, first : first + self.cfg.skip_channels])
        sr = self._finished(self.shuffle(pixels) * self.cfg.rgb_std + self.rgb_mean, lr)
        hidden = nn.functional.relu(self.hidden(feats))
        return sr, torch.cat([hidden, pixels], dim=1) if self.cfg.feedback else hidden


class Step(nn.Module):
    """One step of a recurrent network as a module of its own, for export."""

    def __init__(self, network: RecurrentWDSR) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve one frame; see `RecurrentWDSR.step`."""
        return self.network.step(lr, state)


def stepwise(network: Network) -> nn.Module:
    """Return the module that a file holds: one step of a recurrent network, any other unchanged."""
    return Step(network) if isinstance(network, RecurrentWDSR) else network
