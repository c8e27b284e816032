"""The manifest: what a kill at any moment leaves is settled to what is truly there."""

import hashlib

import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import refused
from widesr.batch.manifest import MadeBy
from widesr.bulk.manifest import Keys, Manifest, Row, as_parquet, key_of, rows_of
from widesr.bulk.store import Found, Store

MADE_BY = MadeBy("bicubic", None, {"size": "x2"})


def row(number, data=b"output", **changes):
    name = f"{number}.png"
    return Row(
        number=number,
        key=key_of(Found(name, 3, "v")),
        source=name,
        source_bytes=3,
        source_version="v",
        status="done",
        output=name,
        output_bytes=len(data),
        output_sha256=hashlib.sha256(data).hexdigest(),
    )._replace(**changes)


FAILED = row(9, status="failed", output=None, output_bytes=None, output_sha256=None)


@pytest.fixture
def outputs(place):
    return Store(place)


def test_a_claim_whose_outputs_are_all_there_becomes_a_part(outputs):
    manifest = Manifest(outputs)
    manifest.claim("b", [row(1), row(2), FAILED])
    for name in ("1.png", "2.png"):
        outputs.put(name, b"output", overwrite=False)
    assert manifest.claims() == ["b"]
    assert manifest.settle("b") == [row(1), row(2), FAILED]
    assert manifest.claims() == []
    assert list(manifest.rows()) == [row(1), row(2), FAILED]


def test_what_a_claim_names_and_is_not_there_is_left_to_be_done(outputs):
    manifest = Manifest(outputs)
    manifest.claim("b", [row(1), row(2)])
    outputs.put("2.png", b"output", overwrite=False)
    assert manifest.settle("b") == [row(2)]
    settled = manifest.settled()
    assert (row(1).key in settled, row(2).key in settled) == (False, True)


def test_another_file_under_a_claimed_name_is_not_taken_for_ours(outputs):
    manifest = Manifest(outputs)
    manifest.claim("b", [row(1)])
    outputs.put("1.png", b"theirs", overwrite=False)  # as long as ours
    assert manifest.settle("b") == []
    assert outputs.read("1.png") == b"theirs"


def test_a_batch_that_was_closed_before_its_worker_ended_is_settled_by_its_part(outputs):
    manifest = Manifest(outputs)
    manifest.close("b", [row(1)])
    assert manifest.settle("b") == [row(1)]
    assert manifest.settle("never-claimed") == []


def test_what_was_set_aside_is_settled_unless_it_is_to_be_tried_again(outputs):
    manifest = Manifest(outputs)
    manifest.close("b", [row(1), FAILED])
    assert FAILED.key in manifest.settled()
    again = manifest.settled(retry_failed=True)
    assert (row(1).key in again, FAILED.key in again) == (True, False)


def test_a_run_goes_on_only_as_it_was_begun(outputs):
    manifest = Manifest(outputs)
    manifest.begin("s3://in", MADE_BY, resume=True)
    manifest.begin("s3://in", MADE_BY, resume=True)
    with refused("output-exists") as error:
        manifest.begin("s3://in", MADE_BY, resume=False)
    assert error.value.options == ("resume=True",)
    with refused("usage", "s3://other"):
        manifest.begin("s3://other", MADE_BY, resume=True)
    with refused("usage", "x2", "x3"):
        manifest.begin("s3://in", MADE_BY._replace(settings={"size": "x3"}), resume=True)


def test_other_programs_read_the_parts_as_one_table(tmp_path):
    manifest = Manifest(Store(str(tmp_path)))
    manifest.close("a", [row(1)])
    manifest.close("b", [row(2), FAILED])
    table = ds.dataset(tmp_path / "_widesr" / "parts", format="parquet").to_table()
    assert sorted(table["number"].to_pylist()) == [1, 2, 9]


def test_rows_come_back_as_they_were():
    rows = [row(1, seconds=0.5, input_width=3, worker="host:1"), FAILED]
    assert rows_of(as_parquet(rows)) == rows


@given(st.sets(st.binary(min_size=16, max_size=16)), st.binary(min_size=16, max_size=16))
def test_keys_hold_what_they_were_given_and_nothing_else(keys, other):
    held = Keys(keys)
    assert len(held) == len(keys)
    assert all(key in held for key in keys)
    assert (other in held) == (other in keys)


def test_another_size_version_or_name_is_another_picture():
    found = Found("a.png", 3, "v")
    others = [Found("b.png", 3, "v"), Found("a.png", 4, "v"), Found("a.png", 3, "w")]
    assert len({key_of(each) for each in (found, *others)}) == 4
