"""Builds networks from other authors' weights, and reads their sizes off the tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from widesr.errors import CheckpointError, UsageError
from widesr.exchange.dialects import (
    basicsr_edsr,
    edsr_pytorch,
    edsr_pytorch_rdn,
    jiahuiyu_wdsr,
    krasserm_wdsr,
    smfanet,
    span,
    ychfan_wdsr,
)
from widesr.exchange.readers import KERAS, read_foreign
from widesr.nets import Network
from widesr.nets.from_tensors import State, with_weight_norm


class Imported(NamedTuple):
    """A network by other authors, and the assumptions that were made to read it."""

    network: Network
    origin: str
    """The network and its authors: "WDSR of JiahuiYu/wdsr_ntire2018"."""
    assumed: tuple[str, ...]
    """Assumptions that no tensor confirms, a sentence each."""


class _Kind(NamedTuple):
    """A network as another program stores it."""

    origin: str
    marks: frozenset[str]
    """Names of tensors that only this kind has, with weight norm in its first style."""
    build: Callable[[State, float], Network]
    """Builder, from the tensors and the factor on residual branches."""
    values: str
    """Range of the network's input and output, which no tensor shows."""
    scales_branches: bool
    """True if the authors' code has a factor on residual branches, which no tensor shows."""


def import_file(path: Path, *, res_scale: float | None = None) -> Imported:
    """Read a weights file of another program; see `import_weights`.

    Raises:
        CheckpointError: The file cannot be read, holds no known network, or more than tensors.
        MissingExtraError: h5py is needed and not installed.
        UsageError: `res_scale` is given to a network that has none.
    """
    foreign = read_foreign(path)
    try:
        imported = import_weights(foreign.tensors, res_scale=res_scale)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", options=error.options) from error
    return imported._replace(assumed=foreign.assumed + imported.assumed)


def import_weights(tensors: State, *, res_scale: float | None = None) -> Imported:
    """Build the network that foreign tensors belong to, and load them.

    `_KINDS` lists the known networks. Weight norm may be in either of torch's two styles, or
    already folded.

    Args:
        tensors: The state by name, as the authors' code saves it.
        res_scale: Factor on residual branches, which no tensor shows; None takes the authors'
            factor.

    Raises:
        CheckpointError: The tensors are of no known family, or do not fit the one they look like.
        UsageError: `res_scale` is given to a network that has none.
    """
    if empty := [name for name, tensor in tensors.items() if not tensor.numel()]:
        raise CheckpointError(f"the tensor {empty[0]} is empty; expected the weights of a network")
    names = with_weight_norm(tensors).keys()
    kind = next((kind for kind in _KINDS if kind.marks <= names), None)
    if kind is None:
        known = ", ".join(kind.origin for kind in _KINDS)
        raise CheckpointError(
            f"no known network has the tensors {', '.join(sorted(tensors)[:3])}, ...; "
            f"expected {known}"
        )
    if res_scale is not None and not kind.scales_branches:
        raise UsageError(
            f"{kind.origin} has no factor on its residual branches; leave it out",
            options=["res_scale"],
        )
    try:
        factor = _usual_factor(tensors) if res_scale is None else res_scale
        network = kind.build(tensors, factor)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"looks like {kind.origin}, but has other tensors ({error}); expected all of them, "
            "of a network for RGB"
        ) from error
    assumed = [f"assumed: {kind.values}, as in the authors' code"]
    if kind.scales_branches and res_scale is None:
        assumed.append(
            f"assumed: residual branches by {factor:g}, which no tensor shows (another: res_scale)"
        )
    return Imported(network, kind.origin, tuple(assumed))


def _usual_factor(tensors: State) -> float:
    """Return the authors' factor on residual branches: 0.1 for EDSR of 256 features, else 1."""
    head = tensors.get("head.0.weight", tensors.get("conv_first.weight"))
    return 0.1 if head is not None and len(head) == 256 else 1.0


_0_TO_255 = "pictures in 0..255, less DIV2K's mean"
_KINDS = (
    _Kind(
        "WDSR of ychfan/wdsr",
        frozenset({"body.0.weight_v", "skip.0.weight_v"}),
        ychfan_wdsr,
        "pictures in 0..1, less 0.5",
        scales_branches=False,
    ),
    _Kind(
        "WDSR of JiahuiYu/wdsr_ntire2018",
        frozenset({"head.0.weight_v", "skip.0.weight_v"}),
        jiahuiyu_wdsr,
        f"{_0_TO_255}, by 127.5",
        scales_branches=True,
    ),
    _Kind(
        "WDSR of krasserm/super-resolution",
        frozenset({f"{KERAS}0.kernel"}),
        krasserm_wdsr,
        f"{_0_TO_255}, by 127.5; TensorFlow's order of channels",
        scales_branches=True,
    ),
    _Kind(
        "EDSR of EDSR-PyTorch",
        frozenset({"head.0.weight_v", "tail.0.0.weight_v"}),
        edsr_pytorch,
        _0_TO_255,
        scales_branches=True,
    ),
    _Kind(
        "EDSR of BasicSR",
        frozenset({"conv_first.weight_v", "conv_after_body.weight_v", "body.0.conv1.weight_v"}),
        basicsr_edsr,
        f"{_0_TO_255} (img_range 255)",
        scales_branches=True,
    ),
    _Kind(
        "RDN of EDSR-PyTorch",
        frozenset({"SFENet1.weight_v", "RDBs.0.LFF.weight_v"}),
        edsr_pytorch_rdn,
        "pictures in 0..255, no mean taken off",
        scales_branches=False,
    ),
    _Kind(
        "SPAN of hongyuanyu/SPAN",
        frozenset({"conv_cat.weight_v", "conv_cat.bias"}),
        span,
        "pictures in 0..1, less DIV2K's mean, by 255",
        scales_branches=False,
    ),
    _Kind(
        "SMFANet of Zheng-MJ/SMFANet",
        frozenset({"to_feat.weight_v", "feats.0.smfa.alpha"}),
        smfanet,
        "pictures in 0..1, no mean taken off",
        scales_branches=False,
    ),
)
