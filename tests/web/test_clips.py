"""Clips through `POST /v1/upscale`: as on the command line, within limits, and resumed."""

import hashlib
import io
import json
import random
import re
import sys
import time
from types import SimpleNamespace

import httpx2
import pytest
from PIL import Image

from clips import INTERLACED, make_clip
from damage import damaged
from samples import smooth
from serving import FAST, client_of, ended, process_of
from waiting import until
from widesr.cli import run
from widesr.web.clips import clip_memory
from widesr.web.wishes import Wishes

av = pytest.importorskip("av", reason="needs the extra video")

LATER = {"Prefer": "respond-async"}


def clip(path, *, frames=5, height=32, width=48):
    """A clip of frames that all differ."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            pixels = smooth(height, width) // 2 + number % 100
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(tmp_path_factory.mktemp("server"), max_clip=4 * 10**5) as client:
        yield client


def post(client, body, *, headers=(), **query):
    query = {"model": FAST, **query}
    return client.post("/v1/upscale", content=body, params=query, headers=dict(headers))


def frames_in(data):
    with av.open(io.BytesIO(data)) as container:
        return [(frame.height, frame.width) for frame in container.decode(video=0)]


def test_a_clip_comes_back_as_the_command_line_makes_it(client, source, tmp_path):
    words = ["upscale", str(source), "-n", FAST, "-o", str(tmp_path / "cli.mp4"), "--quiet"]
    assert run(words) == 0
    response = post(client, source.read_bytes(), name="a.mp4", wait=60)
    assert response.status_code == 200, response.text
    assert response.content == (tmp_path / "cli.mp4").read_bytes()
    assert response.headers["content-type"] == "video/mp4"
    assert 'filename="a_96x64.mp4"' in response.headers["content-disposition"]
    assert client.get("/v1/info").json()["clip_formats"]


def test_another_container_and_size_may_be_asked_for(client, source):
    response = post(client, source.read_bytes(), format="webm", longest=72, wait=60)
    assert response.headers["content-type"] == "video/webm"
    assert frames_in(response.content) == [(48, 72)] * 5


def test_an_interlaced_clip_is_refused_with_the_option_that_takes_it(client, tmp_path):
    body = make_clip(tmp_path / "tv.mp4", options=INTERLACED).read_bytes()
    said = post(client, body)
    assert (said.status_code, said.json()["code"]) == (415, "video-format")
    assert said.json()["options"] == ["deinterlace=true"]
    made = post(client, body, deinterlace="true", wait=60)
    assert frames_in(made.content) == [(96, 128)] * 12
    form = {"deinterlace": "true", "model": FAST, "wait": "60"}
    sent = client.post("/v1/upscale", files={"picture": ("tv.mp4", body)}, data=form)
    assert sent.content == made.content


def test_frames_that_are_lost_are_stood_in_for_where_that_is_asked_for(client, source):
    whole = bytearray(source.read_bytes())
    with av.open(io.BytesIO(whole)) as container:
        at = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    start, size = at[-1]
    whole[start : start + size] = b"\x00" * size
    said = post(client, bytes(whole), wait=60)
    assert (said.status_code, said.json()["code"]) == (422, "video-read")
    assert said.json()["options"] == ["damaged=repeat"]
    made = post(client, bytes(whole), damaged="repeat", wait=60)
    assert frames_in(made.content) == [(64, 96)] * 5
    job = client.get(made.headers["content-location"].removesuffix("/result")).json()
    assert any("1 frame" in notice for notice in job["notices"])


@pytest.mark.parametrize(
    ("query", "codec"),
    [
        ({"codec": "hevc", "crf": 30}, "hevc"),
        ({"codec": "ffv1", "format": "mkv"}, "ffv1"),
        ({"codec": "prores", "format": "mov"}, "prores"),
    ],
)
def test_codec_and_quality_may_be_asked_for(client, source, query, codec):
    made = post(client, source.read_bytes(), wait=60, **query)
    assert made.status_code == 200, made.text
    with av.open(io.BytesIO(made.content)) as container:
        assert container.streams.video[0].codec_context.name == codec


def test_less_quality_is_fewer_bytes(client, source):
    made = [len(post(client, source.read_bytes(), wait=60, crf=crf).content) for crf in (5, 45)]
    assert made[0] > made[1]


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("change", "query", "status", "code"),
    [
        (lambda body: PLAYLIST, {}, 415, "image-read"),
        (lambda body: body[:40] + PLAYLIST, {}, 422, "video-read"),
        (lambda body: body, {"format": "png"}, 415, "video-format"),
        (lambda body: body, {"metadata": "strip"}, 415, "video-format"),
        (lambda body: body, {"scale": 12}, 422, "usage"),
        (lambda body: body, {"scale": 8}, 413, "image-too-large"),
        (lambda body: body, {"scale": 1.5, "consistent": True}, 422, "usage"),
        (lambda body: body, {"codec": "vp8"}, 422, "usage"),
        (lambda body: body, {"codec": "vp9", "format": "mov"}, 422, "usage"),
        (lambda body: body, {"crf": 60}, 422, "usage"),
        (lambda body: body, {"codec": "prores", "format": "mov", "lossless": True}, 422, "usage"),
    ],
)
def test_what_a_clip_cannot_become_is_a_problem(client, source, change, query, status, code):
    response = post(client, change(source.read_bytes()), **query)
    assert (response.status_code, response.json()["code"]) == (status, code)
    until(lambda: not list(client.service.settings.pictures.iterdir()))


def test_damaged_clips_are_refused_or_made_and_nothing_is_left(client, source):
    whole, dice = source.read_bytes(), random.Random(7)  # noqa: S311
    statuses = {post(client, damaged(dice, whole, whole), wait=60).status_code for _ in range(40)}
    assert {200, 422} <= statuses <= {200, 413, 415, 422}
    until(lambda: not list(client.service.settings.pictures.iterdir()))
    assert all(path.is_file() for path in client.service.settings.results.iterdir())


def test_a_picture_becomes_no_clip(client):
    file = io.BytesIO()
    Image.fromarray(smooth(8, 8)).save(file, "PNG")
    response = post(client, file.getvalue(), format="mp4")
    assert (response.status_code, response.json()["code"]) == (422, "usage")


def test_a_clip_is_refused_by_its_first_bytes_where_it_cannot_be_decoded(
    client, source, monkeypatch
):
    monkeypatch.setitem(sys.modules, "av", None)
    response = post(client, source.read_bytes())
    assert (response.status_code, response.json()["code"]) == (415, "missing-extra")
    assert client.get("/v1/info").json()["clip_formats"] == []


def test_a_clip_that_runs_is_stopped_and_leaves_nothing(tmp_path):
    body = clip(tmp_path / "long.mp4", frames=400).read_bytes()
    with client_of(tmp_path) as client:
        job = post(client, body, headers=LATER.items()).json()
        assert job["pages"] == 400
        until(lambda: client.get(job["self"]).json().get("tiles_done"))
        assert client.delete(job["self"]).status_code == 204
        assert ended(client, job["self"])["state"] == "cancelled"
        # A job is reported as ended before its files are removed.
        until(lambda: not list(client.service.settings.results.iterdir()))
        until(lambda: not list(client.service.settings.pictures.iterdir()))


def test_the_next_server_goes_on_with_a_clip_where_the_last_one_stopped(tmp_path):
    body = clip(tmp_path / "long.mp4", frames=240).read_bytes()
    with client_of(tmp_path, grace=0.05) as client:
        job = post(client, body, headers=LATER.items()).json()
        unfinished = client.service.settings.results
        until(
            lambda: [each for each in unfinished.rglob("journal") if b"pack" in each.read_bytes()]
        )
    (left,) = unfinished.iterdir()
    assert left.is_dir()
    (unfinished / ".of-no-job.mp4.widesr").mkdir()
    (unfinished / "strange").mkdir()
    before = time.time()
    with client_of(tmp_path) as client:
        done = ended(client, job["self"])
        assert (done["state"], done["started"] > before) == ("done", True)
        assert len(frames_in(client.get(done["result"]).content)) == 240
        assert [path.suffix for path in client.service.settings.results.iterdir()] == [".mp4"]


@pytest.mark.slow
def test_every_clip_ends_once_and_whole_though_its_server_is_killed_twice(tmp_path):
    kinds = [("mp4", 200), ("mkv", 30), ("mov", 20)]
    wanted = {}
    for number, (kind, frames) in enumerate(kinds):
        source = clip(tmp_path / f"{number}.{kind}", frames=frames)
        out = tmp_path / f"larger.{kind}"
        assert run(["upscale", str(source), "-n", FAST, "-o", str(out), "--quiet"]) == 0
        wanted[source] = out.read_bytes()
    data, jobs = tmp_path / "data", []
    with process_of(data) as (process, address), httpx2.Client(base_url=address) as client:
        later = LATER.items()
        jobs += [post(client, each.read_bytes(), headers=later).json() for each in wanted]
        until(lambda: any(b"pack" in each.read_bytes() for each in data.rglob("journal")))
        process.kill()
    with process_of(data) as (process, address):
        until(lambda: httpx2.get(f"{address}{jobs[0]['self']}").json()["state"] == "running")
        process.kill()
    with process_of(data) as (_, address), httpx2.Client(base_url=address) as client:
        for job, whole in zip(jobs, wanted.values(), strict=True):
            assert ended(client, job["self"])["state"] == "done"
            assert client.get(f"{job['self']}/result").content == whole
            told = re.findall(r"^event: (\w+)$", client.get(job["events"]).text, re.MULTILINE)
            assert [kind for kind in told if kind in ("done", "failed", "cancelled")] == ["done"]
        assert len(list((data / "results").iterdir())) == len(jobs)
        assert not list((data / "pictures").iterdir())


@pytest.mark.parametrize("channels", [8, 64])
def test_the_memory_of_a_clip_has_room_for_both_states(tmp_path, monkeypatch, channels):
    onnx = pytest.importorskip("onnx")
    make = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    state = ["n", channels, "h", "w"]
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Upsample", ["lr", "scales"], ["sr"], mode="nearest"),
            onnx.helper.make_node("Identity", ["state"], ["after"]),
        ],
        "net",
        [make("lr", kind, ["n", 3, "h", "w"]), make("state", kind, state)],
        [make("sr", kind, ["n", 3, "hh", "ww"]), make("after", kind, state)],
        [onnx.helper.make_tensor("scales", kind, [4], [1.0, 1.0, 2.0, 2.0])],
    )
    opset = [onnx.helper.make_opsetid("", 9)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    card = {
        "name": "net-x2", "family": "other", "scale": 2, "receptive_radius": 1, "frames": 3,
        "parameters": 1, "licence": "Apache-2.0", "degradation": "none",
        "weights_sha256": hashlib.sha256(model.graph.SerializeToString()).hexdigest(),
    }  # fmt: skip
    onnx.helper.set_model_props(model, {"widesr": json.dumps(card)})
    onnx.save(model, tmp_path / "net-x2.onnx")
    monkeypatch.setenv("WIDESR_MODELS", str(tmp_path))
    seen = SimpleNamespace(height=270, width=480, codec="h264", bits=8)
    needs = [
        clip_memory(tmp_path / "a.mp4", seen, (540, 960), wishes=Wishes(model=name))
        for name in (FAST, "net-x2")
    ]
    # Oracle: docs/how-to/video.md: two states, of 4 bytes a channel for each pixel of the input.
    assert needs[1] - needs[0] == 2 * 4 * channels * 270 * 480
