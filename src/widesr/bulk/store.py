"""Files by URL, in a bucket or in a folder on this disk: listed in pages, and written whole."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from widesr.errors import (
    ImageReadError,
    ImageWriteError,
    MissingExtraError,
    UsageError,
    WidesrError,
    last_line,
)
from widesr.system.files import remove_leftovers, whole_file

PART = 16 * 2**20
"""Bytes of a part of an upload to S3; a file smaller than two parts is uploaded in one."""
_PAUSES = (1.0, 4.0, 16.0)
"""Seconds before each new try of what may then succeed; the libraries below try again too."""


class Found(NamedTuple):
    """A file that a listing names."""

    name: str
    """The path below the store's root, with slashes."""
    size: int
    """Bytes."""
    version: str
    """A text that changes with the contents: the ETag in a bucket, the time of change on a disk."""


class Store:
    """A folder of files, anywhere that fsspec reaches; can be pickled."""

    def __init__(self, url: str) -> None:
        """Name a folder; nothing is opened yet.

        Args:
            url: An address such as `s3://bucket/folder`, or the path of a folder on this disk.
        """
        self.url = url.rstrip("/") or "/"

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        """Pickle the name alone: a connection belongs to the process that made it."""
        return type(self), (self.url,)

    @cached_property
    def _fs(self) -> Any:  # noqa: ANN401 (fsspec has no types)
        try:
            return fsspec.filesystem(get_protocol(self.url))
        except ValueError as error:
            raise UsageError(
                f"{self.url}: is at no kind of place that fsspec knows ({last_line(error)})"
            ) from error
        except ImportError as error:
            if self.url.startswith("s3"):
                raise MissingExtraError(extra="bulk", needed_for="reading buckets") from error
            raise UsageError(f"{self.url}: {last_line(error)}") from error

    @cached_property
    def root(self) -> str:
        """The path as the file system writes it: without the protocol or a slash at the end.

        On a disk, links are followed, so that one folder has one root.
        """
        path = str(self._fs._strip_protocol(self.url)).rstrip("/")  # noqa: SLF001 (fsspec's way)
        return os.path.realpath(path) if path and self.is_local else path

    @property
    def is_local(self) -> bool:
        """True for a folder on this machine's disk."""
        return isinstance(self._fs, LocalFileSystem)

    @property
    def is_of_one_process(self) -> bool:
        """True if no other process can see these files."""
        kind: str = get_protocol(self.url)
        return kind == "memory"

    @property
    def _is_s3(self) -> bool:
        return "s3" in self._fs.protocol

    def below(self, folder: str) -> "Store":
        """Name a folder in this one."""
        return Store(f"{self.url}/{folder}")

    def path(self, name: str) -> str:
        """Name a file of the store as its file system does."""
        return f"{self.root}/{name}"

    def __contains__(self, name: str) -> bool:
        self._forget(name)
        there: bool = self._retried(ImageReadError, name, self._fs.exists, self.path(name))
        return there

    def list(self) -> Iterator[Found]:
        """List all files, including those in folders, a page or a folder at a time.

        An S3 bucket is listed in pages of a thousand, in the order of the names; elsewhere, one
        folder is held in memory at a time, with the names in the folders around it.

        Raises:
            ImageReadError: There is no such place, or listing it is not allowed.
        """
        self._fs.invalidate_cache()
        yield from self._pages_of_s3() if self._is_s3 else self._folder(self.root)

    def _pages_of_s3(self) -> Iterator[Found]:
        bucket, _, prefix = self.root.partition("/")
        prefix = f"{prefix}/" if prefix else ""
        page: dict[str, Any] = {}
        while page.get("IsTruncated", True):
            token = page.get("NextContinuationToken")
            more = {"ContinuationToken": token} if token else {}
            page = self._retried(
                ImageReadError,
                "",
                self._fs.call_s3,
                "list_objects_v2",
                Bucket=bucket,
                Prefix=prefix,
                **more,
            )
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix(prefix)
                if name and not name.endswith("/"):  # what consoles make for an empty folder
                    yield Found(name, each["Size"], each["ETag"].strip('"'))

    def _folder(self, path: str) -> Iterator[Found]:
        entries = self._retried(ImageReadError, "", self._fs.ls, path, detail=True)
        for each in sorted(entries, key=lambda entry: str(entry["name"])):
            name = str(each["name"]).rstrip("/")
            if each["type"] == "directory":
                if not each.get("islink") and name != path:  # a link may form a loop
                    yield from self._folder(name)
            elif each["type"] == "file":
                known = (each.get(key) for key in ("ETag", "etag", "md5Hash", "mtime", "created"))
                version = next((str(value).strip('"') for value in known if value), "")
                yield Found(name.removeprefix(f"{self.root}/"), int(each["size"] or 0), version)

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            ImageReadError: The file is missing, or cannot be read after several tries.
        """
        data: bytes = self._retried(ImageReadError, name, self._content, self.path(name))
        return data

    def find(self, name: str) -> bytes | None:
        """Read a file that may be missing; None if it is."""
        data: bytes | None = self._if_there(name, self._content)
        return data

    def _content(self, path: str) -> bytes:
        one = {"max_concurrency": 1} if self._is_s3 else {}  # else s3fs asks for the size first
        return bytes(self._fs.cat_file(path, **one))

    def _if_there(self, name: str, ask: Callable[[str], Any]) -> Any:  # noqa: ANN401
        """Call `ask` with a file's path; None if the file is missing."""
        try:
            return self._retried(ImageReadError, name, ask, self.path(name))
        except ImageReadError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def put(self, name: str, data: bytes, *, overwrite: bool) -> None:
        """Write a file, whole or not at all.

        A bucket shows an object only when all of it is there and, unless `overwrite`, is asked to
        refuse a name that exists. A large object is uploaded in parts, which are dropped if the
        upload fails. On a disk, the file gets its name at the end. Places other than S3, Google's
        and a disk may replace a file that appears there at the same moment.

        Raises:
            FileExistsError: The file exists, and `overwrite` is False.
            ImageWriteError: The file cannot be written after several tries.
        """
        if self.is_local:
            self._put_on_disk(Path(self.path(name)), data, overwrite=overwrite)
        else:
            self._retried(ImageWriteError, name, self._put, name, data, overwrite=overwrite)

    def _put(self, name: str, data: bytes, *, overwrite: bool) -> None:
        try:
            parts = {"chunksize": PART} if self._is_s3 else {}
            mode = "overwrite" if overwrite else "create"
            self._fs.pipe_file(self.path(name), data, mode=mode, **parts)
        except FileExistsError:
            raise
        except OSError as error:  # not every server says why it refused
            if not overwrite and name in self:
                raise FileExistsError(name) from error
            raise

    def _put_on_disk(self, path: Path, data: bytes, *, overwrite: bool) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, overwrite=overwrite) as file:
                file.write(data)
        except FileExistsError:
            raise
        except OSError as error:
            raise ImageWriteError(f"{path}: cannot be written ({error.strerror})") from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            ImageWriteError: The file cannot be removed.
        """
        try:
            self._retried(ImageWriteError, name, self._fs.rm_file, self.path(name))
        except ImageWriteError:
            if name in self:
                raise

    def holds(self, name: str, *, size: int, sha256: str) -> bool:
        """Say whether a file has these contents; it is read only if it has the size."""
        self._forget(name)
        found = self._if_there(name, self._fs.info)
        if found is None or found["size"] != size:
            return False
        return hashlib.sha256(self.read(name)).hexdigest() == sha256

    def clean(self, names: Iterable[str]) -> None:
        """Remove what a killed process has left of files that it did not finish.

        In a bucket, these are the parts of uploads, which no listing shows but which are paid for.
        """
        for name in names:
            if self.is_local:
                remove_leftovers(Path(self.path(name)).parent)
            elif self._is_s3:
                self._retried(ImageWriteError, name, self._drop_parts, self.path(name))

    def _drop_parts(self, path: str) -> None:
        bucket, _, key = path.partition("/")
        page = self._fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
        for upload in page.get("Uploads") or ():
            if upload["Key"] == key:
                which = {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}
                self._fs.call_s3("abort_multipart_upload", **which)

    def _forget(self, name: str) -> None:
        """Drop what fsspec remembers about a file, as others write here too."""
        self._fs.invalidate_cache(self._fs._parent(self.path(name)))  # noqa: SLF001 (fsspec's way)

    def _retried(
        self,
        refusal: type[WidesrError],
        name: str,
        do: Any,  # noqa: ANN401
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Call `do`, try again where that may help, and raise `refusal` if it still fails."""
        where = f"{self.url}/{name}" if name else self.url
        for pause in (*_PAUSES, None):
            try:
                return do(*args, **options)
            except FileExistsError:
                raise
            except (FileNotFoundError, NotADirectoryError) as error:
                raise refusal(f"{where}: is not there; check the name") from error
            except PermissionError as error:
                raise refusal(
                    f"{where}: access is denied ({last_line(error)}); check the credentials and "
                    "the permissions"
                ) from error
            except Exception as error:
                if pause is None or not _may_pass(error):
                    raise refusal(f"{where}: {last_line(error)}") from error
                time.sleep(pause)
        raise AssertionError


def _may_pass(error: Exception) -> bool:
    """Say whether another try may help; network failures come as errors of many libraries."""
    return not isinstance(error, (ValueError, TypeError, AttributeError, MemoryError))
