"""`POST /v1/upscale`: pictures in, larger pictures out, as on the command line."""

import io

import numpy as np
import pytest
from PIL import Image

from examples import EXAMPLES
from samples import smooth
from serving import FAST, client_of, ended
from waiting import until
from widesr.cli import run
from widesr.models.catalog import ALIASES


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(
        tmp_path_factory.mktemp("server"), max_pixels=10**6, max_body=4 * 10**6
    ) as client:
        yield client


def encoded(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


PICTURE = encoded(smooth(40, 60))


def post(client, body=PICTURE, *, headers=(), **query):
    query = {"model": FAST, **query}
    return client.post("/v1/upscale", content=body, params=query, headers=dict(headers))


def problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    said = response.json()
    assert (said["status"], said["code"]) == (status, code)
    assert said["type"] == f"urn:widesr:error:{code}"
    assert "Traceback" not in response.text
    return said


def test_a_raw_body_comes_back_as_the_command_line_makes_it(client, tmp_path):
    source = tmp_path / "kitten.jpg"
    with Image.open(next(path for path in EXAMPLES if path.name == source.name)) as picture:
        picture.crop((0, 0, 150, 100)).save(
            source, icc_profile=picture.info.get("icc_profile"), exif=picture.getexif()
        )
    assert run(["upscale", str(source), "-o", str(tmp_path / "cli.jpg"), "--quiet"]) == 0
    headers = {"Content-Type": "image/jpeg"}.items()
    response = post(client, source.read_bytes(), model="default", wait=60, headers=headers)
    assert response.status_code == 200
    assert response.content == (tmp_path / "cli.jpg").read_bytes()
    assert response.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (120, 80)),
        ({"scale": 1.5}, (90, 60)),
        ({"width": 30}, (30, 20)),
        ({"fit": "600x100"}, (150, 100)),
        ({"longest": 90}, (90, 60)),
    ],
)
def test_sizes_are_those_of_the_command_line(client, asked, size):
    response = post(client, **asked)
    assert Image.open(io.BytesIO(response.content)).size == size


def test_options_may_be_fields_of_a_form(client):
    files = {"picture": ("../../etc/a name.PNG", PICTURE, "image/png")}
    form = {"scale": "3", "format": "webp", "model": FAST, "lossless": "true"}
    response = client.post("/v1/upscale", files=files, data=form)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(response.content)).size == (180, 120)
    assert 'filename="a name_180x120.webp"' in response.headers["content-disposition"]


def test_animations_keep_their_frames(client):
    frames = [Image.fromarray(smooth(20, 30) + np.uint8(n)) for n in range(3)]
    file = io.BytesIO()
    frames[0].save(
        file, "WEBP", save_all=True, append_images=frames[1:], duration=80, lossless=True
    )
    response = post(client, file.getvalue())
    made = Image.open(io.BytesIO(response.content))
    assert (made.n_frames, made.size) == (3, (60, 40))


def test_16_bits_and_alpha_are_kept(client):
    alpha = np.linspace(0, 255, 40 * 60).reshape(40, 60).astype(np.uint8)
    rgba = np.dstack([smooth(40, 60), alpha])
    made = Image.open(io.BytesIO(post(client, encoded(rgba)).content))
    assert made.mode == "RGBA"
    grey = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    made = Image.open(io.BytesIO(post(client, encoded(grey)).content))
    assert made.mode == "I;16"
    assert len(np.unique(made)) > 256


def test_work_that_is_not_waited_for_is_a_job(client):
    response = post(client, headers={"Prefer": "respond-async"}.items())
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    address = response.headers["location"]
    assert response.json()["self"] == address
    job = ended(client, address)
    assert job["state"] == "done"
    assert (job["result_width"], job["result_height"]) == (120, 80)
    result = client.get(job["result"])
    assert Image.open(io.BytesIO(result.content)).size == (120, 80)


@pytest.mark.parametrize(
    ("prefer", "query", "status", "applied"),
    [
        ("wait=30", {}, 200, "wait=30"),
        ("respond-async, wait=30", {}, 200, "wait=30"),
        ("wait=0", {}, 202, "wait=0"),
        ("wait=30", {"wait": 40}, 200, None),  # the option takes precedence
        ("wait=soon", {}, 200, None),
        ("return=minimal", {}, 200, None),
    ],
)
def test_the_answer_names_the_preference_that_it_follows(client, prefer, query, status, applied):
    response = post(client, headers={"Prefer": prefer}.items(), **query)
    assert response.status_code == status
    assert response.headers.get("preference-applied") == applied


def test_the_same_key_is_the_same_job_and_never_another(client):
    key = {"Idempotency-Key": "a-key"}.items()
    first, again = (post(client, headers=key) for _ in range(2))
    assert first.headers["content-location"] == again.headers["content-location"]
    problem(post(client, headers=key, scale=3), 422, "key-reused")
    problem(post(client, encoded(smooth(41, 60)), headers=key), 422, "key-reused")


def test_a_result_has_a_strong_tag_and_comes_in_parts(client):
    response = post(client)
    address, tag = response.headers["content-location"], response.headers["etag"]
    assert tag.startswith('"')
    assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, response.content[10:20])


@pytest.mark.parametrize(
    ("asked", "status"), [("bytes", 400), ("lines=1-2", 400), ("bytes=-", 400),
                          ("bytes=9-3", 400), ("bytes=99999999-", 416)],
)  # fmt: skip
def test_a_range_that_cannot_be_given_is_a_problem(client, asked, status):
    result = post(client)
    for address in (result.headers["content-location"], "/", "/static/app.js"):
        response = client.get(address, headers={"Range": asked})
        problem(response, status, "range")
        assert int(response.headers["content-length"]) == len(response.content)
        size = client.get(address).headers["content-length"]
        assert response.headers.get("content-range") == (
            f"bytes */{size}" if status == 416 else None
        )


def claims(width, height):
    """Make a PNG whose header claims this size, with no such pixels behind it."""
    data = bytearray(encoded(smooth(4, 4)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (b"", {}, 422, "image-read"),
        (b"no picture at all", {}, 415, "image-read"),
        (b"8BPS" + bytes(200), {}, 415, "image-format"),
        (PICTURE[:-40], {}, 422, "image-read"),
        (claims(30000, 30000), {}, 413, "image-too-large"),
        (bytes(5 * 10**6), {}, 413, "body-too-large"),
        (PICTURE, {"scale": 9}, 422, "usage"),
        (PICTURE, {"scale": 2, "width": 100}, 422, "usage"),
        (PICTURE, {"nonsense": 1}, 422, "usage"),
        (PICTURE, {"model": "nonsense"}, 422, "model-not-found"),
        (PICTURE, {"model": "../../etc/passwd"}, 422, "usage"),
        (PICTURE, {"model": "crisp:1.5"}, 422, "usage"),
        (PICTURE, {"model": "fast:0.5"}, 422, "model-not-found"),
        (PICTURE, {"format": "exe"}, 422, "usage"),
        (PICTURE, {"format": "gif"}, 415, "image-format"),
        (PICTURE, {"format": "jpg", "lossless": True}, 415, "image-format"),
        (PICTURE, {"longest": 999999}, 422, "usage"),
    ],
)
def test_what_cannot_be_done_is_a_problem_with_a_code(client, body, query, status, code):
    said = problem(post(client, body, **query), status, code)
    assert "/pictures/" not in said["detail"]
    until(lambda: not list(client.service.settings.pictures.iterdir()))


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "application/json"}, 415, "media-type"),
        ({"Content-Type": "text/plain"}, 415, "media-type"),
        ({"Content-Type": "image/png", "Content-Encoding": "gzip"}, 415, "media-type"),
        ({"Content-Type": "multipart/form-data"}, 422, "multipart"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 422, "multipart"),
        ({"Idempotency-Key": " "}, 422, "usage"),
        ({"Host": "evil.example"}, 403, "forbidden"),
        ({"Origin": "http://evil.example"}, 403, "forbidden"),
        ({"Host": "["}, 403, "forbidden"),
        ({"Origin": "http://["}, 403, "forbidden"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "forbidden"),
    ],
)
def test_headers_are_looked_at_before_the_body(client, headers, status, code):
    problem(post(client, headers=headers.items()), status, code)


def test_a_job_says_what_was_wrong_where_only_the_pixels_tell(client):
    damaged = bytearray(encoded(smooth(200, 300)))
    damaged[len(damaged) // 2] ^= 0xFF
    problem(post(client, bytes(damaged)), 422, "image-read")
    response = post(client, bytes(damaged), headers={"Prefer": "respond-async"}.items())
    job = ended(client, response.headers["location"])
    assert (job["state"], job["problem"]["code"]) == ("failed", "image-read")
    problem(client.get(f"{job['self']}/result"), 422, "image-read")


def test_what_does_not_fit_into_memory_is_refused_by_its_header(tmp_path):
    body = claims(8000, 8000)
    with client_of(tmp_path, max_memory=2**30) as client:
        said = problem(post(client, body, format="avif"), 413, "memory")
        assert "format=png" in said["options"]


def test_info_lists_models_and_limits(client):
    said = client.get("/v1/info").json()
    assert {*ALIASES, FAST} <= {model["name"] for model in said["models"]}
    assert said["limits"]["pixels"] == 10**6
