"""PSNR and SSIM against published rows, another library, and their own definition."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from facts import refused
from widesr.pixels.metrics import PROTOCOLS, Protocol, luma, psnr, ssim
from widesr.pixels.resize import imresize

WHOLE_RGB = PROTOCOLS["krasserm"]


@pytest.mark.parametrize(
    ("protocol", "scale", "expected_psnr", "expected_ssim"),
    [
        # Golden: computed by an independent script from Set5's published LR pictures. Published
        # bicubic rows (RCAN's tables: 33.66/.9299, 30.39/.8682, 28.42/.8104) lie between them.
        ("matlab-y", 2, 33.6396, 0.9292),
        ("matlab-y", 3, 30.3850, 0.8678),
        ("matlab-y", 4, 28.4165, 0.8101),
        ("benchmark-y", 2, 33.6734, 0.9303),
        ("benchmark-y", 3, 30.4033, 0.8689),
        ("benchmark-y", 4, 28.4290, 0.8111),
    ],
)
def test_bicubic_on_set5_scores_as_published(bench, protocol, scale, expected_psnr, expected_ssim):
    scores = []
    for file in sorted((bench / "Set5" / "HR").glob("*.png")):
        lr_file = bench / "Set5" / "LR_bicubic" / f"X{scale}" / f"{file.stem}x{scale}.png"
        sr = imresize(np.asarray(Image.open(lr_file)), scale=scale)
        hr = np.asarray(Image.open(file))[: sr.shape[0], : sr.shape[1]]
        options = {"protocol": PROTOCOLS[protocol], "scale": scale}
        scores.append((psnr(sr, hr, **options), ssim(sr, hr, **options)))
    assert len(scores) == 5
    mean_psnr, mean_ssim = np.mean(scores, axis=0)
    assert mean_psnr == pytest.approx(expected_psnr, abs=5e-4)
    assert mean_ssim == pytest.approx(expected_ssim, abs=1e-4)


pictures = hnp.arrays(np.uint8, (13, 17, 3))


@given(pictures, pictures)
def test_rgb_scores_are_those_of_scikit_image(sr, hr):
    options = {"protocol": WHOLE_RGB, "scale": 2}
    if not np.array_equal(sr, hr):
        assert psnr(sr, hr, **options) == pytest.approx(peak_signal_noise_ratio(hr, sr))
    index = np.mean(
        [
            # scikit-image's Gaussian is cut at 3.5 sigma: 11 taps; its border is left out by hand.
            structural_similarity(
                hr[..., c], sr[..., c], data_range=255, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False, full=True,
            )[1][5:-5, 5:-5].mean()
            for c in range(3)
        ]
    )  # fmt: skip
    assert ssim(sr, hr, **options) == pytest.approx(index, abs=1e-9)


@given(pictures, pictures)
def test_scores_are_symmetric_and_best_for_equal_pictures(sr, hr):
    for protocol in PROTOCOLS.values():
        if 2 * protocol.shave(1) + 11 > 13:
            continue
        options = {"protocol": protocol, "scale": 1}
        assert psnr(sr, hr, **options) == psnr(hr, sr, **options)
        assert ssim(sr, hr, **options) == pytest.approx(ssim(hr, sr, **options))
        assert ssim(sr, hr, **options) <= 1 + 1e-12
        assert psnr(hr, hr, **options) == math.inf
        assert ssim(hr, hr, **options) == pytest.approx(1)


@given(st.integers(1, 30))
def test_an_even_error_of_n_levels_scores_as_the_definition_says(levels):
    hr = np.full((20, 20, 3), 100, np.uint8)
    value = psnr(hr + np.uint8(levels), hr, protocol=WHOLE_RGB, scale=2)
    assert value == pytest.approx(20 * math.log10(255 / levels))


def test_full_range_luma_would_read_1_32_db_lower():
    random = np.random.default_rng(0)
    hr = random.integers(0, 256, (30, 30, 3), np.uint8)
    sr = np.clip(hr.astype(int) + random.integers(-9, 10, hr.shape), 0, 255).astype(np.uint8)
    y = psnr(sr, hr, protocol=PROTOCOLS["benchmark-y"], scale=2)
    full = [(luma(x[2:-2, 2:-2].astype(float), rounded=False) - 16) * 255 / 219 for x in (sr, hr)]
    assert y - peak_signal_noise_ratio(full[1], full[0], data_range=255) == pytest.approx(
        1.322, abs=1e-3
    )


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((255, 0, 0), 81),
        ((0, 255, 0), 145),
        ((0, 0, 255), 41),
    ],
)
def test_rounded_luma_is_matlabs(rgb, y):
    # Golden: MATLAB's rgb2ycbcr(uint8(rgb)).
    assert luma(np.array([[rgb]], float), rounded=True).item() == y


def test_the_border_is_left_out_on_all_four_sides():
    hr = np.full((40, 40, 3), 90, np.uint8)
    sr = hr.copy()
    sr[:8], sr[-8:], sr[:, :8], sr[:, -8:] = 0, 0, 0, 0
    assert psnr(sr, hr, protocol=PROTOCOLS["div2k-rgb"], scale=2) == math.inf
    assert psnr(sr, hr, protocol=PROTOCOLS["basicsr-rgb"], scale=2) < 20


@pytest.mark.parametrize(
    ("name", "shave_x4"),
    [("benchmark-y", 4), ("matlab-y", 4), ("div2k-rgb", 10), ("basicsr-rgb", 4), ("krasserm", 0)],
)
def test_every_named_protocol_has_its_border_and_its_source(name, shave_x4):
    protocol = PROTOCOLS[name]
    assert protocol.shave(4) == shave_x4
    assert protocol.source
    assert name in str(protocol)


def test_grey_pictures_are_compared_as_they_are():
    hr = np.full((20, 20, 1), 100, np.uint8)
    expected = 20 * math.log10(255 / 7)
    for protocol in PROTOCOLS.values():
        if 2 * protocol.shave(2) < 20:
            assert psnr(hr + np.uint8(7), hr, protocol=protocol, scale=2) == pytest.approx(expected)
    y = PROTOCOLS["benchmark-y"]
    assert psnr(hr[..., 0] + np.uint8(7), hr[..., 0], protocol=y, scale=2) == pytest.approx(
        expected
    )


def test_sixteen_bit_pictures_score_as_their_eight_bit_likes():
    random = np.random.default_rng(0)
    sr, hr = random.integers(0, 256, (2, 30, 30, 3), np.uint16)
    for protocol in PROTOCOLS.values():
        options = {"protocol": protocol, "scale": 2}
        wide = psnr(sr * np.uint16(257), hr * np.uint16(257), **options)
        assert wide == pytest.approx(psnr(sr.astype(np.uint8), hr.astype(np.uint8), **options))


def test_tall_pictures_score_by_the_definition_in_memory_that_does_not_grow_with_the_height():
    random = np.random.default_rng(0)
    hr = random.integers(0, 256, (3000, 40, 3), np.uint8)
    sr = (hr // 2 + random.integers(0, 128, hr.shape)).astype(np.uint8)
    options = {"protocol": WHOLE_RGB, "scale": 2}
    tracemalloc.start()
    decibels, index = psnr(sr, hr, **options), ssim(sr, hr, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * hr.nbytes  # one float64 copy, of which SSIM of the whole would need a dozen
    assert decibels == pytest.approx(peak_signal_noise_ratio(hr, sr))
    full = structural_similarity(
        hr, sr, channel_axis=2, gaussian_weights=True, sigma=1.5, data_range=255,
        use_sample_covariance=False, full=True,
    )[1]  # fmt: skip
    assert index == pytest.approx(full[5:-5, 5:-5].mean())


def test_what_cannot_be_compared_is_refused():
    hr = np.zeros((20, 20, 3), np.uint8)
    y = PROTOCOLS["benchmark-y"]
    with refused("shape", (19, 20, 3), (20, 20, 3)):
        psnr(hr[1:], hr, protocol=y, scale=2)
    with refused("shape", "uint8", "uint16"):
        psnr(hr, hr.astype(np.uint16), protocol=y, scale=2)
    with refused("shape", "float64"):
        psnr(hr / 255, hr / 255, protocol=y, scale=2)
    with refused("shape", 10, "20x20"):
        psnr(hr, hr, protocol=PROTOCOLS["div2k-rgb"], scale=4)
    with refused("shape", "11x11", "8x8"):
        ssim(
            hr,
            hr,
            protocol=Protocol(
                name="p",
                channel="y",
                border_per_scale=6,
                border_extra=0,
                y_rounded=False,
                source="s",
            ),
            scale=1,
        )
    with refused("shape", "RGB", (20, 20, 4)):
        psnr(np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 4), np.uint8), protocol=y, scale=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": -1},
        {"scale": True},
        {"scale": 2.0},
        {"scale": "2"},
        {"protocol": "y"},
        {"protocol": 1},
    ],
)
def test_a_value_of_another_type_gives_no_number(wrong):
    hr = np.zeros((20, 20, 3), np.uint8)
    for measure in (psnr, ssim):
        with refused("usage", next(iter(wrong))):
            measure(hr, hr, **({"protocol": PROTOCOLS["benchmark-y"], "scale": 2} | wrong))


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_a_protocol_may_be_given_by_its_name(measure):
    sr, hr = np.random.default_rng(0).integers(0, 256, (2, 30, 30, 3), np.uint8)
    values = {measure(sr, hr, protocol=name, scale=2) for name in PROTOCOLS}
    assert values == {measure(sr, hr, protocol=each, scale=2) for each in PROTOCOLS.values()}
    assert len(values) > 3


def test_what_is_no_array_is_not_compared():
    hr = np.zeros((20, 20, 3), np.uint8)
    with refused("usage", "list"):
        psnr(hr.tolist(), hr, protocol=PROTOCOLS["benchmark-y"], scale=2)
