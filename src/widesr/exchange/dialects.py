"""Translates how other programs name, order and scale what they keep.

Foreign tensor names become ours, and the foreign input range `rgb_mean` and `rgb_std`, so that the
network gives the same picture for the same [0, 1] input. Each reader takes the tensors and the
factor on residual branches; it raises CheckpointError where sizes do not fit, and KeyError,
ValueError or IndexError where a tensor is missing or odd.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from widesr.exchange.readers import KERAS
from widesr.nets import (
    EDSR,
    RDN,
    SPAN,
    WDSR,
    RDNConfig,
    SMFANet,
    SMFANetConfig,
    SPANConfig,
)
from widesr.nets.from_tensors import (
    State,
    edsr,
    loaded,
    scale_of_tail,
    wdsr,
    with_weight_norm,
)

_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


def jiahuiyu_wdsr(tensors: State, res_scale: float) -> WDSR:
    """Source: JiahuiYu/wdsr_ntire2018, wdsr_a.py and wdsr_b.py; 0..255, (x - mean) / 127.5."""
    renamed = {}
    for name, value in with_weight_norm(tensors).items():
        ours = re.sub(r"^(head|tail|skip)\.0\.", r"\1.", name)
        renamed[re.sub(r"^body\.(\d+)\.body\.", r"body.\1.", ours)] = value
    return wdsr(renamed, rgb_mean=_DIV2K_MEAN, rgb_std=0.5, res_scale=res_scale)


def ychfan_wdsr(tensors: State, _res_scale: float) -> WDSR:
    """Source: ychfan/wdsr at b782562, models/wdsr.py; 0..1, x - 0.5; head and tail in the body."""
    state = with_weight_norm(tensors)
    last = max(int(name.split(".")[1]) for name in state if name.startswith("body."))

    def rename(name: str) -> str:
        if name.startswith("body.0."):
            return name.replace("body.0.", "head.")
        if name.startswith(f"body.{last}."):
            return name.replace(f"body.{last}.", "tail.")
        if match := re.match(r"^body\.(\d+)\.body\.(.*)", name):
            return f"body.{int(match[1]) - 1}.{match[2]}"
        return name.replace("skip.0.", "skip.")

    renamed = {rename(name): value for name, value in state.items()}
    return wdsr(renamed, rgb_mean=(0.5, 0.5, 0.5), rgb_std=1.0, res_scale=1.0)


def krasserm_wdsr(tensors: State, res_scale: float) -> WDSR:
    """Source: krasserm/super-resolution, model/wdsr.py; 0..255, (x - mean) / 127.5.

    Layers come in the order of the code: head, blocks, tail, skip. Kernels are (height, width, in,
    out), and what TensorFlow shuffles to pixels has the colour last, not first.
    """
    count = 1 + max(int(name.split(".")[1]) for name in tensors)
    kernels = [tensors[f"{KERAS}{index}.kernel"] for index in range(count)]
    if kernels[-1].shape[:3] != (5, 5, 3):
        raise ValueError(f"a last kernel of {tuple(kernels[-1].shape)}, not the 5x5 skip of WDSR")
    per_block = 3 if kernels[1].shape[0] == 1 else 2  # B has 1x1, 1x1, 3x3; A has 3x3, 3x3
    state: dict[str, Tensor] = {}
    for index, kernel in enumerate(kernels):
        weight, bias = kernel.permute(3, 2, 0, 1), tensors[f"{KERAS}{index}.bias"]
        gain = tensors.get(f"{KERAS}{index}.g")
        gain = torch.norm_except_dim(weight, 2, 0) if gain is None else gain.view(-1, 1, 1, 1)
        block, layer = divmod(index - 1, per_block)
        # Ours puts a ReLU between the first layer of a block and the second.
        name = f"body.{block}.{layer + (layer > 0)}"
        if index == 0:
            name = "head"
        if index >= count - 2:
            name = "tail" if index == count - 2 else "skip"
            order = torch.arange(len(bias)).view(-1, 3).T.flatten()
            weight, gain, bias = weight[order], gain[order], bias[order]
        state |= {f"{name}.weight_v": weight, f"{name}.weight_g": gain, f"{name}.bias": bias}
    return wdsr(state, rgb_mean=_DIV2K_MEAN, rgb_std=0.5, res_scale=res_scale)


def edsr_pytorch(tensors: State, res_scale: float) -> EDSR:
    """Source: EDSR-PyTorch, src/model/edsr.py; 0..255, x - mean by a fixed 1x1 convolution."""
    stages = len({name.split(".")[2] for name in tensors if name.startswith("tail.0.")})
    renamed = {}
    for name, value in tensors.items():
        if name.startswith("tail.1."):  # after each stage's convolution and shuffle
            renamed[name.replace("tail.1.", f"tail.{2 * stages}.")] = value
        elif not name.startswith(("add_mean.", "sub_mean.")):
            renamed[re.sub(r"^(head|tail)\.0\.", r"\1.", name)] = value
    return edsr(renamed, rgb_mean=_DIV2K_MEAN, rgb_std=1 / 255, res_scale=res_scale)


def basicsr_edsr(tensors: State, res_scale: float) -> EDSR:
    """Source: BasicSR, basicsr/archs/edsr_arch.py; (x - mean) * 255, its `img_range`."""
    n_resblocks = len({name.split(".")[1] for name in tensors if name.startswith("body.")})
    stages = len([name for name in tensors if re.match(r"^upsample\.\d+\.weight$", name)])
    ours = {
        "conv_first.": "head.",
        "conv_after_body.": f"body.{n_resblocks}.",
        "upsample.": "tail.",
        "conv_last.": f"tail.{2 * stages}.",
        "conv1.": "body.0.",
        "conv2.": "body.2.",
    }
    renamed = {
        re.sub(r"(conv_first|conv_after_body|upsample|conv_last|conv1|conv2)\.", _by(ours), name): t
        for name, t in tensors.items()
    }
    return edsr(renamed, rgb_mean=_DIV2K_MEAN, rgb_std=1 / 255, res_scale=res_scale)


def _by(names: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: names[match[0]]


def edsr_pytorch_rdn(tensors: State, _res_scale: float) -> RDN:
    """Source: EDSR-PyTorch, src/model/rdn.py; 0..255, no mean taken off."""
    n_feats, growth = len(tensors["SFENet1.weight"]), len(tensors["RDBs.0.convs.0.conv.0.weight"])
    stages = sum(bool(re.match(r"^UPNet\.\d+\.weight$", name)) for name in tensors) - 1
    scale = 3 if len(tensors["UPNet.0.weight"]) == 9 * growth else 2**stages
    cfg = RDNConfig(
        scale=scale_of_tail(3 * scale**2),
        n_blocks=len({name.split(".")[1] for name in tensors if name.startswith("RDBs.")}),
        n_layers=len({n.split(".")[3] for n in tensors if n.startswith("RDBs.0.convs.")}),
        growth=growth,
        n_feats=n_feats,
        rgb_std=1 / 255,
    )
    renamed = {}
    for name, value in tensors.items():
        ours = re.sub(r"^RDBs\.(\d+)\.convs\.(\d+)\.conv\.0\.", r"body.\1.layers.\2.", name)
        ours = re.sub(r"^RDBs\.(\d+)\.LFF\.", r"body.\1.fuse.", ours)
        ours = re.sub(r"^GFF\.", "fuse.", re.sub(r"^UPNet\.", "tail.", ours))
        renamed[ours.replace("SFENet1.", "head.").replace("SFENet2.", "entry.")] = value
    return loaded(RDN(cfg), renamed)


def span(tensors: State, _res_scale: float) -> SPAN:
    """Source: hongyuanyu/SPAN at e19736d, span_arch.py; (x - mean) * 255, nothing added back.

    A convolution may be there as the branches that are learned (`conv`, `sk`), as what they were
    merged to (`eval_conv`), or by itself. The branches go before: what they were last merged to
    may be of an earlier step. `no_norm` marks the variant of others that takes [0, 1] as it is.
    """
    branched = "conv_1.sk.weight" in tensors
    renamed = {}
    for name, value in tensors.items():
        if name == "no_norm" or (branched and ".eval_conv." in name):
            continue
        ours = re.sub(r"^block_(\d+)\.c([123])(_r)?\.", _place_in_span, name)
        ours = re.sub(r"^upsampler\.(0\.)?", "tail.", ours.replace(".eval_conv.", "."))
        ours = ours.replace("conv_cat.", "fuse.").replace("conv_1.", "head.")
        renamed[ours.replace("conv_2.", "end.")] = value
    tail = renamed["tail.weight"]
    as_it_is = "no_norm" in tensors
    cfg = SPANConfig(
        scale=scale_of_tail(len(tail)),
        n_resblocks=len({name.split(".")[1] for name in renamed if name.startswith("body.")}),
        n_feats=tail.shape[1],
        branched=branched,
        rgb_mean=(0.0, 0.0, 0.0) if as_it_is else _DIV2K_MEAN,
        rgb_range=1.0 if as_it_is else 255.0,
    )
    return loaded(SPAN(cfg), renamed)


def _place_in_span(match: re.Match[str]) -> str:
    layer = ("first", "second", "third")[int(match[2]) - 1]
    return f"body.{int(match[1]) - 1}.{layer}."


def smfanet(tensors: State, _res_scale: float) -> SMFANet:
    """Source: Zheng-MJ/SMFANet at b3ac071, SMFANet_arch.py; 0..1, no mean taken off."""
    tail = tensors["to_img.0.weight"]
    cfg = SMFANetConfig(
        scale=scale_of_tail(len(tail)),
        n_resblocks=len({name.split(".")[1] for name in tensors if name.startswith("feats.")}),
        n_feats=tail.shape[1],
        expansion=_exact_or_more(len(tensors["feats.0.pcfn.conv_0.weight"]), tail.shape[1]),
    )
    renamed = {}
    for name, value in tensors.items():
        ours = re.sub(r"^feats\.", "body.", name)
        for theirs, part in _SMFANET.items():
            ours = ours.replace(theirs, part)
        renamed[ours] = value
    return loaded(SMFANet(cfg), renamed)


_SMFANET = {
    "to_feat.": "head.",
    "to_img.0.": "tail.",
    "smfa.linear_0.": "aggregate.entry.",
    "smfa.linear_1.": "aggregate.weigh.0.",
    "smfa.linear_2.": "aggregate.exit.",
    "smfa.dw_conv.": "aggregate.coarse.",
    "smfa.alpha": "aggregate.of_peaks",
    "smfa.belt": "aggregate.of_variance",
    "smfa.lde.conv_0.0.": "aggregate.local.0.",
    "smfa.lde.conv_0.1.": "aggregate.local.1.",
    "smfa.lde.conv_1.": "aggregate.local.3.",
    "pcfn.conv_0.": "feed.widen.",
    "pcfn.conv_1.": "feed.mix.",
    "pcfn.conv_2.": "feed.narrow.",
}


def _exact_or_more(wide: int, narrow: int) -> float:
    """Return the ratio of two widths, such that `int(narrow * ratio)` is `wide`."""
    return wide / narrow if int(narrow * (wide / narrow)) == wide else (wide + 0.5) / narrow
