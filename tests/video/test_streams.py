"""A clip keeps its times, and all that lies beside its video."""

import numpy as np
import pytest

from clips import (
    FONT_BYTES,
    decoded,
    ffmpeg,
    frame_times,
    make_clip,
    other_packets,
    packets,
    streams,
    video,
    whole,
)
from facts import names, refused
from others import execute, missing, program
from widesr import upscale_video

SRT = "1\n00:00:00,040 --> 00:00:00,200\n{}\n\n2\n00:00:00,280 --> 00:00:00,400\nBye\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=A film\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=200\nEND=480\ntitle=Two\n"
)


@pytest.fixture
def film(tmp_path):
    """A Matroska film with two kinds of sound, two subtitle tracks, chapters and a font."""
    make_clip(tmp_path / "v.mp4", sound="aac", options="-c:v libx264 -bf 2 -pix_fmt yuv420p")
    for name in ("en", "de"):
        (tmp_path / f"{name}.srt").write_text(SRT.format(name))
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    (tmp_path / "font.ttf").write_bytes(FONT_BYTES)
    path = tmp_path / "film.mkv"
    ffmpeg(
        "-i {} -i {} -i {} -i {} -map 0:v -map 0:a -map 0:a -map 1 -map 2 -map_metadata 3 "
        "-map_chapters 3 -c:v copy -c:a:0 copy -c:a:1 libopus -c:s:0 srt -c:s:1 ass "
        "-metadata:s:a:0 language=eng -metadata:s:s:1 language=ger -disposition:s:0 0 "
        "-disposition:s:1 forced -attach {} -metadata:s:t mimetype=font/ttf {}",
        *(tmp_path / name for name in ("v.mp4", "en.srt", "de.srt", "chapters.txt", "font.ttf")),
        path,
    )
    return path


def said(path):
    """Return what the streams state beside their packets."""
    wanted = ("codec_type", "disposition", "start_pts")
    kept = ("language", "title", "filename", "mimetype")
    return [
        tuple(each.get(name) for name in wanted)
        + tuple(each.get("tags", {}).get(name) for name in kept)
        for each in streams(path)
    ]


def test_everything_beside_the_video_is_copied_as_it_is(film, upscaled):
    out = upscaled(film)
    before = other_packets(film)
    assert len(before) == 4
    assert other_packets(out) == before
    assert said(out) == said(film)
    assert whole(out)["chapters"] == whole(film)["chapters"]
    assert whole(out)["format"]["tags"]["title"] == "A film"
    assert frame_times(out) == frame_times(film)
    found = next(each for each in streams(out) if each["codec_type"] == "attachment")
    assert int(found["extradata_size"]) == len(FONT_BYTES)


@pytest.mark.parametrize(
    ("ending", "sound"), [("mp4", "aac"), ("mov", "pcm_s16le"), ("mkv", "libopus"), ("m4v", "aac")]
)
def test_times_and_sound_stay_in_every_container(tmp_path, upscaled, ending, sound):
    clip = make_clip(
        tmp_path / f"clip.{ending}", sound=sound, options="-c:v libx264 -bf 2 -pix_fmt yuv420p"
    )
    out = upscaled(clip)
    assert other_packets(out) == other_packets(clip) != {}
    assert frame_times(out) == frame_times(clip)
    before, after = video(clip), video(out)
    for name in ("time_base", "start_pts", "duration_ts", "r_frame_rate", "avg_frame_rate"):
        assert after.get(name) == before.get(name), name
    assert (after["width"], after["height"]) == (128, 96)


def test_webm_stays_webm(tmp_path, upscaled):
    clip = make_clip(
        tmp_path / "clip.webm",
        sound="libopus",
        options="-c:v libvpx-vp9 -cpu-used 8 -pix_fmt yuv420p",
    )
    out = upscaled(clip)
    assert video(out)["codec_name"] == "vp9"
    assert other_packets(out) == other_packets(clip)
    assert frame_times(out) == frame_times(clip)


@pytest.mark.parametrize("rate", ["30000/1001", "24000/1001", "60/1"])
def test_any_rate_keeps_its_ticks(tmp_path, upscaled, rate):
    clip = make_clip(tmp_path / "clip.mp4", rate=rate)
    out = upscaled(clip)
    assert frame_times(out) == frame_times(clip)
    assert video(out)["r_frame_rate"] == rate


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_a_start_between_milliseconds_keeps_its_tick(tmp_path, upscaled, ending):
    late = "-output_ts_offset 0.333667 -movie_timescale 30000 -video_track_timescale 30000"
    options = f"-c:v libx264 -bf 2 -pix_fmt yuv420p {late}"
    clip = make_clip(tmp_path / f"clip.{ending}", rate="30000/1001", options=options)
    times = frame_times(clip)
    assert times[0] == 10 * 1001
    out = upscaled(clip)
    assert frame_times(out) == times
    assert video(out)["duration_ts"] == video(clip)["duration_ts"]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_uneven_times_stay_to_the_tick(tmp_path, upscaled, ending):
    clip = make_clip(
        tmp_path / f"clip.{ending}",
        frames=30,
        sound="aac",
        options="-vf select='not(mod(n\\,3))+eq(mod(n\\,7)\\,0)',setpts='PTS+N*N*3' -vsync vfr "
        "-c:v libx264 -bf 2 -pix_fmt yuv420p",
    )
    times = frame_times(clip)
    assert len(set(np.diff(times))) > 2
    out = upscaled(clip)
    assert frame_times(out) == times
    assert video(out).get("duration_ts") == video(clip).get("duration_ts")


def test_chapters_of_mp4_are_not_doubled(film, upscaled, tmp_path):
    clip = tmp_path / "chapters.mp4"
    ffmpeg("-i {} -map 0:v -map 0:a:0 -c copy -movflags +faststart {}", film, clip)
    out = upscaled(clip)
    assert [each["codec_type"] for each in streams(out)] == [
        each["codec_type"] for each in streams(clip)
    ]
    assert (
        [(c["start_time"], c["tags"]) for c in whole(out)["chapters"]]
        == [(c["start_time"], c["tags"]) for c in whole(clip)["chapters"]]
        != []
    )
    assert other_packets(out) == other_packets(clip)


def test_metadata_that_mp4_has_no_place_for_are_kept(tmp_path, upscaled):
    clip = tmp_path / "clip.mp4"
    make_clip(
        clip,
        options="-c:v libx264 -pix_fmt yuv420p -movflags use_metadata_tags -metadata title=T "
        "-metadata com.example.place=here -metadata creation_time=2020-01-02T03:04:05Z",
    )
    tags = whole(upscaled(clip))["format"]["tags"]
    assert (tags["title"], tags["com.example.place"]) == ("T", "here")
    assert tags["creation_time"].startswith("2020-01-02T03:04:05")


def test_a_stream_that_the_container_does_not_hold_is_refused(film, tmp_path):
    with refused("video-format", "mkv"):
        upscale_video(film, tmp_path / "film.webm", scale=2, model="nearest")
    assert not list(tmp_path.glob("*film.webm*"))


def test_a_second_video_is_copied_with_its_reordered_frames(tmp_path, upscaled):
    clip = make_clip(tmp_path / "v.mkv", options="-c:v libx264 -bf 2 -pix_fmt yuv420p")
    both = tmp_path / "both.mkv"
    ffmpeg("-i {} -i {} -map 0 -map 1 -c copy {}", clip, clip, both)
    out = upscaled(both)
    assert other_packets(out) == other_packets(both) != {}


@pytest.mark.parametrize(
    ("ending", "sound", "dtype", "near"),
    [("wmv", "wmav2", "flt", 2**-22), ("avi", "adpcm_ms", "s16", 0)],
)
def test_sound_that_matroska_does_not_hold_becomes_flac(
    tmp_path, upscaled, ending, sound, dtype, near
):
    import av

    def heard(path):
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
        peak = {"flt": 1, "s16": 2**15, "s32": 2**31}
        return float(frames[0].time), np.concatenate(
            [each.to_ndarray().ravel() / peak[each.format.packed.name] for each in frames]
        )

    clip = make_clip(tmp_path / f"clip.{ending}", sound=sound, options="-c:v mpeg4")
    out = upscaled(clip, tmp_path / "out.mkv")
    assert [each["codec_name"] for each in streams(out)] == ["h264", "flac"]
    (start, before), (again, after) = heard(clip), heard(out)
    assert again == pytest.approx(start, abs=0.001)
    assert len(after) == len(before)
    assert np.abs(before - after).max() <= near


def test_sound_that_an_edit_list_leaves_out_is_not_heard_in_matroska(tmp_path, upscaled):
    film, clip = tmp_path / "film.mp4", tmp_path / "clip.mp4"
    pattern, tone = "-f lavfi -i testsrc2=s=64x48:r=25", "-f lavfi -i sine=r=48000"
    ffmpeg(f"{pattern} {tone} -t 2 -c:v libx264 -g 50 -bf 2 -c:a aac {{}}", film)
    ffmpeg("-ss 1.04 -i {} -c copy {}", film, clip)
    heard = packets(clip, of="a")
    assert heard[0][1] < -40_000  # of 48,000 in a second
    out = upscaled(clip, tmp_path / "out.mkv")
    kept = [each[-1] for each in heard if each[1] >= -4800]
    assert [each[-1] for each in packets(out, of="a")] == kept
    assert abs(float(whole(out)["format"]["start_time"])) < 0.1
    again = upscaled(clip, tmp_path / "again.mp4")
    assert [each[-1] for each in packets(again, of="a")] == [each[-1] for each in heard]


def test_the_navigation_of_a_dvd_is_left_out_and_named(tmp_path):
    clip = make_clip(
        tmp_path / "clip.vob",
        size="352x288",
        frames=3,
        options="-c:v mpeg2video -vf setsar=16/15 -f dvd",
        sound="mp2",
    )
    result = upscale_video(clip, scale=2, model="nearest")
    assert any(names(notice, "dvd_nav_packet") for notice in result.notices)
    assert [each["codec_type"] for each in streams(result.target)] == ["video", "audio"]
    aspect = video(result.target)["sample_aspect_ratio"]
    assert aspect == video(clip)["sample_aspect_ratio"] != "1:1"


@pytest.mark.parametrize("start", [20 * 3600, 95442.8])
def test_a_broadcast_begins_at_the_start_whatever_its_clock_said(tmp_path, upscaled, start):
    # 95443.7 s is where the 33 bits of the clock are full.
    clip = make_clip(
        tmp_path / "clip.ts",
        frames=30,
        sound="mp2",
        options=f"-c:v mpeg2video -f mpegts -output_ts_offset {start} -mpegts_copyts 1",
    )
    out = upscaled(clip, tmp_path / "out.mkv")
    times = np.array(frame_times(out))
    assert 0 <= times[0] < 2000
    assert np.array_equal(np.diff(times), np.full(29, 40))
    before, after = (float(each["start_time"]) for each in streams(clip))
    shown, heard = (float(each["start_time"]) for each in streams(out))
    assert heard - shown == pytest.approx(after - before, abs=0.0011)


@pytest.mark.parametrize("codec", ["libx264 -bf 2", "libx264 -bf 0", "mpeg4"])
def test_frames_of_an_avi_come_in_the_order_in_which_they_are_shown(tmp_path, upscaled, codec):
    darker = "-vf fade=out:0:12 -pix_fmt yuv420p"  # so that no frame is like another
    clip = make_clip(tmp_path / "clip.avi", options=f"{darker} -c:v {codec}")
    out = upscaled(clip, tmp_path / "out.mkv", codec="ffv1")
    assert np.array_equal(np.diff(frame_times(out)), np.full(11, 40))
    shown = decoded(clip, pixel_format="gray", size=(48, 64)).reshape(-1, 48, 64)
    larger = decoded(out, pixel_format="gray", size=(96, 128)).reshape(-1, 96, 128)
    apart = [np.abs(shown - each[::2, ::2].astype(int)).mean(axis=(1, 2)) for each in larger]
    assert np.argmin(apart, axis=1).tolist() == list(range(12))


def test_two_frames_in_one_packet_of_an_avi_leave_no_gap(tmp_path, upscaled):
    if "libxvid" not in execute([program("ffmpeg"), "-v", "error", "-encoders"]).decode():
        missing("an ffmpeg with libxvid")
    clip = make_clip(tmp_path / "clip.avi", frames=24, options="-c:v libxvid -bf 2")
    times = frame_times(upscaled(clip, tmp_path / "out.mkv"))
    assert len(times) > 12
    assert np.array_equal(np.diff(times), np.full(len(times) - 1, 40))


def test_a_cover_is_no_video(tmp_path, upscaled):
    make_clip(tmp_path / "v.mp4", sound="aac")
    make_clip(tmp_path / "cover.png", frames=1, options="-f image2 -update 1")
    clip = tmp_path / "clip.mp4"
    ffmpeg(
        "-i {} -i {} -map 1 -map 0 -c copy -disposition:v:0 attached_pic {}",
        tmp_path / "v.mp4",
        tmp_path / "cover.png",
        clip,
    )
    out = upscaled(clip)
    of_cover = next(each["index"] for each in streams(clip) if each["codec_name"] == "png")
    kinds = {each["codec_name"]: each for each in streams(out)}
    assert kinds["png"]["disposition"]["attached_pic"] == 1
    assert kinds["png"]["width"] == 64
    assert kinds["h264"]["width"] == 128
    assert [each[-1] for each in packets(clip, of=str(of_cover))] == [
        each[-1] for each in packets(out, of=str(kinds["png"]["index"]))
    ]


def test_a_cover_in_matroska_stays_an_attachment_among_the_others(film, tmp_path, upscaled):
    make_clip(tmp_path / "cover.jpg", frames=1, options="-f image2 -update 1")
    clip = tmp_path / "clip.mkv"
    ffmpeg(
        "-i {} -map 0 -c copy -attach {} -metadata:s:t:1 mimetype=image/jpeg {}",
        film,
        tmp_path / "cover.jpg",
        clip,
    )
    out = upscaled(clip)
    assert said(out) == said(clip)
    assert [each[-1] for each in packets(out, of="v:1")] == [
        each[-1] for each in packets(clip, of="v:1")
    ]


def test_captions_in_the_frames_are_not_lost_unsaid(tmp_path):
    plain = make_clip(tmp_path / "clip.h264", frames=3)
    data = plain.read_bytes()
    caption = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x80\x80\xff"  # ATSC A/53, in an SEI
    unit = b"\x00\x00\x01\x06\x04" + bytes([len(caption)]) + caption + b"\x80"
    at = data.index(b"\x00\x00\x01\x65")  # the first slice
    plain.write_bytes(data[:at] + unit + data[at:])
    clip = tmp_path / "clip.mp4"
    ffmpeg("-r 25 -i {} -c copy {}", plain, clip)
    result = upscale_video(clip, scale=2, model="nearest")
    assert any(names(notice, "captions") for notice in result.notices)
