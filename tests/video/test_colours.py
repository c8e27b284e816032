"""Colours come out as they went in: matrix, range, depth, siting, aspect and rotation."""

import zlib
from fractions import Fraction

import numpy as np
import pytest

from clips import decoded, ffmpeg, make_clip, other_packets, side_data, video
from facts import refused
from widesr import upscale_video
from widesr.cli import run
from widesr.pictures.picture import Picture
from widesr.pictures.writing import write_picture
from widesr.video.clip import read_clip
from widesr.video.colour import Colour, Layout
from widesr.video.converting import Converter
from widesr.video.planes import make_frame, views

TAGS = ("color_range", "color_space", "color_transfer", "color_primaries", "chroma_location")
FLAT = "color=c=0x{}"
STATED = {
    "601": "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m -color_range tv",
    "709": "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv",
    "full": "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range pc",
    "silent": "",
}


def pixels_of(layout, rgb, n=8):
    return np.broadcast_to(np.array(rgb, np.uint8), (n, n, 3))


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (2, 2), (4, 1)])
def test_any_flat_colour_goes_to_planes_and_back_within_a_level(matrix, code, across, down):
    rng = np.random.default_rng(matrix * code + across)
    for bits in (8, 10):
        layout = Layout(name="", kind="yuv", bits=bits, across=across, down=down)
        conversion = Colour(matrix=matrix, range=code, siting="left").conversion(layout, 48)
        rgb = rng.integers(0, 256, 3) * (1 if bits == 8 else 257)
        picture = np.broadcast_to(rgb.astype(np.uint8 if bits == 8 else np.uint16), (7, 9, 3))
        planes = conversion.to_planes(picture)
        assert [plane.shape for plane in planes[1:]] == [(-(-7 // down), -(-9 // across))] * 2
        again = conversion.to_planes(conversion.to_rgb(planes))
        for one, other in zip(planes, again, strict=True):
            assert np.ptp(one) == 0
            assert abs(int(one[0, 0]) - int(other[0, 0])) <= 1


def test_levels_are_those_of_the_standards():
    # ITU-R BT.709 and BT.601: red is Y 63 Cb 102 Cr 240, and Y 81 Cb 90 Cr 240, in limited range.
    layout = Layout(name="", kind="yuv", bits=8)
    red = np.array([[[255, 0, 0]]], np.uint8)
    for matrix, expected in ((1, (63, 102, 240)), (6, (81, 90, 240))):
        planes = Colour(matrix=matrix, range=1).conversion(layout, 48).to_planes(red)
        assert tuple(int(plane[0, 0]) for plane in planes) == expected


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_lies_where_the_stream_says(siting):
    # a straight ramp of colour is the same ramp after its chroma was halved and doubled
    layout = Layout(name="", kind="yuv", bits=16, across=2, down=2)
    conversion = Colour(matrix=1, range=2, siting=siting).conversion(layout, 48)
    ramp = np.zeros((40, 60, 3), np.uint16)
    ramp[..., 0] = np.arange(60) * 700 + np.arange(40)[:, np.newaxis] * 300
    ramp[..., 2] = 30000
    again = conversion.to_rgb(conversion.to_planes(ramp)).astype(int)
    assert np.abs(again - ramp)[4:-4, 4:-4].max() <= 4


@pytest.mark.parametrize("bits", [8, 10])
def test_what_rgb_cannot_hold_comes_back_in_any_size(bits):
    # white beyond white, a blue that is twice too bright, and a black below black
    layout = Layout(name="yuv444p" if bits == 8 else "yuv444p10le", kind="yuv", bits=bits)
    colours = np.array([(250, 128, 128), (230, 253, 106), (4, 128, 128)]) << (bits - 8)
    planes = [
        np.repeat(levels.astype(np.uint8 if bits == 8 else np.uint16), 8)[:, np.newaxis]
        * np.ones(8, np.uint8)
        for levels in colours.T
    ]
    converter = Converter(Colour(matrix=1, range=1), layout, height=24)
    rgb, beyond = converter.to_rgb(make_frame(planes, layout, layout.name))
    assert (rgb[4], rgb[20]) == (pytest.approx(rgb.max()), pytest.approx(0))
    assert rgb[12, :, 2].min() == rgb.max()
    larger = rgb.repeat(2, axis=0).repeat(2, axis=1)
    made = Converter(Colour(matrix=1, range=1), layout, height=24).to_frame(
        larger, beyond, pixel_format=layout.name
    )
    for plane, levels in zip(views(made), colours.T, strict=True):
        assert np.abs(plane[8::16].astype(int) - levels[:, np.newaxis]).max() <= 1 << (bits - 8)


@pytest.mark.parametrize(("siting", "offset"), [("left", 0), ("center", 0.5)])
def test_chroma_of_422_in_h264_lies_at_the_left_as_it_states_no_other_place(
    tmp_path, siting, offset
):
    height, width, slope = 16, 64, 6  # levels for each column of luma, of 10 bits
    ramp = 320 + slope * (2 * np.arange(width // 2) + offset)
    flat = np.full((height, width), 500)
    planes = [flat, np.tile(ramp, (height, 1)), np.full((height, width // 2), 512)]
    raw = tmp_path / "raw.yuv"
    raw.write_bytes(b"".join(plane.astype("<u2").tobytes() for plane in planes))
    clip = tmp_path / "clip.mkv"
    ffmpeg(
        f"-f rawvideo -pix_fmt yuv422p10le -s {width}x{height} -i {{}} -c:v ffv1 "
        f"-chroma_sample_location {siting} -colorspace bt709 -color_range tv {{}}",
        raw,
        clip,
    )
    assert video(clip)["chroma_location"] == siting
    out = upscale_video(
        clip, tmp_path / "out.mp4", scale=2, model="bicubic", codec="h264", lossless=True
    ).target
    assert video(out)["pix_fmt"] == "yuv422p10le"
    frame = decoded(out, pixel_format="yuv422p10le", size=(2 * height, 2 * width))[0]
    blue = frame[4 * height * width :].reshape(2, 2 * height, width)[0, height].astype(int)
    # sample j lies at column 2 j of the output, which is j - 1/4 of the input
    expected = 320 + slope * (np.arange(width) - 0.25)
    assert np.abs(blue - expected)[6:-6].max() <= 1


@pytest.mark.parametrize("stated", STATED)
def test_a_flat_clip_keeps_its_colour_and_its_tags(tmp_path, stated):
    flags = STATED[stated]
    pixel_format = "yuvj420p" if stated == "full" else "yuv420p"
    clip = make_clip(
        tmp_path / "clip.mp4",
        source=FLAT.format("c04080"),
        frames=4,
        options=f"-c:v libx264 -qp 0 -pix_fmt {pixel_format} {flags}",
    )
    result = upscale_video(clip, tmp_path / "out.mp4", scale=2, model="fast", lossless=True)
    before, after = video(clip), video(result.target)
    assert [after.get(tag) for tag in TAGS] == [before.get(tag) for tag in TAGS]
    assert after["pix_fmt"] == before["pix_fmt"]
    assert bool(result.notices) == (stated == "silent")
    old = decoded(clip, pixel_format="yuv420p", size=(48, 64))[0].astype(int)
    new = decoded(result.target, pixel_format="yuv420p", size=(96, 128))[-1].astype(int)
    for place, (end_old, end_new) in enumerate([(0, 0), (3072, 12288), (3840, 15360)]):
        values = new[end_new : end_new + (12288 if place == 0 else 3072)]
        assert np.abs(values - old[end_old]).max() <= 1


def test_patches_of_colour_stay_within_a_level_through_the_network(tmp_path):
    clip = make_clip(
        tmp_path / "clip.mkv",
        source="smptebars",
        size="210x120",
        frames=2,
        options="-c:v ffv1 -pix_fmt yuv444p -colorspace bt709 -color_range tv",
    )
    result = upscale_video(clip, tmp_path / "out.mkv", scale=2, model="fast", codec="ffv1")
    old = decoded(clip, pixel_format="yuv444p", size=(120, 210))[0].reshape(3, 120, 210)
    new = decoded(result.target, pixel_format="yuv444p", size=(240, 420))[0].reshape(3, 240, 420)
    middles = slice(15, None, 30)  # of seven bars
    difference = new[:, 60, 30::60].astype(int) - old[:, 30, middles]
    assert np.abs(difference).max() <= 1


def test_ten_bits_stay_ten_bits(tmp_path):
    clip = make_clip(
        tmp_path / "clip.mkv",
        source="gradients=seed=1",  # else ffmpeg draws one
        frames=2,
        options="-c:v ffv1 -pix_fmt yuv420p10le -colorspace bt709 -color_range tv",
    )
    out = upscale_video(clip, tmp_path / "out.mkv", scale=2, model="nearest", codec="ffv1").target
    assert video(out)["pix_fmt"] == "yuv420p10le"
    old = decoded(clip, pixel_format="yuv420p10le", size=(48, 64))[0][:3072].reshape(48, 64)
    new = decoded(out, pixel_format="yuv420p10le", size=(96, 128))[0][:12288].reshape(96, 128)
    assert np.abs(new[::2, ::2].astype(int) - old).max() <= 2
    assert len(np.unique(new % 4)) == 4  # not 8 bits made wider


@pytest.mark.parametrize(
    ("pixel_format", "codec", "kept"),
    [
        ("yuv422p10le", "prores", "yuv422p10le"),
        ("yuv444p", "hevc", "yuv444p"),
        ("gray", "ffv1", "gray"),
        ("bgr0", "ffv1", "bgr0"),
    ],
)
def test_layouts_stay_where_the_codec_has_them(tmp_path, pixel_format, codec, kept):
    clip = make_clip(tmp_path / "clip.mkv", frames=3, options=f"-c:v ffv1 -pix_fmt {pixel_format}")
    out = upscale_video(clip, tmp_path / "out.mkv", scale=2, model="nearest", codec=codec).target
    assert (video(out)["codec_name"], video(out)["pix_fmt"]) == (codec, kept)


def test_lossless_keeps_every_value_or_is_refused(tmp_path):
    options = "-vf format=gbrp10le -c:v ffv1 -pix_fmt gbrp10le"
    clip = make_clip(tmp_path / "clip.mkv", frames=2, options=options)
    for options in ({"lossless": True}, {"lossless": True, "codec": "av1"}):
        with refused("usage", "gbrp10le", "ffv1"):
            upscale_video(clip, tmp_path / "out.mkv", scale=2, model="nearest", **options)
    hevc = upscale_video(
        clip, tmp_path / "out.mkv", scale=2, model="nearest", lossless=True, codec="hevc"
    )
    grey = make_clip(tmp_path / "grey.mkv", frames=2, options="-c:v ffv1 -pix_fmt gray")
    upscale_video(grey, tmp_path / "1.mkv", scale=2, model="nearest", lossless=True, codec="av1")
    before = decoded(clip, pixel_format="gbrp10le", size=(48, 64)).reshape(2, 3, 48, 64)
    after = decoded(hevc.target, pixel_format="gbrp10le", size=(96, 128)).reshape(2, 3, 96, 128)
    assert np.array_equal(after, before.repeat(2, axis=2).repeat(2, axis=3))


@pytest.mark.parametrize("options", [{"codec": "ffv1"}, {}])
def test_pictures_of_16_bits_keep_them_where_nothing_is_to_be_lost(tmp_path, options):
    frames = tmp_path / "frames"
    frames.mkdir()
    pixels = np.random.default_rng(0).integers(0, 2**16, (24, 32, 3)).astype(np.uint16)
    write_picture(frames / "1.png", Picture(pixels=pixels))
    with refused("usage", "gbrp16le"):
        upscale_video(frames, tmp_path / "o.mkv", fps=24, scale=2, model="nearest", lossless=True)
    out = tmp_path / "out.mkv"
    result = upscale_video(frames, out, fps=24, scale=2, model="nearest", **options)
    if not options:
        assert result.notices == ("16 bits became 10",)
        return
    assert (result.notices, video(out)["pix_fmt"]) == ((), "gbrp16le")
    green, blue, red = decoded(out, pixel_format="gbrp16le", size=(48, 64))[0].reshape(3, 48, 64)
    assert np.array_equal(np.dstack((red, green, blue)), pixels.repeat(2, axis=0).repeat(2, axis=1))


def test_aspect_and_rotation_are_kept(tmp_path, upscaled):
    make_clip(
        tmp_path / "v.mp4", options="-vf setsar=16/11 -c:v libx264 -pix_fmt yuv420p", frames=4
    )
    clip = tmp_path / "clip.mp4"
    ffmpeg("-i {} -c copy -metadata:s:v:0 rotate=90 {}", tmp_path / "v.mp4", clip)
    before, after = video(clip), video(upscaled(clip))
    assert after["sample_aspect_ratio"] == before["sample_aspect_ratio"] == "16:11"
    assert after["side_data_list"][0] == before["side_data_list"][0]
    assert after["side_data_list"][0]["rotation"] in (90, -90)


@pytest.mark.parametrize(
    ("codec", "ending"),
    [("h264", "mkv"), ("av1", "mkv"), ("vp9", "webm"), ("ffv1", "mkv"), ("prores", "mkv")],
)
def test_matroska_states_the_shape_of_pixels(tmp_path, upscaled, codec, ending):
    clip = make_clip(
        tmp_path / "clip.mp4",
        frames=4,
        sound="libopus",
        options="-vf setsar=5/4 -c:v libx264 -pix_fmt yuv420p -strict -2",
    )
    out = upscaled(clip, tmp_path / f"out.{ending}", codec=codec)
    assert video(out)["sample_aspect_ratio"] == "5:4"
    assert video(out)["display_aspect_ratio"] == "5:3"
    assert other_packets(out).keys() == other_packets(clip).keys()
    ffmpeg("-xerror -err_detect explode -i {} -f null -", out)
    data = out.read_bytes()
    tracks = b"\x16\x54\xae\x6b"
    at = data.index(tracks, data.index(tracks) + 1)  # the first only says where they lie
    size_bytes = 9 - data[at + 4].bit_length()
    start = at + 4 + size_bytes
    size = int.from_bytes(data[at + 4 : start], "big") & (2 ** (7 * size_bytes) - 1)
    assert (data[start] == 0xBF) == (ending == "mkv")
    if data[start] == 0xBF:
        checksum = int.from_bytes(data[start + 2 : start + 6], "little")
        assert checksum == zlib.crc32(data[start + 6 : start + size])


@pytest.mark.parametrize(("scale", "size"), [(2, (130, 94)), (3, (194, 140))])
def test_odd_sizes(tmp_path, scale, size):
    clip = make_clip(
        tmp_path / "clip.mkv",
        source="testsrc",
        frames=3,
        options="-vf format=yuv444p,scale=65:47 -c:v ffv1 -pix_fmt yuv420p",
    )
    result = upscale_video(clip, tmp_path / "out.mkv", scale=scale, model="nearest")
    assert (video(result.target)["width"], video(result.target)["height"]) == size
    assert any("even" in notice for notice in result.notices) == (scale == 3)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("-c:v ffv1 -pix_fmt yuv420p10le -colorspace bt2020c", "constant luminance"),
        ("-c:v ffv1 -pix_fmt yuv420p -colorspace smpte2085", "11"),
        ("-c:v ffv1 -pix_fmt yuva420p", "transparency"),
        ("-c:v libvpx-vp9 -pix_fmt yuva420p", "transparency"),  # which the decoder never sees
        ("-c:v ffv1 -pix_fmt yuv420p -field_order tt", "interlaced"),
    ],
)
def test_what_would_come_out_wrong_is_refused_by_its_name(tmp_path, flags, said):
    clip = make_clip(tmp_path / "clip.mkv", frames=2, options=flags)
    with refused("video-format", clip, said):
        upscale_video(clip, scale=2, model="nearest")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


MASTERED = (
    "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
    "max-cll=1000,400",
)


@pytest.mark.parametrize(
    ("transfer", "codec"),
    [("smpte2084", None), ("arib-std-b67", None), ("smpte2084", "h264"), ("smpte2084", "av1")],
)
def test_hdr_is_kept_with_all_that_is_said_of_it(tmp_path, transfer, codec):
    is_pq = transfer == "smpte2084"
    params = f"log-level=error:range=limited:colorprim=bt2020:transfer={transfer}"
    params += (
        f":colormatrix=bt2020nc:chromaloc=2:pools=1:master-display={':'.join(MASTERED)}" * is_pq
    )
    clip = make_clip(
        tmp_path / "clip.mp4",
        frames=3,
        options=f"-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params '{params}'",
    )
    before = video(clip)
    assert before["color_transfer"] == transfer
    result = upscale_video(clip, tmp_path / "out.mp4", scale=2, model="nearest", codec=codec)
    after = video(result.target)
    assert after["codec_name"] == (codec or "hevc")
    for name in (*TAGS, "pix_fmt"):
        assert after.get(name) == before.get(name), name
    stated, kept = (read_clip(each).colour.mastering for each in (clip, result.target))
    if is_pq:
        assert kept.display == pytest.approx(stated.display, rel=1e-3)
        assert kept.light == stated.light == (1000, 400)
    kinds = ("Mastering display metadata", "Content light level metadata")
    old, new = side_data(clip), side_data(result.target)
    for kind in kinds:
        assert (kind in old) == is_pq
        if codec == "h264":  # Debian's ffprobe does not look for it there
            continue
        assert _values(new.get(kind)) == pytest.approx(_values(old.get(kind)), rel=1e-3)


def _values(said):
    """The numbers of side data, by their names."""
    return {
        name: float(Fraction(each)) for name, each in (said or {}).items() if "type" not in name
    }


def test_hdr_is_not_written_as_pictures_that_would_not_say_so(tmp_path):
    clip = make_clip(
        tmp_path / "clip.mkv",
        frames=2,
        options="-c:v ffv1 -pix_fmt yuv420p10le -color_trc smpte2084",
    )
    assert run(["upscale", str(clip), "-n", "nearest", "-o", str(tmp_path / "%d.png")]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


def test_an_rgb_clip_says_by_which_matrix_it_became_yuv(tmp_path):
    clip = make_clip(
        tmp_path / "clip.mkv", source=FLAT.format("c04080"), frames=2,
        options="-c:v ffv1 -pix_fmt bgr0",
    )  # fmt: skip
    result = upscale_video(clip, tmp_path / "out.mp4", scale=2, model="nearest")
    found = video(result.target)
    assert (found["color_space"], found["color_range"]) == ("smpte170m", "tv")
    back = decoded(result.target, pixel_format="rgb24", size=(96, 128))[0]
    assert np.abs(back.reshape(-1, 3).astype(int) - (0xC0, 0x40, 0x80)).max() <= 3


def test_both_fields_become_one_picture_if_asked(tmp_path):
    clip = make_clip(
        tmp_path / "clip.mkv",
        rate="50",
        frames=10,
        options="-vf tinterlace=interleave_top,setfield=tff -flags +ildct+ilme -c:v mpeg2video "
        "-q:v 2 -pix_fmt yuv420p",
    )
    result = upscale_video(
        clip, tmp_path / "out.mkv", scale=2, model="nearest", deinterlace=True, codec="ffv1"
    )
    assert result.frames == 10
    assert video(result.target).get("field_order", "progressive") in ("progressive", "unknown")
    frame = decoded(result.target, pixel_format="gray", size=(96, 128))[2].reshape(96, 128)
    # combing is the difference between neighbouring rows beyond that of rows two apart
    rows = frame[::2].astype(int)
    beside, apart = np.abs(np.diff(rows, axis=0)).mean(), np.abs(rows[2:] - rows[:-2]).mean()
    assert beside < apart


@pytest.mark.parametrize("transfer", ["arib-std-b67", "smpte2084", "bt2020-10"])
def test_prores_says_of_what_colours_it_is(tmp_path, transfer):
    tags = f"-color_primaries bt2020 -color_trc {transfer} -colorspace bt2020nc -color_range tv"
    clip = make_clip(
        tmp_path / "clip.mov",
        frames=2,
        options=f"-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le {tags}",
    )
    out = upscale_video(clip, tmp_path / "out.mov", scale=2, model="nearest", codec="prores").target
    for name in ("color_primaries", "color_transfer", "color_space"):
        assert video(out)[name] == video(clip)[name] != "unknown", name
