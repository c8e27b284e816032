"""Models from mirrors, on the web and in folders: found by name afterwards, or refused."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

import widesr
from facts import names, refused
from server import closed_port
from widesr.engine import find_model
from widesr.models import catalog
from widesr.models import mirrors as module
from widesr.models.catalog import ModelCard, ModelFile, list_models, read_card, write_card
from widesr.models.index import Entry, Index, beside, write_index
from widesr.models.mirrors import open_mirror, pull_model, remove_model, standing
from widesr.system.version import __version__

TINY = Path(__file__).parents[1] / "assets" / "tiny-x2.onnx"


@pytest.fixture(autouse=True)
def shelf(tmp_path, monkeypatch):
    """The folder that models are pulled into, and a package that holds one model."""
    monkeypatch.setenv("WIDESR_MODELS", str(tmp_path / "mine" / "models"))
    monkeypatch.setattr(catalog, "MODELS_DIR", tmp_path / "package")
    monkeypatch.setattr(module, "MODELS_DIR", tmp_path / "package")
    (tmp_path / "package").mkdir()
    shutil.copy(TINY, tmp_path / "package")
    return tmp_path / "mine" / "models"


def put(folder, name, **changes):
    """Write the tiny model under another name, with changes to its card."""
    folder.mkdir(exist_ok=True)
    card = read_card(TINY)
    path = folder / f"{name}.onnx"
    write_card(ModelFile(TINY, card), card.model_copy(update={"name": name, **changes}), out=path)
    return path


@pytest.fixture
def mirror(tmp_path):
    """A folder with two models and their index."""
    folder = tmp_path / "mirror"
    put(folder, "big-x2", licence="CC-BY-4.0")
    put(folder, "other-x2")
    write_index(folder)
    return folder


def serve(server, folder):
    for path in folder.iterdir():
        server.files[f"/{path.name}"] = path.read_bytes()
    return server.url


def lie(folder, **changes):
    """Change what the index says of `big-x2`, and nothing else."""
    index = json.loads((folder / "models.json").read_text())
    index["models"][0].update(changes)
    (folder / "models.json").write_text(json.dumps(index))


def left_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ---- the index -------------------------------------------------------------------------------


def test_an_index_says_of_each_file_what_its_card_and_its_bytes_say(mirror):
    index = json.loads((mirror / "models.json").read_text())
    data = (mirror / "big-x2.onnx").read_bytes()
    assert index["format"] == "widesr-models-1"
    assert [entry["name"] for entry in index["models"]] == ["big-x2", "other-x2"]
    assert index["models"][0] == {
        "name": "big-x2",
        "scale": 2,
        "file": "big-x2.onnx",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "CC-BY-4.0",
        "needs": "0.1.0",
    }


def test_an_index_is_written_again_after_each_change(mirror):
    (mirror / "big-x2.onnx").unlink()
    put(mirror, "new-x2")
    assert [entry.name for entry in write_index(mirror).models] == ["new-x2", "other-x2"]
    assert list(open_mirror(mirror).entries) == ["new-x2", "other-x2"]


def test_what_another_version_wrote_beside_is_passed_over(mirror):
    lie(mirror, colour="blue")
    assert pull_model("big-x2", mirror=mirror).card.name == "big-x2"


@pytest.mark.parametrize(
    ("make", "code", "facts"),
    [
        (lambda m: shutil.rmtree(m), "usage", ["mirror", "no such"]),
        (lambda m: [p.unlink() for p in m.glob("*.onnx")], "model-file", ["mirror", "no model"]),
        (lambda m: shutil.copy(TINY, m / "a.onnx"), "model-file", ["a.onnx", "tiny-x2.onnx"]),
        (lambda m: (m / "a.onnx").write_bytes(b"x"), "model-file", ["a.onnx", "1 bytes"]),
        (lambda m: put(m, "best"), "model-file", ["best.onnx", "fast", "letters"]),
        (lambda m: put(m, "a b"), "model-file", ["a b.onnx", "letters"]),
        (lambda m: put(m, "a.onnx"), "model-file", ["a.onnx.onnx", "letters"]),
        (lambda m: put(m, "a" * 101), "model-file", ["index", "name"]),
        (lambda m: put(m, "a", licence="\x1b[2J"), "model-file", ["index", "licence"]),
        (
            lambda m: (m / "models.json").write_text('{"my": "models"}'),
            "output-exists",
            ["models.json", "format"],
        ),
    ],
)
def test_a_folder_that_makes_no_mirror_is_told_why(mirror, make, code, facts):
    make(mirror)
    before = (mirror / "models.json").read_bytes() if mirror.exists() else None
    with refused(code, *facts):
        write_index(mirror)
    assert before is None or (mirror / "models.json").read_bytes() == before


def test_an_index_that_cannot_be_written_leaves_the_old_one(mirror, monkeypatch):
    before = (mirror / "models.json").read_bytes()

    def full(*_args, **_options):
        raise OSError(28, "No space left")

    monkeypatch.setattr("widesr.models.index.whole_file", full)
    with refused("model-file", mirror / "models.json", "No space left"):
        write_index(mirror)
    assert (mirror / "models.json").read_bytes() == before


def test_the_version_that_an_index_asks_for_is_raised_with_every_field_of_a_card():
    # A new field on the card: raise CARDS_SINCE to the version that brings it, and add it here.
    assert catalog.CARDS_SINCE == "0.1.0"
    assert set(ModelCard.model_fields) == {
        *("name", "family", "scale", "receptive_radius", "tiles", "parameters"),
        *("parameters_fused", "licence", "degradation", "recipe", "commit", "steps", "seconds"),
        *("machine", "started_from", "teacher", "training_data", "scores", "losses", "ranges"),
        *("weights_sha256", "source", "notes", "frames", "margin"),
    }


# ---- pulling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("length", [True, False])
def test_a_pulled_model_is_found_by_its_name(server, mirror, shelf, ranges, length):
    server.ranges, server.length = ranges, length
    url = serve(server, mirror)
    pulled = pull_model("big-x2", mirror=url)
    assert pulled == find_model("big-x2", scale=2)
    assert pulled.path == shelf / "big-x2.onnx"
    assert pulled.path.read_bytes() == (mirror / "big-x2.onnx").read_bytes()
    assert left_in(shelf) == ["big-x2.onnx"]
    assert [model.card.name for model in list_models()] == ["tiny-x2", "big-x2"]
    assert [each.path for each in server.asked] == ["/models.json", "/big-x2.onnx"]


@pytest.mark.parametrize("end", ["", "/", "/models.json"])
def test_a_folder_is_a_mirror_too(mirror, shelf, end):
    pull_model("big-x2", mirror=f"{mirror}{end}")
    assert left_in(shelf) == ["big-x2.onnx"]


@pytest.mark.parametrize("end", ["team/models", "team/models/", "team/models/models.json"])
def test_an_address_may_end_as_people_write_it_and_keep_its_key(server, mirror, shelf, end):
    for path in mirror.iterdir():
        server.files[f"/team/models/{path.name}?key=a%2Cb"] = path.read_bytes()
    server.files = {path.replace("%2C", ","): data for path, data in server.files.items()}
    pull_model("big-x2", mirror=f"{server.url}{end}?key=a%2Cb")
    assert left_in(shelf) == ["big-x2.onnx"]


def test_the_mirror_of_the_environment_is_asked_where_none_is_named(mirror, shelf, monkeypatch):
    monkeypatch.setenv("WIDESR_MIRROR", str(mirror))
    assert widesr.pull_model("big-x2").path == shelf / "big-x2.onnx"


def test_what_is_there_is_not_fetched_again(server, mirror, shelf):
    url = serve(server, mirror)
    first = pull_model("big-x2", mirror=url)
    server.asked.clear()
    assert pull_model("big-x2", mirror=url) == first
    assert pull_model("big-x2", mirror=url, overwrite=True) == first
    assert {each.path for each in server.asked} == {"/models.json"}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_goes_on_with_the_next_command(server, mirror, shelf, ranges):
    url = serve(server, mirror)
    server.ranges = ranges
    opened = open_mirror(url)
    server.cut_after = [1000, 0, 0, 0]
    with refused("download", "big-x2.onnx", "mirror"):
        opened.pull(opened.find("big-x2"))
    assert left_in(shelf) == (["big-x2.onnx.part"] if ranges else [])
    with refused("model-not-found"):
        find_model("big-x2", scale=2)
    server.asked.clear()
    server.cut_after.clear()
    pull_model("big-x2", mirror=url)
    assert server.asked[1].start == (1000 if ranges else 0)
    assert left_in(shelf) == ["big-x2.onnx"]


def test_a_model_that_changed_between_two_tries_comes_whole_all_the_same(server, mirror, shelf):
    url = serve(server, mirror)
    opened = open_mirror(url)
    server.cut_after = [1000, 0, 0, 0]
    with refused("download"):
        opened.pull(opened.find("big-x2"))
    server.cut_after.clear()
    data = bytearray(put(mirror, "big-x2", notes="version 2", licence="CC-BY-4.0").read_bytes())
    write_index(mirror)
    serve(server, mirror)
    (shelf / "big-x2.onnx.part").write_bytes(bytes(data[:500]) + b"of another file")
    assert pull_model("big-x2", mirror=url).card.notes == "version 2"
    assert left_in(shelf) == ["big-x2.onnx"]


@pytest.mark.parametrize(
    ("changes", "code", "facts"),
    [
        ({"sha256": "0" * 64}, "download", ["sha256", "0" * 64]),
        ({"bytes": 100}, "download", [100]),
        ({"bytes": 10**6}, "download", ["big-x2", "bytes"]),
        ({"file": "none.onnx"}, "download", [404]),
        ({"name": "fine-x2"}, "model-file", ["name", "big-x2", "fine-x2"]),
        ({"scale": 3}, "model-file", ["scale", 2, 3]),
        ({"licence": "MIT"}, "model-file", ["licence", "CC-BY-4.0", "MIT"]),
        ({"needs": "99.1"}, "model-file", ["widesr 99.1", __version__]),
        ({"name": "best"}, "output-exists", ["best", "everywhere"]),
        ({"name": "x.onnx"}, "output-exists", ["x.onnx", "everywhere"]),
        ({"name": "tiny-x2"}, "output-exists", ["tiny-x2", "package"]),
        ({"name": "../big"}, "download", ["models.json", "models.0.name"]),
        ({"name": "-rf"}, "download", ["models.0.name"]),
        ({"file": "../big-x2.onnx"}, "download", ["models.0.file"]),
        ({"file": "/etc/passwd"}, "download", ["models.0.file"]),
        ({"file": "big-x2.onnx?a"}, "download", ["models.0.file"]),
        ({"file": "http://here/a.onnx"}, "download", ["models.0.file"]),
        ({"bytes": 2**40}, "download", ["models.0.bytes"]),
        ({"licence": "\x1b[2J"}, "download", ["models.0.licence"]),
        ({"name": "other-x2"}, "download", ["models.json", "other-x2", 2]),
    ],
)
@pytest.mark.parametrize("length", [True, False])
def test_an_index_of_lies_gives_no_model(
    server, mirror, shelf, tmp_path, changes, code, facts, length
):
    server.length = length
    lie(mirror, **changes)
    with refused(code, *facts):
        pull_model(changes.get("name", "big-x2"), mirror=serve(server, mirror))
    assert not [name for name in left_in(shelf) if name.endswith(".onnx")]
    assert sorted(path.name for path in tmp_path.iterdir() if path != shelf.parent) == [
        "mirror",
        "package",
    ]


def test_a_file_that_is_no_widesr_model_is_refused_though_its_hash_is_right(mirror, shelf):
    data = TINY.read_bytes().replace(b"\n\x06widesr\x12", b"\n\x06foreig\x12")
    (mirror / "big-x2.onnx").write_bytes(data)
    lie(mirror, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    with refused("model-file", "mirror", "card"):
        pull_model("big-x2", mirror=mirror)
    assert left_in(shelf) == []


@pytest.mark.parametrize("text", [b"", b"<html>log in</html>", b"[]", b"{}", b"\xff", b"[" * 9999])
def test_a_page_in_the_place_of_an_index_is_refused(server, text):
    server.files["/models.json"] = text
    with refused("download", f"{server.url}models.json", "index"):
        open_mirror(server.url)


def test_an_index_without_end_is_given_up(server, monkeypatch):
    monkeypatch.setattr("widesr.models.index._MOST", 1000)
    server.files["/models.json"] = b" " * 5000
    with refused("download", f"{server.url}models.json", "1,000 bytes"):
        open_mirror(server.url)


@given(
    st.text(max_size=20) | st.from_regex(r"[A-Za-z./\\~_-]{1,9}\.onnx", fullmatch=True),
    st.text(max_size=20) | st.from_regex(r"[A-Za-z0-9./\\ ~_+-]{1,9}", fullmatch=True),
)
@example("..onnx", "..")
@example("a.onnx\n", "a\n")
def test_no_name_in_an_index_leads_out_of_a_folder(file, name):
    known = {"scale": 2, "bytes": 1, "sha256": "0" * 64, "licence": "", "needs": "0.1"}
    try:
        entry = Entry.model_validate({"name": name, "file": file, **known})
    except ValidationError:
        return
    assert beside(Path("/mirror"), entry.file) == Path("/mirror") / file
    for each in (entry.file, f"{entry.name}.onnx"):
        assert (Path("/mirror") / each).parent == Path("/mirror")
        assert each.isascii()
        assert each.isprintable()
    assert str(beside("http://here/m?k", entry.file)).startswith("http://here/m/")


# ---- names that are taken --------------------------------------------------------------------


def test_another_model_of_the_name_is_replaced_only_if_asked(server, mirror, shelf):
    url = serve(server, mirror)
    pull_model("big-x2", mirror=url)
    put(mirror, "big-x2", notes="version 2", licence="CC-BY-4.0")
    write_index(mirror)
    serve(server, mirror)
    with refused("output-exists", shelf / "big-x2.onnx") as error:
        pull_model("big-x2", mirror=url)
    assert error.value.options == ("overwrite=True",)
    server.cut_after = [10**6, 1000, 0, 0, 0]
    with refused("download"):
        pull_model("big-x2", mirror=url, overwrite=True)
    assert find_model("big-x2", scale=2).card.notes == read_card(TINY).notes
    assert pull_model("big-x2", mirror=url, overwrite=True).card.notes == "version 2"


def test_a_model_of_the_package_is_never_replaced_nor_hidden(mirror, shelf, tmp_path):
    shutil.copy(TINY, mirror)
    write_index(mirror)
    shipped = tmp_path / "package" / "tiny-x2.onnx"
    assert pull_model("tiny-x2", mirror=mirror).path == shipped
    put(mirror, "tiny-x2", notes="another")
    write_index(mirror)
    with refused("output-exists", "tiny-x2", "mirror"):
        pull_model("tiny-x2", mirror=mirror, overwrite=True)
    assert left_in(shelf) == []
    put(shelf.parent, "x")  # makes the folder
    put(shelf, "tiny-x2", notes="put there by hand")
    assert find_model("tiny-x2", scale=2).path == shipped
    assert [model.path for model in list_models()] == [shipped]


def test_each_offer_says_how_it_stands_with_this_machine(mirror, shelf):
    for name in ("tiny-x2", "new-x2", "mine-x2"):
        put(mirror, name, notes="of the mirror")
    index = write_index(mirror)
    pull_model("big-x2", mirror=mirror)
    put(shelf, "mine-x2")
    lie(mirror, needs="9.9")
    stands = {entry.name: standing(entry) for entry in index.models}
    assert stands.pop("mine-x2") == stands.pop("tiny-x2") not in ("", "pulled")
    assert stands == {"big-x2": "pulled", "new-x2": "", "other-x2": ""}
    newer = index.models[2].model_copy(update={"needs": "9.9"})
    assert names(standing(newer), "widesr 9.9")
    shutil.copy(TINY, mirror)
    assert names(standing(write_index(mirror).models[-1]), "package")


@pytest.mark.parametrize(
    ("needs", "version", "is_new"),
    [
        ("0.1.0", "0.1.0.dev0", False),
        ("0.1", "0.1.0", False),
        ("0.1.0.0", "0.1", False),
        ("0.2", "0.10.1", False),
        ("0.10", "0.9.9", True),
        ("1.0.1", "1.0.0rc1", True),
        ("1", "0.99", True),
    ],
)
def test_versions_are_compared_number_by_number(mirror, monkeypatch, needs, version, is_new):
    monkeypatch.setattr(module, "__version__", version)
    lie(mirror, needs=needs)
    entry = open_mirror(mirror).find("big-x2")
    assert bool(standing(entry)) == is_new


# ---- mirrors ---------------------------------------------------------------------------------


def test_without_a_mirror_the_ways_to_name_one_are_said():
    with refused("usage", "WIDESR_MIRROR") as error:
        pull_model("big-x2")
    assert error.value.options == ("mirror",)


@pytest.mark.parametrize(
    ("word", "code", "facts"),
    [
        ("ftp://here/", "usage", ["ftp://here/", "https://"]),
        ("https://", "usage", ["https://", "http://"]),
        ("https://[", "usage", ["https://[", "http://"]),
        ("models.example.org", "download", ["models.example.org", "https://"]),
        (" ", "usage", ["WIDESR_MIRROR", "mirror"]),
    ],
)
def test_a_mirror_that_cannot_be_meant_is_said(word, code, facts):
    with refused(code, *facts):
        open_mirror(word)


def test_a_password_is_not_repeated():
    with refused("usage", "password") as error:
        open_mirror("https://me:secret@here/")
    assert "secret" not in str(error.value)


def test_a_folder_without_an_index_is_told_how_to_get_one(tmp_path):
    with refused("download", tmp_path / "models.json", "widesr models index"):
        open_mirror(tmp_path)


def test_without_a_connection_one_line_says_so():
    with (
        closed_port() as url,
        refused("download", "models.json", os.strerror(errno.ECONNREFUSED)),
    ):
        open_mirror(url)


def test_an_unknown_model_is_answered_with_what_the_mirror_has(mirror):
    with refused("model-not-found", "'big-x3'", "'big-x2'", "big-x2, other-x2"):
        pull_model("big-x3", mirror=mirror)


def test_too_little_room_is_said_before_anything_is_fetched(server, mirror, monkeypatch, tmp_path):
    url = serve(server, mirror)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with refused("download", "big-x2", "0.0 MB", "WIDESR_MODELS"):
        pull_model("big-x2", mirror=url)
    assert [each.path for each in server.asked] == ["/models.json"]


def test_a_folder_that_cannot_be_made_is_said(mirror, shelf):
    shelf.parent.write_text("a file in the way")
    with refused("download", shelf, "WIDESR_MODELS"):
        pull_model("big-x2", mirror=mirror)


# ---- never by surprise -----------------------------------------------------------------------


def test_nothing_is_fetched_unless_it_is_asked_for(server, mirror, monkeypatch):
    monkeypatch.setenv("WIDESR_MIRROR", serve(server, mirror))
    with refused("model-not-found", "widesr models pull big-x2"):
        widesr.upscale(Path(__file__), model="big-x2", scale=2)
    assert server.asked == []
    monkeypatch.delenv("WIDESR_MIRROR")
    with refused("model-not-found") as error:
        find_model("big-x2", scale=2)
    assert "pull" not in str(error.value)


# ---- taking them away ------------------------------------------------------------------------


def test_a_pulled_model_can_be_removed(mirror, shelf):
    path = pull_model("big-x2", mirror=mirror).path
    (shelf / "other-x2.onnx.part").write_bytes(b"begun")
    assert remove_model("big-x2") == path
    assert remove_model("other-x2") == shelf / "other-x2.onnx"
    assert left_in(shelf) == []


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("tiny-x2", ["tiny-x2", "package"]),
        ("none", ["'none'", "big-x2"]),
        ("../../mirror/big-x2", ["'../../mirror/big-x2'", "is big-x2"]),
        ("best", ["'best'", "big-x2"]),
    ],
)
def test_only_what_was_pulled_is_removed(mirror, tmp_path, name, facts):
    pull_model("big-x2", mirror=mirror)
    before = sorted(tmp_path.rglob("*"))
    with refused("model-not-found", *facts):
        remove_model(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_removed_is_said(shelf):
    (shelf / "big-x2.onnx").mkdir(parents=True)
    with refused("model-file", shelf / "big-x2.onnx", os.strerror(errno.EISDIR)):
        remove_model("big-x2")


def test_an_index_holds_thousands_of_models_at_ease():
    known = {"scale": 2, "bytes": 1, "sha256": "0" * 64, "licence": "", "needs": "0.1"}
    models = [{"name": f"m{i}", "file": f"m{i}.onnx", **known} for i in range(10_000)]
    index = Index.model_validate({"format": "widesr-models-1", "models": models})
    assert len(index.models) == 10_000
