"""Artifacts: datasets, models and reports as named bytes under one root.

The root is any fsspec URL: a local folder, memory://, s3://...
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import DamagedFile, NothingStored, SettingsError, StoreUnavailable
from pipeline.leftovers import UnfinishedFile, sweep_files, sweep_unlocked_files
from pipeline.storage.naming import content_digest, first_line
from pipeline.storage.seals import sealed, unsealed
from pipeline.storage.slow_answers import say_what_is_awaited
from pipeline.storage.stored_files import (
    RENEWED_AFTER,
    StoredFile,
    files_below,
    remove_unused,
)

#: The folder below a root that is a folder in which files lie until they are whole.
UNFINISHED_FOLDER = ".unfinished"

log = logging.getLogger(__name__)


class Artifacts:
    """Bytes by name, such as "models/1f3a.keras". A reader never sees half of a content.

    Every call asks the folder or the object store itself: what another machine has just written is
    there. The client of an object store reads its address and keys from the environment (for s3:
    AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).

    Args:
        title: what errors call the root.
        setting: the variable that names it.

    Raises:
        SettingsError: the root's protocol is unknown or lacks its package.
    """

    def __init__(
        self, root: str, title: str = "artifact root", setting: str = "STOCKCAST_ARTIFACTS"
    ) -> None:
        self._title, self._setting = title, setting
        try:
            self._files, path = fsspec.core.url_to_fs(str(root), use_listings_cache=False)
        except ImportError as error:
            raise SettingsError(
                f"The {title} {root} lacks a package: {first_line(error)}. "
                "(s3:// comes with the extra `cluster`.)"
            ) from error
        except ValueError as error:
            raise SettingsError(
                f"The {title} {root} cannot be used: {first_line(error)}. "
                f"Name a folder or a URL such as s3://bucket ({setting})."
            ) from error
        self._root = path.rstrip("/")

    def require(self) -> None:
        """Ask whether the root can be used at all; a folder is made by the first write.

        Raises:
            SettingsError: there is no such bucket, or access to it is refused.
            StoreUnavailable: the object store does not answer.
        """
        bucket = self._root.partition("/")[0]
        if not bucket:  # a folder, or memory
            return
        with self._one_line_errors(f"The {self._title} {self.url('')} cannot be reached"):
            try:
                self._files.info(bucket)
            except FileNotFoundError:
                raise SettingsError(
                    f"The {self._title} {self.url('')} lacks its bucket {bucket}. "
                    f"Create it, or name another ({self._setting})."
                ) from None

    def write(self, name: str, data: bytes) -> None:
        """Store bytes under a name, in the place of earlier ones; equal bytes are left untouched.

        Raises:
            StoreUnavailable: no space, no permission, or the object store does not answer.
        """
        path = self._path(name)
        problem = f"{self.url(name)} cannot be written"
        with self._one_line_errors(problem, "Is there space, and permission?"):
            if self._holds(path, data):
                self.renew(name)
                return
            if isinstance(self._files, LocalFileSystem):
                _write_file(Path(path), data, self._unfinished)
            else:
                self._files.pipe_file(path, data)  # object stores show an object once it is whole

    def renew(self, name: str) -> None:
        """Mark a file as used, so that `stockcast prune` leaves it to whoever works with it now.

        A file that was made or marked within half a day, one that is not there, and one that only
        somebody else may write is left alone.

        Raises:
            StoreUnavailable: the object store does not answer.
        """
        path = self._path(name)
        with self._one_line_errors(f"{self.url(name)} cannot be marked as used"):
            try:
                if time.time() - _modified(self._files.info(path)) < RENEWED_AFTER:
                    return
                if isinstance(self._files, LocalFileSystem):
                    os.utime(path)
                else:  # an object store dates what is written
                    self._files.pipe_file(path, self._files.cat_file(path))
            except (FileNotFoundError, PermissionError):
                return

    def files(self) -> Iterator[StoredFile]:
        """Yield every file below the root, in one walk.

        Raises:
            StoreUnavailable: no permission, or the object store does not answer.
        """
        with self._one_line_errors(f"{self.url('')} cannot be listed"):
            if isinstance(self._files, LocalFileSystem):
                yield from files_below(Path(self._root))
                return
            try:
                found = self._files.find(self._root, detail=True)
            except FileNotFoundError:
                return
        for path, about in found.items():
            name = path[len(self._root) :].lstrip("/")
            yield StoredFile(name, int(about["size"] or 0), _modified(about))

    def remove(self, names: Sequence[str], before: float) -> list[str]:
        """Remove files; return those that are gone.

        One that was made or used again since is left: each is looked at right before it goes.

        Args:
            before: seconds since 1970.

        Raises:
            StoreUnavailable: no permission, or the object store does not answer.
        """
        gone = []
        for name in names:
            path = self._path(name)
            with self._one_line_errors(f"{self.url(name)} cannot be removed"):
                if isinstance(self._files, LocalFileSystem):
                    is_gone = remove_unused(Path(path), before)
                else:
                    is_gone = self._remove_object(path, before)
            if is_gone:
                gone.append(name)
        return gone

    def _remove_object(self, path: str, before: float) -> bool:
        try:
            if _modified(self._files.info(path)) >= before:
                return False
            self._files.rm_file(path)
        except FileNotFoundError:  # another process was faster
            return True
        return True

    def sweep(self, thoroughly: bool = False) -> int:
        """Remove what killed processes were writing into a folder; return how many files that were.

        An object store keeps no such files.

        Args:
            thoroughly: look at every file, for what older versions have left.
        """
        if not isinstance(self._files, LocalFileSystem):
            return 0
        swept = sweep_files(self._unfinished)
        swept += sweep_unlocked_files(Path(self._root)) if thoroughly else []
        return len(swept)

    @property
    def _unfinished(self) -> Path:
        """The folder in which files lie until they are whole."""
        return Path(self._root, UNFINISHED_FOLDER)

    def read(self, name: str) -> bytes:
        """Return the bytes under a name.

        Raises:
            NothingStored: there is nothing of that name.
            StoreUnavailable: no permission, or the object store does not answer.
        """
        with self._one_line_errors(f"{self.url(name)} cannot be read"):
            try:
                data: bytes = self._files.cat_file(self._path(name))
            except (FileNotFoundError, IsADirectoryError):
                raise NothingStored(
                    f"There is no {name} under {self.url('')}. Run the step that makes it first."
                ) from None
        return data

    def exists(self, name: str) -> bool:
        """Return whether there are bytes under a name.

        Raises:
            StoreUnavailable: no permission, or the object store does not answer, which is no reason
                to make everything again.
        """
        with self._one_line_errors(f"{self.url(name)} cannot be looked for"):
            try:
                kind = self._files.info(self._path(name))["type"]
            except (FileNotFoundError, NotADirectoryError):
                return False
        return bool(kind == "file")

    def url(self, name: str) -> str:
        """Return the address of a content, for people: a path for a local folder, else a URL."""
        path = self._path(name) if name else self._root
        if isinstance(self._files, LocalFileSystem):
            return path
        return str(self._files.unstrip_protocol(path))

    def put_content(self, folder: str, suffix: str, data: bytes) -> str:
        """Store bytes in a folder under the digest of their content.

        Returns:
            The digest. The name is FOLDER/DIGEST and the suffix.
        """
        digest = content_digest(data)
        self.write(f"{folder}/{digest}{suffix}", data)
        return digest

    def read_content(self, folder: str, suffix: str, digest: str) -> bytes:
        """Return the bytes of a digest.

        Raises:
            NothingStored: they are not there.
            DamagedFile: they are not the bytes that were stored.
        """
        name = f"{folder}/{digest}{suffix}"
        data = self.read(name)
        if (actual := content_digest(data)) != digest:
            raise DamagedFile(
                f"{self.url(name)} is damaged: its content hashes to {actual}. "
                "Delete it and run the step that makes it again."
            )
        return data

    # Files that are derived from others, and made again where they are damaged

    def write_derived(self, name: str, data: bytes) -> None:
        """Store bytes under a name with a digest of them; see `write`."""
        self.write(name, sealed(data))

    def read_derived(self, name: str) -> bytes:
        """Return the bytes that were stored under a name with their digest.

        Raises:
            NothingStored: there is nothing of that name.
            DamagedFile: they are not the bytes that were stored.
            StoreUnavailable: no permission, or the object store does not answer.
        """
        stored = self.read(name)
        data = unsealed(stored)
        if data is None:
            raise DamagedFile(
                f"{self.url(name)} is damaged: its {len(stored)} bytes do not end with their "
                "digest. Repeat the session or command, which makes it again."
            )
        return data

    def find_derived(self, name: str) -> bytes | None:
        """Return the bytes of `read_derived`; None: there are none, or they are damaged."""
        try:
            return self.read_derived(name)
        except NothingStored:
            return None
        except DamagedFile as error:
            log.warning("%s", error)
            return None

    def has_derived(self, name: str) -> bool:
        """Return whether `read_derived` gives the bytes under a name; it reads them."""
        return self.find_derived(name) is not None

    def _path(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or "\\" in name or "\0" in name:
            raise SettingsError(
                f"{name!r} is no name of an artifact: a path below the artifact root is expected, "
                "such as models/abc.keras."
            )
        return "/".join([self._root, *parts])

    @contextmanager
    def _one_line_errors(self, problem: str, hint: str = "") -> Iterator[None]:
        """Turn an error of the folder or the object store into one line.

        As long as an object store does not answer, the log says so.

        Args:
            problem: the beginning of that line.
            hint: its end, where the folder does not answer.
        """
        is_local = isinstance(self._files, LocalFileSystem)
        try:
            with nullcontext() if is_local else say_what_is_awaited(self.url("")):
                yield
        except OSError as error:
            message = f"{problem}: {first_line(error)}. {hint}"
            raise StoreUnavailable(message.rstrip()) from error
        except Exception as error:
            # s3fs passes some of botocore's own errors on; without s3fs, there is no botocore to
            # import.
            if type(error).__module__ != "botocore.exceptions":
                raise
            message = f"{problem}: {first_line(error)}."
            if "Credentials" in type(error).__name__:
                hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
                raise SettingsError(f"{message} {hint}") from error
            raise StoreUnavailable(f"{message} Is AWS_ENDPOINT_URL right?") from error

    def _holds(self, path: str, data: bytes) -> bool:
        """Compare sizes first: most answers then cost no read."""
        try:
            same = self._files.size(path) == len(data) and self._files.cat_file(path) == data
        except FileNotFoundError:
            return False
        return bool(same)


def _modified(about: Mapping[str, Any]) -> float:
    """Return when a file was written (seconds since 1970), by what its file system says of it."""
    names = ("mtime", "LastModified", "last_modified", "updated", "created")
    moment = next((about[name] for name in names if about.get(name) is not None), time.time())
    return float(moment.timestamp() if hasattr(moment, "timestamp") else moment)


def _write_file(path: Path, data: bytes, unfinished: Path) -> None:
    """Write under another name first, then move.

    A process killed in the middle leaves a hidden file, never half a content; `sweep` removes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in (unfinished, path.parent):
        with UnfinishedFile(folder) as file:
            with os.fdopen(os.dup(file.fd), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(file.fd)  # or a power cut may leave the name with nothing behind it
                # A temporary file is for the writer only; MLflow's and the UI's processes read too.
                os.fchmod(file.fd, 0o644)
            try:
                file.path.replace(path)
            except OSError as error:
                if error.errno != errno.EXDEV or folder == path.parent:
                    raise
                continue  # a folder of the root is another disk's: next to its own place then
            return
