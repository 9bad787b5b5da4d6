"""Datasets, models and reports: named bytes under one root, which is any fsspec URL (a local folder, memory://, s3://...)."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import LookAtTheData, NothingStored, SettingsError, StoreUnavailable

#: Hexadecimal digits of SHA-256 that name a content: 128 bits, no two contents will ever share them.
DIGEST_LENGTH = 32


class Artifacts:
    """Bytes by name, such as "models/1f3a.keras". A reader never sees half of a content.

    Every call asks the folder or the object store itself: what another machine has just written is there. Where an object store is, and who
    we are there, its own client reads from the environment (for s3: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).

    Raises:
        SettingsError: the root's protocol is unknown or lacks its package.
    """

    def __init__(self, root: str) -> None:
        try:
            self._files, path = fsspec.core.url_to_fs(str(root), use_listings_cache=False)
        except ImportError as error:
            raise SettingsError(
                f"The artifact root {root} lacks a package: {_first_line(error)}. (s3:// comes with the extra `cluster`.)"
            ) from error
        except ValueError as error:
            raise SettingsError(
                f"The artifact root {root} cannot be used: {_first_line(error)}. Name a folder or a URL such as s3://bucket."
            ) from error
        self._root = path.rstrip("/")

    def require(self) -> None:
        """Asks whether the root can be used at all; a folder is made by the first write.

        Raises:
            SettingsError: there is no such bucket, or it refuses us.
            StoreUnavailable: an object store that does not answer.
        """
        bucket = self._root.partition("/")[0]
        if not bucket:  # a folder, or memory
            return
        with self._answering(f"The artifact root {self.url('')} cannot be reached"):
            try:
                self._files.info(bucket)
            except FileNotFoundError:
                raise SettingsError(
                    f"The artifact root {self.url('')} lacks its bucket {bucket}. Create it, or name another (STOCKCAST_ARTIFACTS)."
                ) from None

    def write(self, name: str, data: bytes) -> None:
        """Stores the bytes under the name, replacing what was there; equal bytes are left untouched.

        Raises:
            StoreUnavailable: no space, no permission, or an object store that does not answer.
        """
        path = self._path(name)
        with self._answering(f"{self.url(name)} cannot be written", "Is there space, and permission?"):
            if self._holds(path, data):
                return
            if isinstance(self._files, LocalFileSystem):
                _write_file(Path(path), data)
            else:
                self._files.pipe_file(path, data)  # object stores show an object once it is whole

    def read(self, name: str) -> bytes:
        """The bytes under a name.

        Raises:
            NothingStored: there is nothing of that name.
            StoreUnavailable: no permission, or an object store that does not answer.
        """
        with self._answering(f"{self.url(name)} cannot be read"):
            try:
                return self._files.cat_file(self._path(name))
            except (FileNotFoundError, IsADirectoryError):
                raise NothingStored(f"There is no {name} under {self.url('')}. Run the step that makes it first.") from None

    def exists(self, name: str) -> bool:
        """Whether there are bytes under a name.

        Raises:
            StoreUnavailable: no permission, or an object store that does not answer, which is no reason to make it all again.
        """
        with self._answering(f"{self.url(name)} cannot be looked for"):
            try:
                return self._files.info(self._path(name))["type"] == "file"
            except (FileNotFoundError, NotADirectoryError):
                return False

    def url(self, name: str) -> str:
        """Where the content is, for people: a path for a local folder, else a URL."""
        path = self._path(name) if name else self._root
        return path if isinstance(self._files, LocalFileSystem) else self._files.unstrip_protocol(path)

    def put_content(self, folder: str, suffix: str, data: bytes) -> str:
        """Stores the bytes as `folder`/`digest``suffix`, named by what they are; the digest."""
        digest = _digest(data)
        self.write(f"{folder}/{digest}{suffix}", data)
        return digest

    def read_content(self, folder: str, suffix: str, digest: str) -> bytes:
        """The bytes of a digest.

        Raises:
            NothingStored: they are not there.
            LookAtTheData: what is there are not the bytes that were stored.
        """
        name = f"{folder}/{digest}{suffix}"
        data = self.read(name)
        if _digest(data) != digest:
            raise LookAtTheData(
                f"{self.url(name)} is damaged: its content hashes to {_digest(data)}. Delete it and run the step that makes it again."
            )
        return data

    def _path(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or "\\" in name or "\0" in name:
            raise SettingsError(
                f"{name!r} is no name of an artifact: a path below the artifact root is expected, such as models/abc.keras."
            )
        return "/".join([self._root, *parts])

    @contextmanager
    def _answering(self, told: str, hint: str = "") -> Iterator[None]:
        """Says in one line what the folder or the object store does not do. `told` begins that line, and `hint` ends it."""
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(" ".join(filter(None, [f"{told}: {_first_line(error)}.", hint]))) from error
        except Exception as error:
            # s3fs passes on what botocore raises of its own; without s3fs, there is no botocore to import.
            if type(error).__module__ != "botocore.exceptions":
                raise
            if "Credentials" in type(error).__name__:
                raise SettingsError(f"{told}: {_first_line(error)}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.") from error
            raise StoreUnavailable(f"{told}: {_first_line(error)}. Is AWS_ENDPOINT_URL right?") from error

    def _holds(self, path: str, data: bytes) -> bool:
        """Compares sizes first: most answers then cost no read."""
        try:
            return self._files.size(path) == len(data) and self._files.cat_file(path) == data
        except FileNotFoundError:
            return False


def _write_file(path: Path, data: bytes) -> None:
    """Writes beside the name first, then moves: a process killed in the middle leaves a hidden file, never half a content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the name with nothing behind it
            os.fchmod(file.fileno(), 0o644)  # mkstemp's is for the writer only; MLflow's and the UI's processes read too
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink()
        raise


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
