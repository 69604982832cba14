"""Landed objects in a folder: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self
from uuid import uuid4

from schemahub_lib.errors import Conflict, StoreError, UsageError, words
from schemahub_lib.landing.store import Entry, Sink, Stored, corrupt_name

OURS = ".schemahub-"  # how the files begin that are no objects
LOCK = f"{OURS}lock"
LEFT_BEHIND = 24 * 3600.0  # seconds after which nobody is writing to a temporary file any more

_NO_ROOM = "free some room, or choose another folder"
_NOT_ALLOWED = "let this user write there, or choose another folder"
_IN_THE_WAY = "a file is in the way: move it, or choose another folder"
_REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.EROFS: _NOT_ALLOWED,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "a folder is in the way: move it, or choose another folder",
    errno.ENOENT: "has it been moved or deleted meanwhile?",
    errno.ENAMETOOLONG: "choose a folder or prefix with a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


class LocalStore:
    """A folder. Versions are the SHA-256 of the content; in listings, of inode, size and time of change."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self.uri = str(self._root)
        self._swept: set[Path] = set()

    @classmethod
    def make(cls, root: str) -> Self:
        """The store in `root`, which is made when missing. Raises StoreError."""
        store = cls(Path(root))
        with clear_errors("make the folder", store._root):
            store._root.mkdir(parents=True, exist_ok=True)
        return store

    def path(self, key: str) -> Path:
        """Where an object lies. Raises UsageError for a key that leads out of the folder."""
        parts = PurePosixPath(key).parts
        if not parts or ".." in parts or key.startswith("/") or "\0" in key:
            raise UsageError(f"{key!r} leads out of {self.uri}: give a prefix without '..' and without a leading '/'")
        return self._root / key

    def read(self, key: str) -> Stored | None:
        path = self.path(key)
        with clear_errors("read", path):
            try:
                body = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
            return Stored(body, _version(body))

    def write(self, key: str, body: bytes, *, expected: str | None) -> str:
        path = self.path(key)
        with self._locked(path):
            present = self.read(key)
            if (present and present.version) != expected:
                raise Conflict(f"another writer changed {path}; nothing was overwritten. Stop one of the two")
            with self.create(key) as sink:
                sink.write(body)
        return _version(body)

    def create(self, key: str) -> Sink:
        path = self.path(key)
        with clear_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sweep(path.parent)
            return _File(path)

    def open(self, key: str) -> BinaryIO:
        path = self.path(key)
        with clear_errors("read", path):
            return path.open("rb")

    def list(self, prefix: str) -> Iterator[Entry]:
        folder = prefix.rpartition("/")[0]
        start = self.path(folder) if folder else self._root
        with clear_errors("list", start):
            yield from self._walk(start, f"{folder}/" if folder else "", prefix)

    def set_aside(self, key: str) -> str:
        aside = corrupt_name(key)
        path = self.path(key)
        with clear_errors("rename", path):
            path.rename(self.path(aside))
        return aside

    def delete(self, key: str) -> None:
        path = self.path(key)
        with clear_errors("delete", path):
            path.unlink(missing_ok=True)

    def _walk(self, folder: Path, above: str, prefix: str) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as found:
                # In the order of whole keys 'a.b' comes before 'a/b'.
                names = sorted((f"{item.name}/" if item.is_dir() else item.name) for item in found)
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            key = above + name
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(folder / name, key, prefix)
            elif key.startswith(prefix) and not name.startswith(OURS):
                with suppress(FileNotFoundError):
                    state = (folder / name).stat()
                    if stat.S_ISREG(state.st_mode):
                        yield Entry(key, state.st_size, f"{state.st_ino}-{state.st_size}-{state.st_mtime_ns}")

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Alone among the conditional writers of a folder. The kernel lets go when a process dies, however it dies."""
        with clear_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = (path.parent / LOCK).open("a")
            with lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    def _sweep(self, folder: Path) -> None:
        """Delete, once in a store's life, what killed writers left behind in a folder."""
        if folder in self._swept:
            return
        self._swept.add(folder)
        for left in folder.glob(f"{OURS}*.tmp"):
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - LEFT_BEHIND:
                    left.unlink()


class _File(Sink):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._temporary = path.parent / f"{OURS}{uuid4().hex}.tmp"
        self._file = self._temporary.open("xb", buffering=0)

    def _write(self, data: bytes) -> None:
        with clear_errors("write", self._path):
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]

    def _commit(self) -> None:
        with clear_errors("write", self._path):
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.rename(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:  # so that the name survives a power cut too
                os.fsync(folder)
            finally:
                os.close(folder)

    def _abort(self) -> None:
        with clear_errors("clean up after", self._path):
            self._file.close()
            self._temporary.unlink(missing_ok=True)


@contextmanager
def clear_errors(verb: str, path: Path) -> Iterator[None]:
    """Raise an OSError of the block as a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see to the disk, then run again")
        raise StoreError(f"cannot {verb} {path}: {words(error)}; {remedy}") from error


def _version(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
