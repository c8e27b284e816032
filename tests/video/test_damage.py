"""Damaged clips end in one clear line, and leave nothing behind."""

import numpy as np
import pytest

from clips import decoded, ffmpeg, frame_times, make_clip, packets
from facts import names, refused
from widesr import Upscaler, upscale_video
from widesr.video.frames import SingleFrames
from widesr.video.upscale import upscale_into_pictures


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A clip in two containers."""
    folder = tmp_path_factory.mktemp("films")
    mp4 = make_clip(folder / "v.mp4", frames=40, sound="aac", options="-c:v libx264 -g 10 -bf 0")
    ffmpeg("-i {} -c copy -movflags +faststart {}", mp4, folder / "front.mp4")
    ffmpeg("-i {} -c copy {}", mp4, folder / "v.mkv")
    return folder


def refuse(path, *facts, code="video-read"):
    """Expect that a clip is refused with nothing left behind; give the error."""
    before = set(path.parent.iterdir())
    with refused(code, path, *facts) as error:
        upscale_video(path, path.with_name("out.mkv"), scale=2, model="nearest")
    assert set(path.parent.iterdir()) == before
    return error.value


@pytest.mark.parametrize("name", ["v.mp4", "front.mp4", "v.mkv"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_a_clip_that_is_cut_short_is_refused(films, tmp_path, name, share):
    data = (films / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    refuse(path)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_clip_without_its_head_is_refused(films, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bytes(2000) + (films / name).read_bytes()[2000:])
    refuse(path)


def test_what_is_no_clip_is_refused(films, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.mp4").write_text("not a clip" * 100)
    (tmp_path / "folder.mp4").mkdir()
    ffmpeg("-i {} -c copy -an -frames:v 0 {}", films / "v.mp4", tmp_path / "zero.mkv")
    ffmpeg("-i {} -vn -c copy {}", films / "v.mp4", tmp_path / "sound.mp4")
    for name in ("empty.mp4", "words.mp4", "zero.mkv", "sound.mp4", "missing.mp4"):
        refuse(tmp_path / name)


def test_a_clip_that_cannot_be_read_to_its_end_is_refused(tmp_path):
    path = make_clip(tmp_path / "clip.y4m", frames=40, options="-pix_fmt yuv420p")
    data = bytearray(path.read_bytes())
    for frames in (2, 30):  # the head of one of the first frames, and of a later one
        at = data.replace(b"FRAME", b"Frame", frames).rindex(b"Frame")
        path.write_bytes(data[:at] + b"?" + data[at + 1 :])
        refuse(path, "end")


def test_an_encrypted_clip_is_refused(films, tmp_path):
    path = tmp_path / "clip.mp4"
    ffmpeg(
        "-i {} -c copy -encryption_scheme cenc-aes-ctr "
        "-encryption_key 76a6c65c5ea762046bd749a2e632ccbb "
        "-encryption_kid a7e61c373e219033c21091fa607bf3b8 {}",
        films / "v.mp4",
        path,
    )
    refuse(path, "encrypted")


def test_a_clip_that_only_speaks_of_what_marks_encryption_is_not_refused(films, tmp_path):
    path = tmp_path / "clip.mp4"
    ffmpeg(
        "-i {} -c copy -metadata title='an encanto' -metadata comment=encv {}",
        films / "v.mp4",
        path,
    )
    result = upscale_video(path, tmp_path / "out.mp4", scale=2, model="nearest")
    assert result.frames == 40


def test_a_clip_that_changes_its_size_is_refused(films, tmp_path):
    small = make_clip(tmp_path / "a.ts", frames=5, options="-c:v mpeg2video")
    large = make_clip(tmp_path / "b.ts", frames=5, size="96x64", options="-c:v mpeg2video")
    path = tmp_path / "clip.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    refuse(path, "64x48", "96x64", code="video-format")


def test_recordings_that_were_joined_with_a_clock_each_are_refused(tmp_path):
    part = make_clip(tmp_path / "part.ts", frames=40, options="-c:v libx264 -bf 2")
    path = tmp_path / "clip.ts"
    path.write_bytes(part.read_bytes() * 2)
    refuse(path, "back", "FFmpeg", code="video-format")


def test_a_frame_that_comes_too_late_is_not_shown_at_a_time_of_its_own(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=40, options="-c:v libx264 -g 10 -bf 2")
    times = frame_times(clip)
    data = bytearray(clip.read_bytes())
    at = data.index(b"mdat") + len(data) // 4
    data[at : at + 1500] = bytes(1500)
    clip.write_bytes(data)
    refuse(clip)
    out = tmp_path / "out.mp4"
    result = upscale_video(clip, out, scale=2, model="nearest", damaged="repeat")
    assert 38 <= result.frames <= 40
    assert set(frame_times(out)) <= set(times)
    assert len(frame_times(out)) == len(set(frame_times(out))) == result.frames


def test_frames_that_do_not_decode_are_counted_and_replaced_only_if_asked(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=12, options="-c:v mpeg2video -g 1 -q:v 3")
    import av

    good = clip.read_bytes()
    data = bytearray(good)
    with av.open(str(clip)) as container:
        coded = [bytes(packet) for packet in container.demux(video=0)]
    for each in (coded[4], coded[8]):
        at = data.find(each) + len(each) // 2
        data[at : at + 200] = bytes(255 - value for value in data[at : at + 200])
    clip.write_bytes(data)
    assert refuse(clip, "2 frames").options == ('damaged="repeat"',)
    result = upscale_video(
        clip, tmp_path / "out.mkv", scale=2, model="nearest", damaged="repeat", codec="ffv1"
    )
    assert result.frames == 12
    assert any(names(notice, "2 frames") for notice in result.notices)
    upscaler = SingleFrames(Upscaler.load("bicubic", scale=2))
    with refused("video-read", clip, "2 frames"):
        upscale_into_pictures(clip, tmp_path / "%02d.png", upscaler=upscaler)
    pictures = upscale_into_pictures(
        clip, tmp_path / "%02d.png", upscaler=upscaler, damaged="repeat"
    )
    assert (pictures.frames, pictures.resumed) == (12, 4)
    assert any(names(notice, "2 frames") for notice in pictures.notices)
    clip.write_bytes(good)
    whole = upscale_video(clip, tmp_path / "g.mkv", scale=2, model="nearest", codec="ffv1").target
    expected = decoded(whole, pixel_format="gray", size=(96, 128)).copy()
    expected[4], expected[8] = expected[3], expected[7]
    frames = decoded(result.target, pixel_format="gray", size=(96, 128))
    assert np.array_equal(frames, expected)


def test_frames_that_vanish_with_a_part_of_a_matroska_file_are_not_lost_unsaid(films, tmp_path):
    path = tmp_path / "v.mkv"
    data = bytearray((films / "v.mkv").read_bytes())
    at = len(data) // 2
    data[at : at + 600] = bytes(value ^ 0x5A for value in data[at : at + 600])
    path.write_bytes(data)
    refuse(path)
    result = upscale_video(path, tmp_path / "out.mp4", scale=2, model="nearest", damaged="repeat")
    assert result.frames < 40
    assert any(names(notice, "byte") for notice in result.notices)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.ogv", "-c:v libtheora"),
        ("clip.flv", "-c:v flv"),
        ("clip.mxf", "-c:v mpeg2video"),
        ("clip.avi", "-c:v mpeg4"),
        ("clip.ts", "-c:v mpeg2video -q:v 1"),
    ],
)
def test_frames_that_vanish_with_a_part_of_other_files_are_not_lost_unsaid(tmp_path, name, options):
    clip = make_clip(tmp_path / name, size="160x120", frames=40, options=options)
    whole = clip.read_bytes()
    at = len(whole) // 2
    clip.write_bytes(whole[:at] + whole[at + 3001 :] + bytes(3001))
    refuse(clip, "broken")
    if name == "clip.ogv":  # FFmpeg drops the whole page
        data = bytearray(whole)
        data[at : at + 9] = bytes(each ^ 255 for each in data[at : at + 9])
        clip.write_bytes(data)
        refuse(clip, "broken")
    clip.write_bytes(whole)
    assert upscale_video(clip, tmp_path / "out.mkv", scale=2, model="nearest").frames > 0


def test_packets_of_a_transport_stream_that_are_missing_are_damage(tmp_path):
    clip = make_clip(tmp_path / "clip.ts", options="-c:v mpeg2video -g 12 -q:v 1")
    data = clip.read_bytes()
    middle = len(data) // 188 // 2 * 188
    clip.write_bytes(data[:middle] + data[middle + 5 * 188 :])
    refuse(clip, "frame")


@pytest.mark.parametrize("damage", ["hole", "time"])
def test_sound_that_cannot_be_copied_is_refused_or_left_out_if_asked(tmp_path, damage):
    clip = make_clip(tmp_path / "clip.ts", frames=40, sound="aac", options="-c:v mpeg2video -g 1")
    data = clip.read_bytes()
    if damage == "time":  # a second recording of sound, whose clock goes back
        ffmpeg("-i {} -vn -c copy -mpegts_start_pid 257 {}", clip, tmp_path / "sound.ts")
        clip.write_bytes(data + (tmp_path / "sound.ts").read_bytes())
    else:
        blocks = [data[at : at + 188] for at in range(0, len(data), 188)]
        begin, end = b"\x41\x01", b"\x01\x01"  # the sound's, with and without the start of a packet
        sound = [n for n, each in enumerate(blocks) if each[1:3] in (begin, end)]
        blocks[sound[4]] = blocks[sound[4]][:60] + bytes(128)
        clip.write_bytes(b"".join(blocks))
    refuse(clip, "stream 1", "audio")
    out = tmp_path / "out.mkv"
    result = upscale_video(clip, out, scale=2, model="nearest", damaged="repeat")
    assert any(names(notice, "stream 1", "left out") for notice in result.notices)
    assert result.frames == 40
    assert 0 < len(packets(out, of="a")) < len(packets(clip, of="a"))


def test_sound_that_cannot_be_decoded_to_become_flac_is_not_lost_unsaid(tmp_path):
    clip = make_clip(tmp_path / "clip.wmv", frames=40, sound="wmav2", options="-c:v wmv2")
    import av

    with av.open(str(clip)) as container:
        coded = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    data = bytearray(clip.read_bytes())
    at = data.index(coded[4][:64])
    data[at : at + len(coded[4]) // 2] = b"\xff" * (len(coded[4]) // 2)
    clip.write_bytes(data)
    refuse(clip, "stream 1", "audio")
    out = tmp_path / "out.mkv"
    result = upscale_video(clip, out, scale=2, model="nearest", damaged="repeat")
    assert any(names(notice, "stream 1", "left out") for notice in result.notices)
    assert result.frames == 40


def test_a_clip_whose_index_is_cut_off_is_said_to_be_cut_short(films, tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes((films / "v.mp4").read_bytes()[:-2000])
    refuse(path, "missing")


def test_an_avi_that_is_cut_short_after_its_first_gigabyte_is_refused(tmp_path):
    path = make_clip(tmp_path / "clip.avi", frames=4, options="-c:v mpeg4")
    upscale_video(path, tmp_path / "out.mkv", scale=2, model="nearest")
    more = b"RIFF" + (5000).to_bytes(4, "little") + b"AVIX" + b"JUNK" + (4988).to_bytes(4, "little")
    path.write_bytes(path.read_bytes() + more + bytes(1000))
    refuse(path, "3,988 bytes")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.ogv", "-c:v libtheora"),
        ("clip.mxf", "-c:v mpeg2video"),
        ("clip.y4m", "-pix_fmt yuv422p"),
        ("clip.wmv", "-c:v wmv2 -q:v 1"),  # large, as an index at the end may be missing
        ("clip.flv", "-c:v flv"),
    ],
)
def test_a_clip_that_is_cut_short_is_refused_where_the_format_tells(tmp_path, name, options):
    clip = make_clip(tmp_path / name, options=options)
    upscale_video(clip, tmp_path / "out.mkv", scale=2, model="nearest")
    whole = clip.read_bytes()
    for share in (0.5, 0.7, 0.95):
        clip.write_bytes(whole[: int(len(whole) * share)])
        refuse(clip, "missing")
