"""Where landed objects and their checkpoints lie: a folder or an S3 bucket, by one interface.

Keys are relative, with forward slashes. Nobody ever sees half an object, on either store. Every failure of the disk or
of S3 comes as a `StoreError` that says what, where and what to do.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from schemahub_lib.errors import UsageError

CORRUPT = ".corrupt-"  # then the time: how the name of what was set aside ends

_bucket = re.compile(r"[A-Za-z0-9._-]{1,255}|arn:aws\S+").fullmatch


@dataclass(frozen=True)
class Stored:
    """An object's content, and the version that a conditional write wants to see."""

    body: bytes
    version: str


@dataclass(frozen=True)
class Entry:
    """A line of a listing. `size` in bytes; equal versions are equal contents."""

    key: str
    size: int
    version: str


class Sink(ABC):
    """An object being written. It is there, whole, after `commit`; never otherwise.

    `with` commits at the block's normal end and aborts on an exception. Once committed or aborted, more of either does
    nothing. One thread may use it.
    """

    def __init__(self) -> None:
        self.size = 0  # bytes written so far
        self.ended = False  # committed or aborted

    def write(self, data: bytes) -> None:
        """Append. May block while storage is slower than the caller. Raises StoreError."""
        if self.ended:
            raise ValueError("written to after commit or abort")
        self._write(data)
        self.size += len(data)

    def commit(self) -> None:
        """Put the object in place of any there was. Raises StoreError, having aborted."""
        if not self.ended:
            try:
                self._commit()
            except BaseException:
                self.abort()
                raise
            self.ended = True

    def abort(self) -> None:
        """Leave nothing behind."""
        if not self.ended:
            self.ended = True
            self._abort()

    @abstractmethod
    def _write(self, data: bytes) -> None: ...

    @abstractmethod
    def _commit(self) -> None: ...

    @abstractmethod
    def _abort(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


class Store(Protocol):
    """Threads may share a store. All methods raise StoreError."""

    uri: str  # 's3://bucket', or the folder's absolute path

    def read(self, key: str) -> Stored | None:
        """A small object, whole; None when there is none."""

    def write(self, key: str, body: bytes, *, expected: str | None) -> str:
        """Write a small object over the version `expected`, or with None a new one; gives its version.

        Of several writers with one expectation exactly one succeeds. Raises Conflict when the object is another.
        """

    def create(self, key: str) -> Sink:
        """A new object, of any size, that replaces whatever there was."""

    def open(self, key: str) -> BinaryIO:
        """An object to read piece by piece; seekable. What it reads is one version, or it raises StoreError."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every object whose key begins with `prefix`, ordered by key."""

    def set_aside(self, key: str) -> str:
        """Rename to `<key>.corrupt-<UTC time>`, which is returned."""

    def delete(self, key: str) -> None:
        """Remove; no matter if there was none."""


def open_store(*, bucket: str | None, out: str | None, make: bool = True) -> Store:
    """The store of `--s3-bucket` or of `--out`, a folder that is made when missing, unless it is only looked at.

    Raises UsageError, StoreError.
    """
    from schemahub_lib.landing.local import LocalStore
    from schemahub_lib.landing.s3 import S3Store

    if bool(bucket) == bool(out):
        raise UsageError("say where the objects go: either --s3-bucket NAME or --out FOLDER")
    if out:
        return LocalStore.make(out) if make else LocalStore(Path(out))
    assert bucket
    if not _bucket(bucket):
        name, _, prefix = bucket.removeprefix("s3://").partition("/")
        remedy = f"--s3-bucket {name}" + (f" --s3-prefix {prefix.rstrip('/')}" if prefix else "")
        raise UsageError(f"{bucket!r} is no bucket's name, which is its name alone: {remedy}")
    return S3Store(bucket)


def at_uri(uri: str) -> tuple[Store, str]:
    """The store of a folder, a file or an `s3://bucket/prefix`, and what keys there begin with.

    Raises UsageError, StoreError.
    """
    if uri.startswith("s3://"):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return open_store(bucket=bucket, out=None), prefix
    folder = Path(uri).expanduser()
    if folder.is_file():
        return open_store(bucket=None, out=str(folder.parent)), folder.name
    if not folder.is_dir():
        raise UsageError(f"{uri}: there is no such folder or file")
    return open_store(bucket=None, out=uri), ""


def corrupt_name(key: str) -> str:
    """What `set_aside` calls an object."""
    return f"{key}{CORRUPT}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
