"""Files by a URL: the same promises in a bucket, on a disk, and in memory."""

import hashlib

import pytest

from facts import refused
from widesr.bulk.store import Store

SHA = hashlib.sha256(b"first").hexdigest()


def test_what_was_put_can_be_read_and_is_listed(place):
    store = Store(place)
    for name in ("b.png", "a/x.png", "a/deep/y.png"):
        store.put(name, name.encode(), overwrite=False)
    found = {each.name: each.size for each in store.list()}
    assert found == {"b.png": 5, "a/x.png": 7, "a/deep/y.png": 12}
    assert store.read("a/deep/y.png") == b"a/deep/y.png"


def test_a_file_that_is_there_is_replaced_only_on_demand(place):
    store = Store(place)
    store.put("a.png", b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        store.put("a.png", b"other", overwrite=False)
    assert store.read("a.png") == b"first"
    before = next(store.list()).version
    store.put("a.png", b"another", overwrite=True)
    assert store.read("a.png") == b"another"
    assert next(store.list()).version != before


def test_a_file_is_known_by_its_contents(place):
    store = Store(place)
    store.put("a.png", b"first", overwrite=False)
    assert store.holds("a.png", size=5, sha256=SHA)
    assert not store.holds("b.png", size=5, sha256=SHA)
    store.put("a.png", b"First", overwrite=True)
    assert not store.holds("a.png", size=5, sha256=SHA)


def test_what_is_removed_is_gone_and_may_be_gone_before(place):
    store = Store(place)
    store.put("a.png", b"first", overwrite=False)
    for _ in range(2):
        store.remove("a.png")
        assert "a.png" not in store


def test_what_is_missing_is_an_error_with_its_address(place):
    with refused("image-read", "no-such.png"):
        Store(place).read("no-such.png")


def test_a_bucket_of_more_than_a_page_is_listed_to_its_end(bucket):
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    names = [f"{number:05}.png" for number in range(1_050)]
    for name in names:
        backend.put_object("widesr-test", f"in/{name}", b"")
    assert [found.name for found in Store(f"{bucket}/in").list()] == names


def test_the_parts_of_an_upload_that_was_killed_are_dropped_and_no_others(bucket):
    import s3fs

    files, store = s3fs.S3FileSystem(), Store(f"{bucket}/out")
    for key in ("out/big.png", "out/big.png.other"):
        upload = files.call_s3("create_multipart_upload", Bucket="widesr-test", Key=key)
        part = {"PartNumber": 1, "UploadId": upload["UploadId"], "Body": b"half"}
        files.call_s3("upload_part", Bucket="widesr-test", Key=key, **part)
    store.clean(["big.png"])
    left = files.call_s3("list_multipart_uploads", Bucket="widesr-test")["Uploads"]
    assert [upload["Key"] for upload in left] == ["out/big.png.other"]
    assert list(store.list()) == []


def test_a_large_object_goes_in_parts_and_never_over_another(bucket, monkeypatch):
    monkeypatch.setattr("widesr.bulk.store.PART", 5 * 2**20)  # S3 takes no smaller ones
    store, data = Store(bucket), bytes(11 * 2**20)
    store.put("large.tif", data, overwrite=False)
    with pytest.raises(FileExistsError):
        store.put("large.tif", data[1:], overwrite=False)
    assert next(store.list()).size == len(data)


@pytest.mark.parametrize("url", ["nonsense://a/b", "s3x://a"])
def test_a_kind_of_place_that_no_one_knows_is_refused(url):
    with refused("usage", "fsspec"):
        next(Store(url).list())
