"""A bucket on this machine."""

import os
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("ray") and find_spec("s3fs") else ["test_*.py"]
"""These need the `bulk` extra."""


OTHER_S3 = "WIDESR_TEST_S3"
"""Set in the environment, it is the address of a server of S3 to take in moto's place."""


@pytest.fixture(scope="session")
def s3():
    """A server of S3 that this process, and each that it starts, goes to for its buckets."""
    with _served() as address, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", address)
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@contextmanager
def _served():
    if OTHER_S3 in os.environ:
        yield os.environ[OTHER_S3]
        return
    moto = pytest.importorskip("moto.server", reason="needs moto[s3,server]")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(s3):
    """The URL of an empty bucket."""
    import s3fs

    files = s3fs.S3FileSystem()
    files.mkdir("widesr-test")
    yield "s3://widesr-test"
    files.invalidate_cache()
    files.rm("widesr-test", recursive=True)


@pytest.fixture(params=["disk", "memory", "s3"])
def place(request, tmp_path):
    """The URL of an empty folder, in each kind of store."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/folder"
    return f"memory://{tmp_path}" if request.param == "memory" else str(tmp_path / "folder")
