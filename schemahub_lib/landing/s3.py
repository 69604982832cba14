"""Landed objects in an S3 bucket, or in whatever speaks S3 at AWS_ENDPOINT_URL."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast
from uuid import uuid4

from schemahub_lib.aws import boto_reason
from schemahub_lib.errors import Conflict, StoreError, UsageError
from schemahub_lib.landing.store import Entry, Sink, Stored, corrupt_name

PART = 8 << 20  # bytes; more than this goes up in parts
AT_ONCE = 2  # parts of one object on their way
WAITING = 3  # parts of one object in memory besides, and then `write` waits
CHECKSUM = "CRC32"
READ_TRIES = 4  # connections that may break while one piece is read
WRITER = "schemahub-write"  # metadata that tells a writer its own object

_LOST = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409")


class S3Store:
    """A bucket. Versions are ETags. What a killed process was uploading in parts is never seen, but paid for until the
    bucket's lifecycle rule AbortIncompleteMultipartUpload removes it."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.uri = f"s3://{bucket}"
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def client(self) -> Any:
        """boto3's, made on first use; it is safe to share."""
        with self._lock, self.clear_errors("reach", ""):
            if self._client is None:
                from boto3.session import Session
                from botocore.config import Config

                settings = Config(
                    retries={"mode": "standard", "max_attempts": 6},
                    connect_timeout=10,
                    read_timeout=60,
                    tcp_keepalive=True,
                    max_pool_connections=32,
                )
                try:
                    self._client = Session().client("s3", config=settings)
                except ValueError as error:
                    raise UsageError(f"AWS_ENDPOINT_URL is no URL: {error}") from error
            return self._client

    def read(self, key: str) -> Stored | None:
        try:
            with _Download(self, key) as file:
                return Stored(file.readall(), file.version)
        except StoreError as error:
            if _code(error.__cause__) == "NoSuchKey":
                return None
            raise

    def write(self, key: str, body: bytes, *, expected: str | None) -> str:
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        writer = uuid4().hex
        try:
            with self.clear_errors("write", key):
                metadata = {WRITER: writer}
                put = self.client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata, **condition)
                return str(put["ETag"])
        except StoreError as error:
            if _code(error.__cause__) not in _LOST:
                raise
            # When the first answer is lost, botocore's second try finds the object of the first in its way.
            version = self.version_by(key, writer)
            if version is None:
                raise Conflict(
                    f"another writer changed {self.uri}/{key}; nothing was overwritten. Stop one of the two"
                ) from error
            return version

    def create(self, key: str) -> Sink:
        return _Upload(self, key)

    def open(self, key: str) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Download(self, key), 1 << 20))

    def list(self, prefix: str) -> Iterator[Entry]:
        with self.clear_errors("list", prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield Entry(item["Key"], item["Size"], item["ETag"])

    def set_aside(self, key: str) -> str:
        aside = corrupt_name(key)
        with self.clear_errors("rename", key):
            self.client.copy_object(Bucket=self.bucket, Key=aside, CopySource={"Bucket": self.bucket, "Key": key})
        self.delete(key)
        return aside

    def delete(self, key: str) -> None:
        with self.clear_errors("delete", key):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def version_by(self, key: str, writer: str) -> str | None:
        """The version of the object, if `writer` wrote it."""
        try:
            with self.clear_errors("read", key):
                found = self.client.head_object(Bucket=self.bucket, Key=key)
        except StoreError as error:
            if _code(error.__cause__) in ("404", "NoSuchKey"):
                return None
            raise
        return str(found["ETag"]) if found["Metadata"].get(WRITER) == writer else None

    @contextmanager
    def clear_errors(self, verb: str, key: str) -> Iterator[None]:
        """Raise an error of boto3 as a StoreError that says what to do."""
        try:
            yield
        except Exception as error:
            if reason := boto_reason(error):
                raise StoreError(f"cannot {verb} {self.uri}/{key}".rstrip("/") + f": {reason}") from error
            raise


class _Upload(Sink):
    """In one request when it is small, else in parts that go up from threads while the caller writes on."""

    def __init__(self, store: S3Store, key: str) -> None:
        super().__init__()
        self._store, self._key = store, key
        self._place = {"Bucket": store.bucket, "Key": key}
        self._rest = bytearray()
        self._id = ""
        self._threads: ThreadPoolExecutor | None = None
        self._room = threading.Semaphore(AT_ONCE + WAITING)
        self._parts: list[Future[dict[str, Any]]] = []
        self._failed: StoreError | None = None
        self._writer = uuid4().hex

    def _write(self, data: bytes) -> None:
        if self._failed:
            raise self._failed
        self._rest += data
        # The last part must not be empty, and what fits in one goes up without parts.
        while len(self._rest) > PART:
            self._send(bytes(self._rest[:PART]))
            del self._rest[:PART]

    def _send(self, part: bytes) -> None:
        if self._threads is None:
            with self._store.clear_errors("write", self._key):
                begun = self._store.client.create_multipart_upload(
                    **self._place, Metadata={WRITER: self._writer}, ChecksumAlgorithm=CHECKSUM
                )
            self._id = begun["UploadId"]
            self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._room.acquire()
        if self._failed:
            raise self._failed
        self._parts.append(self._threads.submit(self._upload, len(self._parts) + 1, part))

    def _upload(self, number: int, part: bytes) -> dict[str, Any]:
        try:
            with self._store.clear_errors("write", self._key):
                sent = self._store.client.upload_part(
                    **self._place, UploadId=self._id, PartNumber=number, Body=part, ChecksumAlgorithm=CHECKSUM
                )
        except StoreError as error:
            self._failed = error
            raise
        finally:
            self._room.release()
        return {"PartNumber": number} | {name: sent[name] for name in ("ETag", f"Checksum{CHECKSUM}") if name in sent}

    def _commit(self) -> None:
        if self._threads is None:
            with self._store.clear_errors("write", self._key):
                self._store.client.put_object(**self._place, Body=bytes(self._rest))
            return
        self._send(bytes(self._rest))
        parts = [part.result() for part in self._parts]
        self._threads.shutdown()
        try:
            with self._store.clear_errors("write", self._key):
                self._store.client.complete_multipart_upload(
                    **self._place, UploadId=self._id, MultipartUpload={"Parts": parts}
                )
        except StoreError as error:
            # When the first answer is lost, the second try finds the upload completed, which is gone then.
            ours = _code(error.__cause__) == "NoSuchUpload" and self._store.version_by(self._key, self._writer)
            if not ours:
                raise

    def _abort(self) -> None:
        self._rest.clear()
        if self._threads is not None:
            # A part that arrives after the abort would stay, so those on their way are waited for.
            self._threads.shutdown(cancel_futures=True)
            with suppress(StoreError), self._store.clear_errors("clean up after", self._key):
                self._store.client.abort_multipart_upload(**self._place, UploadId=self._id)


class _Download(io.RawIOBase):
    """One version of an object. A connection that breaks is made again where it broke."""

    def __init__(self, store: S3Store, key: str) -> None:
        self._store, self._key = store, key
        self._place = {"Bucket": store.bucket, "Key": key}
        with store.clear_errors("read", key):
            first = store.client.get_object(**self._place)
        self._size, self.version = int(first["ContentLength"]), first["ETag"]
        self._body: Any = first["Body"]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset != self._at:
            self._hang_up()
            self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(self._size - self._at, 0))
        if not wanted:
            return 0
        for tries_left in reversed(range(READ_TRIES)):
            try:
                with self._store.clear_errors("read", self._key):
                    data = self._read(wanted)
                break
            except StoreError as error:
                self._hang_up()
                if not tries_left or _code(error.__cause__):
                    raise
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, wanted: int) -> bytes:
        if self._body is None:
            rest = self._store.client.get_object(**self._place, Range=f"bytes={self._at}-", IfMatch=self.version)
            self._body = rest["Body"]
        return bytes(self._body.read(wanted))

    def _hang_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        self._hang_up()
        super().close()


def _code(error: BaseException | None) -> str:
    """S3's own name for a refusal; empty for any other error."""
    from botocore.exceptions import ClientError

    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""
