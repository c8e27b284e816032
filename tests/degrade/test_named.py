"""LR made by the tracks and chains: repeatable, on HR's grid, and as strong as they say."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from facts import names, refused
from widesr.data.opening import open_source
from widesr.data.pack import is_pack
from widesr.data.packing import write_pack
from widesr.data.photographs import Folder
from widesr.degrade.bicubic import degrade
from widesr.degrade.named import DEGRADATIONS, SecondOrder, photograph_seed
from widesr.degrade.steps import (
    blurred,
    gaussian,
    gaussian_noise,
    resized,
    rounded,
    shot_noise,
    through_jpeg,
)
from widesr.pixels.resize import imresize

RANDOM = sorted(DEGRADATIONS.keys() - {"bicubic", "bd"})
TRACKS = ["unknown", "mild", "difficult", "wild"]
SHIFT = {"unknown": 0.25, "mild": 0.25, "difficult": 0.5, "wild": 0.5}
"""LR pixels at most, as docs/why/degradation.md says."""


def noise(height: int, width: int, channels: int = 3, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def smooth(side: int = 192, *, seed: int = 0) -> np.ndarray:
    """A picture with detail of several pixels, in [40, 215]."""
    rough = np.random.default_rng(seed).standard_normal((side, side, 3))
    soft = ndimage.gaussian_filter(rough, (4, 4, 0))
    return np.clip(128 + 40 * soft / soft.std(), 40, 215).astype(np.uint8)


def offset(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(dy, dx) in pixels by which b's content lies after a's, by least squares on gradients."""
    a, b = (x.astype(float).mean(axis=2) for x in (a, b))
    inside = slice(6, -6)
    gy, gx = (g[inside, inside].ravel() for g in np.gradient((a + b) / 2))
    difference = (a - b)[inside, inside].ravel()
    return np.linalg.lstsq(np.stack([gy, gx], 1), difference, rcond=None)[0]


# ---- every degradation ---------------------------------------------------------------------


@pytest.mark.parametrize("name", list(DEGRADATIONS))
@settings(max_examples=12, deadline=None)
@given(
    st.integers(2, 8),
    st.integers(8, 40),
    st.integers(8, 40),
    st.sampled_from([1, 3]),
    st.integers(0, 2**64 - 1),
)
def test_any_picture_becomes_lr_of_its_size_and_the_same_again(
    name, scale, height, width, channels, seed
):
    hr = noise(height, width, channels, seed=seed)
    before = hr.copy()
    shrink = DEGRADATIONS[name].shrink
    lr = shrink(hr, scale=scale, seed=seed)
    assert lr.dtype == np.uint8
    assert lr.shape == (height // scale, width // scale, channels)
    assert np.array_equal(lr, shrink(hr, scale=scale, seed=seed))
    assert np.array_equal(hr, before)


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_gives_another_lr_of_the_same_picture(name):
    lrs = {DEGRADATIONS[name].shrink(smooth(), scale=2, seed=n).tobytes() for n in range(6)}
    assert len(lrs) == 6


@pytest.mark.parametrize("name", RANDOM)
def test_threads_change_nothing(name):
    def made(seed: int) -> bytes:
        return DEGRADATIONS[name].shrink(smooth(), scale=2, seed=seed).tobytes()

    alone = [made(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(made, range(4))) == alone


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["bicubic", *RANDOM])
def test_lr_lies_on_the_grid_of_hr(name, scale):
    hr = smooth(96 * scale // 2)
    exact = degrade(hr, scale=scale)
    found = np.array(
        [offset(exact, DEGRADATIONS[name].shrink(hr, scale=scale, seed=n)) for n in range(40)]
    )
    bound = SHIFT.get(name, 0)
    assert (np.abs(np.median(found, axis=0)) < 0.05 + 0.4 * bound).all()
    if not name.startswith("second-order"):  # its noise hides the position of a single picture
        assert (np.abs(found) < bound + 0.15).all()


def test_bd_is_scipys_gaussian_of_a_dot_as_basicsr_takes_it():
    hr = noise(48, 60)
    blurry = ndimage.gaussian_filter(hr.astype(np.float64), (1.6, 1.6, 0), mode="mirror")
    lr = DEGRADATIONS["bd"].shrink(hr, scale=4, seed=0)
    assert np.abs(lr - blurry[::4, ::4]).max() <= 0.5 + 1e-3  # all of it is rounding


def test_bd_keeps_the_first_pixel_of_each_square_as_published():
    ramp = np.broadcast_to(np.arange(160, dtype=np.uint8)[:, None], (64, 160, 3))
    inside = slice(4, -4)
    lr = DEGRADATIONS["bd"].shrink(np.ascontiguousarray(ramp), scale=4, seed=0)[8, inside, 0]
    assert np.array_equal(lr, np.arange(0, 160, 4)[inside])  # the middle of a square is 1.5 farther


@pytest.mark.parametrize("name", TRACKS)
def test_a_shift_is_there_and_differs_between_pictures(name):
    hr = smooth(256)
    exact = degrade(hr, scale=2)
    found = [offset(exact, DEGRADATIONS[name].shrink(hr, scale=2, seed=n)) for n in range(12)]
    assert np.std(found, axis=0).min() > SHIFT[name] / 4


@pytest.mark.parametrize("name", RANDOM)
def test_a_flat_picture_stays_flat_up_to_noise(name):
    for seed in range(6):
        lr = DEGRADATIONS[name].shrink(np.full((96, 96, 3), 128, np.uint8), scale=2, seed=seed)
        assert abs(lr.mean() - 128) < 2
        if name == "unknown":
            assert (lr == 128).all()


@given(st.integers(0, 255), st.integers(2, 8), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_blur_alone_keeps_every_level(level, scale, seed):
    hr = np.full((32, 40, 3), level, np.uint8)
    assert (DEGRADATIONS["unknown"].shrink(hr, scale=scale, seed=seed) == level).all()


def mean_psnr(shrink) -> float:
    scores = []
    for seed in range(16):
        hr = smooth(128, seed=seed)
        exact = degrade(hr, scale=2)
        lr = shrink(hr, scale=2, seed=seed)
        if not np.array_equal(lr, exact):  # the share that "realistic" leaves clean
            scores.append(peak_signal_noise_ratio(exact, lr))
    return float(np.mean(scores))


def test_stronger_ones_leave_less():
    mild, wild, difficult = (
        mean_psnr(DEGRADATIONS[name].shrink) for name in ("mild", "wild", "difficult")
    )
    assert mild > wild + 1 > difficult + 2
    weak, light, full = (mean_psnr(SecondOrder(strength)) for strength in (0.0, 0.5, 1.0))
    assert weak > light + 3 > full + 5
    assert mean_psnr(DEGRADATIONS["realistic"].shrink) > light + 2


@pytest.mark.parametrize(("name", "share"), [("realistic", 0.1), ("realistic-light", 0.2)])
def test_realistic_leaves_some_pictures_clean_and_most_not(name, share):
    hr = smooth(64)
    exact = degrade(hr, scale=2)
    lrs = [DEGRADATIONS[name].shrink(hr, scale=2, seed=n) for n in range(400)]
    assert abs(np.mean([np.array_equal(lr, exact) for lr in lrs]) - share) < 0.05


def test_realistic_light_loses_less():
    hr = smooth(64)
    exact = degrade(hr, scale=2)

    def median_loss(name):
        shrink = DEGRADATIONS[name].shrink
        lrs = (shrink(hr, scale=2, seed=n).astype(int) for n in range(120))
        return np.median([np.abs(lr - exact).mean() for lr in lrs])

    assert median_loss("realistic-light") < 0.9 * median_loss("realistic")


def test_wild_differs_in_strength_from_picture_to_picture():
    def spread(name: str) -> float:
        flat = np.full((128, 128, 3), 128, np.uint8)
        shrink = DEGRADATIONS[name].shrink
        return float(np.ptp([shrink(flat, scale=2, seed=n).std() for n in range(24)]))

    assert spread("wild") > 1.3 * spread("mild")


def test_a_picture_too_small_is_refused():
    for degradation in DEGRADATIONS.values():
        with refused("shape", "5x2", 3):
            degradation.shrink(noise(2, 5), scale=3, seed=0)


MADE = {
    "bicubic": [34, 98, 162, 226],
    "bd": [32, 96, 160, 224],
    "unknown": [33, 97, 161, 225],
    "mild": [32, 99, 165, 225],
    "difficult": [30, 103, 172, 224],
    "wild": [37, 102, 159, 227],
    "realistic": [29, 90, 171, 227],
    "realistic-light": [29, 90, 171, 227],
    "second-order-light": [26, 92, 159, 223],
    "second-order": [39, 100, 174, 229],
}
"""Red of four pixels, as made when the protocols got their number."""


def test_a_protocol_keeps_its_number_only_with_its_values():
    assert MADE.keys() == DEGRADATIONS.keys()
    y, x = np.mgrid[0:48, 0:64]
    hr = np.stack([4 * x, 5 * y, 255 - 2 * x - 2 * y], axis=-1).astype(np.uint8)
    for name, values in MADE.items():
        degradation = DEGRADATIONS[name]
        number = {"bicubic": "", "realistic": "-2"}.get(name, "-1")
        assert number in re.split("[:,]", degradation.protocol)[0]
        found = degradation.shrink(hr, scale=2, seed=7)[8, 4::8, 0].astype(int)
        assert np.abs(found - values).max() <= 2, name  # the last bits depend on NumPy and libvips


def test_the_page_says_what_each_does():
    page = (Path(__file__).parents[2] / "docs/why/degradation.md").read_text(encoding="utf-8")
    for name in DEGRADATIONS:
        assert f"\n| `{name}` |" in page


# ---- its parts -----------------------------------------------------------------------------


@given(st.floats(0.3, 4), st.floats(0.3, 4), st.floats(0, 3.2), st.floats(-2, 2), st.floats(-2, 2))
@settings(deadline=None)
def test_a_kernel_has_sum_one_and_its_middle_where_it_is_said(along, across, angle, y, x):
    kernel = gaussian((along, across), angle=angle, centre=(y, x)).astype(float)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    middle = len(kernel) // 2
    if min(along, across) > 0.7:  # a narrower one falls between its samples
        found = np.array(ndimage.center_of_mass(kernel)) - middle
        assert found == pytest.approx([y, x], abs=0.06)


@pytest.mark.parametrize("shape", [(40, 57, 3), (600, 31, 3), (1030, 9, 1), (1, 1, 3), (2, 70, 3)])
def test_blur_is_that_of_scipy(shape):
    image = noise(*shape).astype(np.float32)
    kernel = gaussian((2.5, 0.8), angle=0.6, centre=(0.4, -1.2))
    reach = len(kernel) // 2  # padded here: for pictures below that, scipy's own border fails
    padded = np.pad(image.astype(float), ((reach,) * 2, (reach,) * 2, (0, 0)), mode="symmetric")
    inside = (slice(reach, -reach),) * 2
    expected = ndimage.correlate(padded, kernel[..., np.newaxis].astype(float))[inside]
    assert np.abs(blurred(image, kernel) - expected).max() < 2e-3


def test_a_round_kernel_is_the_gaussian_filter_of_scipy():
    image = noise(50, 60).astype(np.float32)
    expected = ndimage.gaussian_filter(image.astype(float), (2, 2, 0), mode="reflect", radius=6)
    kernel = gaussian((2, 2), angle=0.3)
    assert np.abs(blurred(image, kernel) - expected).max() < 1e-2


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_area_is_the_mean_of_what_a_pixel_covers(factor):
    image = noise(30, 60).astype(np.float32)
    size = (30 // factor, 60 // factor)
    expected = image.reshape(size[0], factor, size[1], factor, 3).mean(axis=(1, 3))
    assert np.abs(resized(image, size, by="area") - expected).max() < 1e-3
    pillow = Image.fromarray(image[..., 0]).resize((41, 19), Image.Resampling.BOX)
    ours = resized(image, (19, 41), by="area")[..., 0]  # Pillow counts whole pixels
    assert abs(ours.mean() - np.asarray(pillow).mean()) < 1


def test_bilinear_is_that_of_pillow_where_it_enlarges():
    image = noise(11, 14).astype(np.float32)
    expected = np.asarray(
        Image.fromarray(image[..., 1]).resize((33, 24), Image.Resampling.BILINEAR)
    )
    assert np.abs(resized(image, (24, 33), by="bilinear")[..., 1] - expected).max() < 1e-3


@pytest.mark.parametrize("by", ["bicubic", "bilinear", "area"])
@pytest.mark.parametrize("size", [(1, 1), (7, 19), (23, 90), (1, 50)])
def test_resizing_keeps_a_slope_centred(by, size):
    slope = np.tile(np.linspace(0, 200, 50, dtype=np.float32)[:, np.newaxis], (24, 1, 3))
    out = resized(slope, size, by=by)
    assert out.shape == (*size, 3)
    assert out.dtype == np.float32
    assert out.mean() == pytest.approx(100, abs=0.5)
    assert np.abs(out + out[:, ::-1] - 200).max() < 0.1


def test_shot_noise_has_the_variance_of_a_poisson_distribution():
    steps = np.repeat(np.array([0, 64, 128, 255], np.float32), 20_000).reshape(-1, 100, 1)
    noisy = shot_noise(steps, np.random.default_rng(0), sigma=12.0, grey=False) - steps
    found = noisy.reshape(4, -1)
    assert found.mean(axis=1) == pytest.approx(np.zeros(4), abs=0.4)
    assert found.var(axis=1) == pytest.approx(144 * np.array([0, 64, 128, 255]) / 255, rel=0.05)


def test_grey_noise_is_alike_in_all_channels_and_colour_noise_is_not():
    flat = np.full((80, 80, 3), 100, np.float32)
    for add in (gaussian_noise, shot_noise):
        grey = add(flat, np.random.default_rng(0), sigma=9, grey=True)
        assert np.ptp(grey, axis=2).max() == 0
        colour = (add(flat, np.random.default_rng(0), sigma=9, grey=False) - flat).reshape(-1, 3)
        assert np.abs(np.corrcoef(colour.T) - np.eye(3)).max() < 0.05
    assert (gaussian_noise(flat, np.random.default_rng(0), sigma=9, grey=False) - flat).std() == (
        pytest.approx(9, rel=0.05)
    )


@pytest.mark.parametrize("subsampled", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [40, 75, 95])
def test_jpeg_loses_what_pillows_encoder_loses(quality, channels, subsampled):
    pixels = rounded(0.25 * noise(64, 80, 3) + 0.75 * smooth(80)[:64])[..., :channels]
    ours = through_jpeg(pixels, quality=quality, subsampled=subsampled)
    assert ours.shape == pixels.shape
    assert ours.dtype == np.uint8
    buffer = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    image.save(buffer, "jpeg", quality=quality, subsampling="4:2:0" if subsampled else "4:4:4")
    theirs = np.asarray(Image.open(buffer)).reshape(pixels.shape)
    scores = [peak_signal_noise_ratio(pixels, each) for each in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=0.5)
    assert np.abs(ours.astype(int) - theirs).mean() < 2


def test_jpeg_refuses_what_it_cannot_hold():
    with refused("shape", "70000x1", "JPEG"):
        through_jpeg(np.zeros((1, 70_000, 3), np.uint8), quality=90, subsampled=False)


@given(st.lists(st.floats(-300, 600, width=32), min_size=1, max_size=50))
def test_rounding_is_half_up_and_clipped(values):
    found = rounded(np.array(values, np.float32).reshape(1, -1, 1)).ravel()
    expected = [min(255, max(0, int(np.floor(np.float32(v) + np.float32(0.5))))) for v in values]
    assert found.tolist() == expected


# ---- photographs ---------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for n in range(2):
        Image.fromarray(smooth(65, seed=n)).save(folder / f"{n}.png")
    return folder


def test_a_photograph_gets_four_lr_of_other_seeds_from_a_folder_and_from_its_pack(
    photographs, tmp_path
):
    folder = Folder(photographs, scales=[2], degradation="realistic")
    assert names(folder.what, "2 HR", "realistic", 4)
    assert folder.protocol.startswith("widesr-realistic-2: ")
    pairs = folder.load(folder.names)
    assert [pair.name for pair in pairs] == ["0.png"] * 4 + ["1.png"] * 4
    assert len({pair.lr.tobytes() for pair in pairs}) == 8
    for n, pair in enumerate(pairs):
        seed = photograph_seed(pair.name, variant=n % 4)
        hr = smooth(65, seed=n // 4)
        expected = DEGRADATIONS["realistic"].shrink(hr, scale=2, seed=seed)
        assert np.array_equal(pair.lr, expected)
        assert np.array_equal(pair.hr, hr[:64, :64])
    index = write_pack(folder, tmp_path / "pack")
    assert is_pack(tmp_path / "pack")
    assert index.protocol == folder.protocol
    packed = open_source(tmp_path / "pack", scale=2, degradation="realistic")
    again = packed.load(packed.names)
    assert [pair.lr.tobytes() for pair in again] == [pair.lr.tobytes() for pair in pairs]


def test_memory_is_asked_for_all_lr(photographs, monkeypatch):
    folder = Folder(photographs, scales=[2], degradation="mild")
    needed = 2 * 3 * 65 * 65 * 2  # HR, and four LR of a quarter each
    monkeypatch.setattr("widesr.data.photographs.free_memory", lambda: needed - 1)
    with refused("data", photographs, "2 photographs", "memory"):
        folder.load(folder.names)
    monkeypatch.setattr("widesr.data.photographs.free_memory", lambda: needed + 1)
    assert len(folder.load(folder.names)) == 8


def test_a_track_of_which_other_lr_lies_beside_is_not_made_up(tmp_path):
    for name in ("DIV2K_train_HR/1.png", "DIV2K_train_LR_unknown/X2/1x2.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        Image.fromarray(smooth(64 if "HR" in name else 32)).save(path)
    with refused("data", tmp_path, "unknown", "x4"):
        open_source(tmp_path, scale=4, degradation="unknown")
    assert names(open_source(tmp_path, scale=4, degradation="realistic").what, "realistic")
    (tmp_path / "DIV2K_train_LR_unknown").rename(tmp_path / "elsewhere")
    assert names(open_source(tmp_path, scale=4, degradation="unknown").what, "unknown")


def test_strength_nought_is_resizing_and_the_best_jpeg():
    hr = smooth(128)
    for seed in range(6):
        lr = SecondOrder(0.0)(hr, scale=2, seed=seed)
        assert peak_signal_noise_ratio(imresize(hr, scale=0.5), lr) > 30
