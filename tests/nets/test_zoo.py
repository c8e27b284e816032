"""The networks beside WDSR: published sizes, their own promises, and the way to a model file."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from facts import refused
from networks import n_parameters, reach, trained
from widesr.data.patches import Batch
from widesr.exchange.export import export_onnx
from widesr.models.catalog import read_card
from widesr.nets import (
    FAMILIES,
    DRCNConfig,
    DRRNConfig,
    EDRNConfig,
    EDSRConfig,
    ESPCNConfig,
    FSRCNNConfig,
    RDNConfig,
    SMFANetConfig,
    SPANConfig,
    SRCNNConfig,
    SRDenseNetConfig,
    SRFBNConfig,
    SRResNetConfig,
    VDSRConfig,
    WDSRConfig,
    build,
    family_of,
    iterated,
    parse_config,
)
from widesr.nets.branches import BranchedConv2d
from widesr.nets.enlarge import Enlarge
from widesr.nets.smfanet import _Grid
from widesr.nets.srfbn import _Bilinear
from widesr.pixels.resize import imresize
from widesr.train.checkpoint import load_weights, save_weights
from widesr.train.grow import grown
from widesr.train.recipe import list_recipes, load_recipe
from widesr.train.run import Run
from widesr.upscaling.upscaler import Upscaler

pytestmark = pytest.mark.train

SCALES = (2, 3, 4, 8)
SMALL = {
    "srcnn": SRCNNConfig(scale=2, kernels=(5, 1, 3), n_feats=4, n_mapped=4),
    "srcnn-y": SRCNNConfig(scale=3, n_feats=4, n_mapped=4, colours=1),
    "vdsr": VDSRConfig(scale=2, n_layers=3, n_feats=4),
    "vdsr-y": VDSRConfig(scale=3, n_layers=3, n_feats=4, colours=1),
    "fsrcnn": FSRCNNConfig(scale=2, n_feats=6, n_shrunk=4, n_mappings=2),
    "fsrcnn-y": FSRCNNConfig(scale=3, n_feats=6, n_shrunk=4, n_mappings=1, colours=1),
    "espcn": ESPCNConfig(scale=2, n_feats=6, n_mapped=4),
    "espcn-y": ESPCNConfig(scale=3, n_feats=6, n_mapped=4, colours=1),
    "srresnet": SRResNetConfig(scale=4, n_resblocks=2, n_feats=4),
    "srdensenet": SRDenseNetConfig(scale=4, n_blocks=2, n_layers=2, growth=3, n_feats=6),
    "srdensenet-y": SRDenseNetConfig(
        scale=2, n_blocks=1, n_layers=3, growth=3, n_feats=6, colours=1
    ),
    "rdn": RDNConfig(scale=2, n_blocks=2, n_layers=2, growth=5, n_feats=4, rgb_std=1 / 255),
    "edrn": EDRNConfig(scale=3, n_feats=4, n_groups=4, n_resblocks=1, reduction=2),
    "span": SPANConfig(scale=2, n_resblocks=2, n_feats=4),
    "span-branched": SPANConfig(scale=3, n_resblocks=1, n_feats=4, branched=True),
    "smfanet": SMFANetConfig(scale=3, n_resblocks=2, n_feats=8),
    "drrn": DRRNConfig(scale=2, n_blocks=2, n_units=2, n_feats=6),
    "drrn-y": DRRNConfig(scale=3, n_units=2, n_feats=6, colours=1),
    "drcn": DRCNConfig(scale=2, n_recursions=3, n_feats=6),
    "drcn-y": DRCNConfig(scale=3, n_recursions=2, n_feats=6, colours=1),
    "srfbn": SRFBNConfig(scale=2, n_steps=2, n_groups=2, n_feats=4),
    "wdsr-reused": WDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=4, expansion=2, reuse=3),
}
UNBOUNDED = ("edrn", "smfanet")
BOUNDED = {name: cfg for name, cfg in SMALL.items() if name not in UNBOUNDED}
FOLDING = ("srresnet", "edrn", "span-branched", "wdsr-reused")
RECURRENT = ("drrn", "srfbn", "wdsr-reused")


def n_weights(network):
    """Count parameters as early papers do: no biases, no slopes of PReLUs."""
    return sum(p.numel() for p in network.parameters() if p.ndim > 1)


# ---- sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cfg", "expected"),
    [
        # SRCNN 9-1-5 of luma: FSRCNN paper, table 3, "8032"; FSRCNN (56, 12, 4): the same, "12464".
        (SRCNNConfig(scale=3, colours=1), 8_032),
        (SRCNNConfig(scale=3, colours=1, kernels=(9, 5, 5)), 57_184),  # SRCNN-Ex, the same table
        (FSRCNNConfig(scale=3, colours=1), 12_464),
        # 20 layers of 64 features, of luma: published as 665K (EDSR's and CARN's tables).
        (VDSRConfig(scale=2, colours=1), 664_704),
        # DRRN paper, figure 1: "297K" for B1U25; DRCN: "1,774K" in EDSR's and CARN's tables.
        *((DRRNConfig(scale=scale, colours=1), 297_216) for scale in SCALES),
        *((DRCNConfig(scale=scale, colours=1), 1_774_080) for scale in SCALES),
    ],
    ids=str,
)
def test_networks_of_luma_have_the_published_number_of_weights(cfg, expected):
    assert n_weights(build(cfg)) == expected


@pytest.mark.parametrize(
    ("cfg", "expected", "published"),
    [
        (SRCNNConfig(scale=4), 20_099, 20e3),  # mmagic, SRCNN 9-1-5 of RGB: "20K"
        (VDSRConfig(scale=2, colours=1), 665_921, 666e3),  # RCAN's table: "666K", with biases
        (SRResNetConfig(scale=4), 1_547_350, 1.5e6),  # mmagic, SRResNet x4: "1.5M"
        (EDSRConfig(scale=2, n_resblocks=32, n_feats=256), 40_729_603, 40.7e6),  # EDSR-PyTorch
        (RDNConfig(scale=2), 22_123_395, 22e6),  # mmagic: "22M"; torchSR: "22.1M"
        (RDNConfig(scale=4), 22_271_107, 22.3e6),  # RCAN's table: "22.3M"
        (SPANConfig(scale=2), 410_700, 410e3),  # SPAN's paper, SPAN-S: "410K", x4 "426K"
        (SPANConfig(scale=4), 426_288, 426e3),
        (SMFANetConfig(scale=2), 185_628, 186e3),  # SMFANet's paper: "186K", x4 "197K"
        (SMFANetConfig(scale=4), 197_328, 197e3),
        (SMFANetConfig(scale=2, n_resblocks=12, n_feats=48), 480_300, 480e3),  # SMFANet+: "480K"
    ],
    ids=str,
)
def test_networks_have_the_published_size(cfg, expected, published):
    with torch.device("meta"):
        count = n_parameters(FAMILIES[family_of(cfg)].network(cfg))
    assert count == expected
    assert count == pytest.approx(published, rel=0.035)


@pytest.mark.parametrize(("scale", "expected"), [(2, 282_442), (3, 375_626), (4, 483_146)])
def test_srfbn_s_has_the_size_of_the_authors_code(scale, expected):
    # The authors count the 24 values of their two frozen mean shifts; the paper has "483K" at x4.
    assert n_parameters(build(SRFBNConfig(scale=scale))) + 24 == expected


def test_srdensenet_is_about_as_large_as_published():
    # CARN's table has 2,015K for x4, which no reading of the paper that we know gives exactly.
    cfg = SRDenseNetConfig(scale=4, colours=1)
    assert n_parameters(build(cfg)) == pytest.approx(2_015e3, rel=0.05)


@pytest.mark.parametrize("scale", SCALES)
def test_espcn_has_the_size_of_its_layers(scale):
    # The paper has no count: f1 = 5, n1 = 64; f2 = 3, n2 = 32; f3 = 3, of luma.
    expected = 5 * 5 * 64 + 3 * 3 * 64 * 32 + 3 * 3 * 32 * scale**2
    assert n_weights(build(ESPCNConfig(scale=scale, colours=1))) == expected


def test_edrn_has_the_size_of_the_authors_code():
    # No count is published. NTIRE2019_EDRN, config B: G0 = 64, D = 4, C = 10; each weight-normed
    # convolution has a gain per output (transposed: input) channel and a bias, batch norm 2.
    def conv(n_in, n_out, kernel=3):
        return n_in * n_out * kernel**2 + 2 * n_out

    def groups(n, count):
        block = 2 * conv(n, n) + conv(n, n // 16, 1) + conv(n // 16, n, 1)
        return count * (10 * block + conv(n, n)) + conv(n, n)

    down = conv(64, 128) + 2 * 128 + conv(128, 256) + 2 * 256
    up = (256 * 128 * 9 + 256 + 128 + 2 * 128) + (128 * 64 * 9 + 128 + 64 + 2 * 64)
    trunk = groups(256, 4) + groups(128, 2) + groups(64, 1)
    expected = conv(3, 64) + down + trunk + up + conv(64, 3)
    with torch.device("meta"):
        assert n_parameters(build(EDRNConfig(scale=2))) == expected


# ---- the enlargement -----------------------------------------------------------------------


@given(
    scale=st.sampled_from(SCALES),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_enlargement_in_a_network_is_imresize(scale, height, width, seed):
    picture = np.random.default_rng(seed).random((height, width, 3), np.float32)
    lr = torch.from_numpy(picture).permute(2, 0, 1)[None]
    sr = Enlarge(scale)(lr)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(sr, imresize(picture, scale), atol=2e-6)


def test_the_enlargement_is_not_learned_and_in_no_weights_file():
    network = build(SMALL["vdsr"])
    assert not any("enlarge" in name for name in network.state_dict())
    assert not any("enlarge" in name for name, _ in network.named_parameters())


@pytest.mark.parametrize("name", [name for name in SMALL if name.endswith("-y")])
def test_networks_of_luma_change_all_colours_alike(name):
    cfg = SMALL[name]
    lr = torch.rand(1, 3, 7, 6)
    with torch.inference_mode():
        change = trained(cfg)(lr) - Enlarge(cfg.scale)(lr)
    assert change.abs().max() > 0.01
    assert (change - change.mean(dim=1, keepdim=True)).abs().max() < 1e-5


@pytest.mark.parametrize("scale", SCALES)
def test_the_enlargement_in_srfbn_is_torchs(scale):
    lr = torch.rand(2, 3, 5, 7)
    expected = functional.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
    torch.testing.assert_close(_Bilinear(scale)(lr), expected, atol=1e-6, rtol=0)


# ---- promises of every network -------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", BOUNDED)
def test_a_pixel_is_seen_as_far_as_the_receptive_radius_and_no_farther(name, scale):
    cfg = replace(BOUNDED[name], scale=scale)
    radius = build(cfg).receptive_radius
    up, down, left, right = reach(cfg, side=2 * radius + 7)
    assert max(up, down) == max(left, right) == radius


@pytest.mark.parametrize("name", UNBOUNDED)
def test_a_network_without_a_radius_sees_the_whole_picture(name):
    network = trained(SMALL[name]).double()
    for parameter_name, parameter in network.named_parameters():
        if parameter_name.endswith("of_variance"):  # which begins at 0
            parameter.data.fill_(1)
    assert network.receptive_radius is None
    lr = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    poked = lr.clone()
    poked[..., 0, 0] += 5
    with torch.inference_mode():
        assert (network(poked) != network(lr))[..., -3:, -3:].any()


@pytest.mark.parametrize("name", SMALL)
def test_a_fused_network_is_new_plain_and_gives_the_same_picture(name):
    cfg = SMALL[name]
    network = trained(cfg)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fused = network.fused()
    assert not any(key.endswith(("weight_g", "running_mean")) for key in fused.state_dict())
    assert (n_parameters(fused) < n_parameters(network)) == (name in FOLDING)
    lr = torch.rand(2, 3, 9, 14)
    with torch.inference_mode():
        assert fused(lr).shape == (2, 3, 9 * cfg.scale, 14 * cfg.scale)
        assert (fused(lr) - network(lr)).abs().max() < 1e-5
        for parameter in fused.parameters():
            parameter.zero_()
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", SMALL)
def test_the_input_is_not_written_to(name):
    lr = torch.rand(1, 3, 8, 8)
    before = lr.clone()
    build(SMALL[name])(lr)
    assert torch.equal(lr, before)


@pytest.mark.parametrize("name", SMALL)
def test_weights_go_to_a_file_and_back(tmp_path, name):
    network = trained(SMALL[name])
    save_weights(tmp_path / "w.safetensors", network, None)
    again, _ = load_weights(tmp_path / "w.safetensors")
    lr = torch.rand(1, 3, 6, 7)
    with torch.inference_mode():
        assert again.cfg == network.cfg
        assert torch.equal(again.eval()(lr), network(lr))


def test_configurations_refuse_what_they_do_not_know():
    tested_elsewhere = {"ablation", "edsr", "recurrent"}
    assert {family_of(cfg) for cfg in SMALL.values()} == set(FAMILIES) - tested_elsewhere
    for cfg in SMALL.values():
        assert parse_config(family_of(cfg), asdict(cfg)) == cfg
        with pytest.raises(ValueError, match="n_featz"):
            parse_config(family_of(cfg), {**asdict(cfg), "n_featz": 3})


@pytest.mark.parametrize(
    ("family", "wrong"),
    [
        ("srcnn", {"kernels": (9, 2, 5)}),
        ("srcnn", {"kernels": (9, -1, 5)}),
        ("edrn", {"reduction": 0}),
        ("smfanet", {"n_feats": 8, "expansion": 0.4}),
        ("wdsr", {"block": "b", "n_resblocks": 1, "n_feats": 4, "expansion": 2, "linear_ratio": 0}),
    ],
)
def test_configurations_refuse_layers_that_cannot_be(family, wrong):
    with pytest.raises(ValueError, match="validation error"):
        parse_config(family, {"scale": 2, **wrong})


# ---- recurrent networks --------------------------------------------------------------------


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_network_runs_the_same_weights_another_number_of_times(name):
    network = trained(SMALL[name])
    lr = torch.rand(1, 3, 8, 9)
    with torch.inference_mode():
        pictures = [iterated(network, n).eval()(lr) for n in (1, 2, 3)]
        now = getattr(network.cfg, network.cfg.iterations)
        assert torch.equal(pictures[now - 1], network(lr))
    assert (pictures[0] - pictures[1]).abs().max() > 1e-6
    assert (pictures[1] - pictures[2]).abs().max() > 1e-6
    assert n_parameters(iterated(network, 9)) == n_parameters(network)
    with refused("usage") as error:
        iterated(network, 0)
    assert error.value.options == ("iterations",)


@pytest.mark.parametrize("name", ["drcn", "vdsr"])
def test_networks_of_one_number_of_iterations_take_no_other(name):
    with refused("usage") as error:
        iterated(build(SMALL[name]), 2)
    assert error.value.options == ("iterations",)


@pytest.mark.parametrize(("name", "pictures"), [("srfbn", 2), ("drcn", 4), ("drrn", 1)])
def test_a_loss_judges_the_picture_of_every_iteration_where_the_paper_does(name, pictures):
    network = trained(SMALL[name])
    lr = torch.rand(2, 3, 6, 7)
    with torch.inference_mode():
        judged = network.supervised(lr).chunk(pictures)
        assert all(picture.shape == (2, 3, 12, 14) for picture in judged)
        torch.testing.assert_close(judged[-1], network(lr))
        if name == "srfbn":
            torch.testing.assert_close(judged[0], iterated(network, 1).eval()(lr))


def test_drcn_starts_from_the_mean_of_its_recursions():
    network = build(SMALL["drcn"]).eval()
    lr = torch.rand(1, 3, 6, 7)
    with torch.inference_mode():
        *each, result = network.predictions(lr)
    torch.testing.assert_close(torch.stack(each).mean(dim=0), result)


def test_a_wdsr_whose_blocks_are_used_once_is_kept_as_ever():
    once = WDSRConfig(scale=2, block="a", n_resblocks=2, n_feats=4, expansion=2)
    assert "reuse" not in once.values()
    assert parse_config("wdsr", once.values()) == once
    shared = replace(once, reuse=3)
    assert parse_config("wdsr", shared.values()) == shared
    with pytest.raises(ValueError, match="reuse"):
        parse_config("wdsr", {**asdict(once), "reuse": 0})


def test_shared_blocks_are_a_deeper_network_with_equal_blocks():
    shared, lr = trained(SMALL["wdsr-reused"]), torch.rand(1, 3, 8, 9)
    deep = build(replace(SMALL["wdsr-reused"], reuse=1, n_resblocks=6)).eval()
    state = shared.state_dict()
    for name in deep.state_dict():
        if name.startswith("body."):
            _, number, rest = name.split(".", 2)
            state[name] = shared.state_dict()[f"body.{int(number) % 2}.{rest}"]
    deep.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(deep(lr), shared(lr))
    assert deep.receptive_radius == shared.receptive_radius


def test_a_recurrent_network_is_exported_for_any_number_of_iterations(tmp_path):
    network = trained(SMALL["srfbn"])
    save_weights(tmp_path / "w.safetensors", network, None)
    files = [tmp_path / f"{n}.onnx" for n in (1, 4)]
    cards = [
        export_onnx(tmp_path / "w.safetensors", file, licence="CC0-1.0", iterations=int(file.stem))
        for file in files
    ]
    assert [card.receptive_radius for card in cards] == [
        iterated(network, n).receptive_radius for n in (1, 4)
    ]
    assert cards[0].parameters == cards[1].parameters
    few, many = (file.stat().st_size for file in files)
    assert many < 2 * few + 50_000  # nodes are repeated, weights are not


# ---- model files ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The model file of each network, exported when it is first asked for."""
    folder = tmp_path_factory.mktemp("exported")

    def export(name):
        out = folder / f"{name}.onnx"
        if not out.exists():
            save_weights(folder / f"{name}.safetensors", trained(SMALL[name]), None)
            export_onnx(folder / f"{name}.safetensors", out, licence="CC0-1.0")
        return out

    return export


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDED)
def test_an_exported_network_gives_the_same_picture_in_tiles_as_whole(exported, name):
    file, cfg = exported(name), BOUNDED[name]
    card = read_card(file)
    assert (card.family, card.scale, card.tiles) == (family_of(cfg), cfg.scale, True)
    lr = np.random.default_rng(0).integers(0, 256, (53, 61, 3), np.uint8)
    whole = Upscaler.load(str(file), scale=cfg.scale, tile=None, backend="onnxruntime")(lr)
    tiled = Upscaler.load(str(file), scale=cfg.scale, tile=20, backend="onnxruntime")(lr)
    assert whole.shape == (53 * cfg.scale, 61 * cfg.scale, 3)
    assert whole.std() > 1
    np.testing.assert_array_equal(tiled, whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNBOUNDED)
def test_an_exported_network_without_a_radius_is_run_on_whole_pictures_only(exported, name):
    file = exported(name)
    card = read_card(file)
    assert (card.family, card.tiles, card.receptive_radius) == (name, False, 0)
    lr = np.random.default_rng(0).integers(0, 256, (31, 29, 3), np.uint8)
    assert Upscaler.load(str(file), scale=3)(lr).shape == (93, 87, 3)
    with refused("usage", "whole picture", "tile=None"):
        Upscaler.load(str(file), scale=3, tile=16)(lr)


# ---- training ------------------------------------------------------------------------------


def test_every_family_has_a_recipe():
    # Networks of studies are trained by studies.
    families = set(FAMILIES) - {"ablation"}
    assert {load_recipe(name).family for name in list_recipes()} == families


def recipe_of(cfg):
    recipe = load_recipe("wdsr-b8w24-x2")  # by Adam, which any network learns by
    return recipe.model_copy(update={"family": family_of(cfg), "net": asdict(cfg)})


@pytest.mark.parametrize("name", SMALL)
def test_every_network_learns_a_step(name):
    cfg = SMALL[name]
    torch.manual_seed(0)  # by chance all features of so small a network are below their ReLU
    run = Run(recipe_of(cfg), device=torch.device("cpu"))
    before = [p.detach().clone() for p in run.network.parameters()]
    random = np.random.default_rng(0)
    lr = random.integers(0, 256, (2, 8, 8, 3), np.uint8)
    hr = random.integers(0, 256, (2, 8 * cfg.scale, 8 * cfg.scale, 3), np.uint8)
    for _ in range(3):
        assert np.isfinite(run.advance(Batch(lr, hr)).gradient_norm)
    run.require_finite()
    moved = [not torch.equal(a, b) for a, b in zip(before, run.network.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2


def test_the_ema_of_a_network_has_its_statistics():
    cfg = SMALL["srresnet"]
    run = Run(recipe_of(cfg), device=torch.device("cpu"))
    run.advance(Batch(*(np.full((2, n, n, 3), 99, np.uint8) for n in (8, 32))))
    ema, network = run.ema.end.norm, run.network.end.norm
    assert network.running_mean.abs().max() > 0
    assert torch.equal(ema.running_mean, network.running_mean)
    assert torch.equal(ema.running_var, network.running_var)


def test_other_families_start_from_a_network_that_is_alike():
    cfg = SMALL["rdn"]
    network = trained(cfg)
    state = grown(network, build(cfg))
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    with refused("checkpoint", "n_blocks", 2, 3):
        grown(network, build(replace(cfg, n_blocks=3)))
    with refused("checkpoint", "RDN", "WDSR"):
        grown(network, build(WDSRConfig(scale=2, block="a", n_resblocks=1, n_feats=4, expansion=2)))


@given(
    height=st.integers(8, 300),
    width=st.integers(8, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_smfanets_peaks_and_enlargement_are_those_of_torch(height, width, seed):
    x = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(seed)) - 0.5
    small = functional.adaptive_max_pool2d(x, (height // 8, width // 8))
    assert torch.equal(_Grid(x).peaks(x), small)
    assert (_Grid(x).variance(x) - x.var(dim=(2, 3), keepdim=True)).abs().max() < 1e-5
    large = functional.interpolate(small, size=(height, width), mode="nearest")
    assert torch.equal(_Grid(x).enlarged(small), large)


def test_smfanet_takes_pictures_smaller_than_its_cells():
    network = build(SMALL["smfanet"]).eval()
    for height, width in ((1, 1), (1, 9), (7, 3), (8, 7)):
        with torch.inference_mode():
            sr = network(torch.rand(1, 3, height, width))
        assert sr.shape == (1, 3, 3 * height, 3 * width)
        assert sr.isfinite().all()


def test_branches_are_learned_by_what_they_are_merged_to():
    # The authors run the branches one after another, on a picture with zeros around it.
    torch.manual_seed(0)
    conv, x = BranchedConv2d(3, 5), torch.rand(2, 3, 9, 7)
    ours = conv(x)
    theirs = conv.conv(functional.pad(x, (1, 1, 1, 1))) + conv.sk(x)
    assert (ours - theirs).abs().max() < 1e-6
    weights = torch.rand_like(ours)
    gradients = [
        torch.autograd.grad((made * weights).sum(), list(conv.parameters()), retain_graph=True)
        for made in (ours, theirs)
    ]
    for a, b in zip(*gradients, strict=True):
        assert (a - b).abs().max() < 1e-4
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert (conv(x) - conv.plain()(x)).abs().max() == 0


@settings(max_examples=8)
@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_edrn_takes_sides_that_do_not_halve(height, width):
    cfg = SMALL["edrn"]
    network = build(cfg).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, height, width)).shape == (1, 3, 3 * height, 3 * width)
