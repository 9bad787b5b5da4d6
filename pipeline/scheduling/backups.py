"""Backups: a deployment's databases and files in one file, and a home made from it.

It may be running meanwhile. Each database is of one moment; files are copied after them, so that
all that a database names is there.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.addresses import is_url
from pipeline.errors import SettingsError
from pipeline.leftovers import TemporaryFolder
from pipeline.parts import artifact_root
from pipeline.private_home import private_home
from pipeline.settings import Settings
from pipeline.storage import dumps, embedded_postgres
from pipeline.version import code_version

FORMAT = 1
MANIFEST, DATABASES, HOME_FILES = "backup.json", "databases", "home"
#: What a home has of its own machine and moment: the server's files, which dumps stand for, logs,
#: and what says which processes run.
SKIPPED_FOLDERS = ("postgres", "logs", "run", "tmp")
SKIPPED_SUFFIXES = (".lock", ".pid", ".draft", "-wal", "-shm", "-journal")


def backup(settings: Settings, file: Path) -> str:
    """Write a backup of a deployment; return what a person needs to know.

    Raises:
        SettingsError: there is nothing to back up, or the file is there already.
        StoreUnavailable: a database cannot be read.
    """
    home = settings.home
    if not home.is_dir():
        raise SettingsError(f"There is nothing under {home}. --home names another folder.")
    if file.exists():
        raise SettingsError(f"{file} is there already. Name another file.")
    draft = file.with_name(f"{file.name}.draft")
    try:
        count = _write(settings, draft)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    lines = [f"{home}: {count} files and its databases are in {file}, {_size(file)}."]
    root = artifact_root(settings)
    if is_url(root):
        lines.append(f"The artifacts in {root} are not: copy them by its own means.")
    lines.append("It has the passwords of the deployment: only you can read it. Keep it so.")
    return "\n".join(lines)


def restore(settings: Settings, file: Path) -> str:
    """Make an empty home, and empty databases, what a backup has; return what was done.

    Raises:
        SettingsError: it is no backup, or something is there already.
        StoreUnavailable: a database cannot be written.
    """
    home = settings.home
    if home.is_dir() and any(home.iterdir()):
        raise SettingsError(
            f"{home} is not empty. A backup is restored into a new home: name one (--home)."
        )
    with TemporaryFolder("restore", _parent(home)) as unpacked:
        kinds = _unpack(file, unpacked)
        private_home(home)
        try:
            for name, kind in kinds.items():
                _restore_database(settings, name, kind, unpacked / DATABASES / name)
            shutil.copytree(unpacked / HOME_FILES, home, dirs_exist_ok=True)
        except BaseException:
            embedded_postgres.stop(home)
            shutil.rmtree(home)
            raise
    return f"{home} is what {file} has. `stockcast doctor` looks whether all is well."


def _parent(home: Path) -> Path:
    """Return the nearest folder above a home that is there, on the same disk."""
    return next(each for each in home.absolute().parents if each.is_dir())


def _write(settings: Settings, file: Path) -> int:
    """Write the archive, readable by nobody else; return how many files of the home it has."""
    file.touch(mode=0o600, exist_ok=False)
    is_packed = file.name.removesuffix(".draft").endswith("gz")
    mode: Literal["w:gz", "w"] = "w:gz" if is_packed else "w"
    with TemporaryFolder("backup") as folder, tarfile.open(file, mode) as archive:
        urls = _databases(settings)
        manifest = {
            "format": FORMAT,
            "made_by": code_version(),
            "made_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "databases": {name: dumps.kind_of(url) for name, url in urls.items()},
        }
        named = folder / MANIFEST
        named.write_text(json.dumps(manifest, indent=1))
        archive.add(named, MANIFEST)
        for name, url in urls.items():
            dumped = folder / name
            dumps.dump(url, dumped)
            archive.add(dumped, f"{DATABASES}/{name}")
            dumped.unlink()
        count = 0
        for path in _files(settings, urls):
            archive.add(path, f"{HOME_FILES}/{path.relative_to(settings.home)}", recursive=False)
            count += path.is_file()
    return count


def _databases(settings: Settings) -> dict[str, str]:
    """Return the URLs of the databases that there are, by name."""
    embedded = (settings.home / "postgres").is_dir()
    urls = {"stockcast": settings.store_url, "mlflow": settings.tracking_uri, "airflow": ""}
    urls = {name: url for name, url in urls.items() if not url.startswith("http")}
    found = {}
    for name, url in urls.items():
        if not url and embedded:
            url = embedded_postgres.url(settings.home, name)
        if url and dumps.has_tables(url):
            found[name] = url
    return found


def _files(settings: Settings, urls: dict[str, str]) -> Iterator[Path]:
    """Yield the files and folders of a home that belong into a backup."""
    home = settings.home
    sqlite = {Path(url.partition(":///")[2]).absolute() for url in urls.values() if "sqlite" in url}
    for folder, folders, names in os.walk(home):
        here = Path(folder)
        if here == home:
            folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (here / name for name in folders)
        for name in sorted(names):
            path = here / name
            is_left_out = name.endswith(SKIPPED_SUFFIXES) or path.absolute() in sqlite
            if not is_left_out and path.is_file() and not path.is_symlink():
                yield path


def _unpack(file: Path, folder: Path) -> dict[str, str]:
    """Unpack a backup; return the kinds of its databases, by name."""
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                _extract(archive, member, folder)
        manifest = json.loads((folder / MANIFEST).read_text())
        kinds: dict[str, str] = manifest["databases"]
        known = manifest["format"]
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{file} is no backup that can be read ({error}). `stockcast backup FILE` makes one."
        ) from None
    if known != FORMAT:
        raise SettingsError(
            f"{file} is a backup of format {known}; this program reads {FORMAT}. Restore it with "
            "the version that made it."
        )
    (folder / HOME_FILES).mkdir(exist_ok=True)
    return kinds


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Extract a file or folder into a folder.

    (The standard library's own filter against what reaches out of it came with Python 3.11.4.)

    Raises:
        ValueError: it is something else, or reaches out of the folder.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        raise ValueError(f"{member.name} does not belong there")
    path = folder / name
    content = archive.extractfile(member)
    if content is None:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(member.mode & 0o777)


def _restore_database(settings: Settings, name: str, kind: str, file: Path) -> None:
    named = {"stockcast": settings.store_url, "mlflow": settings.tracking_uri}.get(name, "")
    if named.startswith("http"):
        return  # a server of one's own has its runs
    if not named and kind == "sqlite":
        raise SettingsError(
            f"The backup has {name} as SQLite. Say where it goes: STOCKCAST_STORE_URL and "
            "STOCKCAST_TRACKING_URI, such as sqlite:////path/store.db."
        )
    url = named or embedded_postgres.url(settings.home, name)
    dumps.require_same_kind(url, kind, name)
    if dumps.has_tables(url):
        raise SettingsError(
            f"The database for {name} is not empty. Name an empty one (STOCKCAST_STORE_URL, "
            "STOCKCAST_TRACKING_URI)."
        )
    dumps.load_dump(url, file)


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:,.1f} MB"
