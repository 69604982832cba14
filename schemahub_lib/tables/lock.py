"""An advisory lock per table around a publish. It saves racing writers wasted work; correctness is the fence's."""

from __future__ import annotations

import fcntl
import json
import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from schemahub_lib.config import Settings
from schemahub_lib.errors import words

log = logging.getLogger(__name__)

PATIENCE = 120.0  # seconds to wait for another writer; after that, try without the lock
TURN = 0.5  # seconds within which whoever waits tries again
EXPIRY = 300.0  # seconds after which a lock object in S3 that its holder did not renew counts as left behind


@contextmanager
def publish_lock(settings: Settings, table: str, owner: str) -> Iterator[bool]:
    """Hold the table's lock for the block, or go on without it after `PATIENCE` seconds; tells whether it is held."""
    if settings.profile == "local":
        with _file_lock(Path(settings.warehouse) / ".locks" / f"{table}.lock") as held:
            yield held
    else:
        with _object_lock(f"{settings.warehouse}/_locks/{settings.database}.{table}.json", owner) as held:
            yield held


@contextmanager
def _file_lock(path: Path) -> Iterator[bool]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        deadline = time.monotonic() + PATIENCE
        held = False
        while not held:
            try:  # the kernel lets go of it when the process dies, however it dies
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    log.warning("%s has been held for %.0f s: going on without it", path, PATIENCE)
                    break
                time.sleep(random.uniform(0.02, 0.1))
        yield held


@contextmanager
def _object_lock(uri: str, owner: str) -> Iterator[bool]:
    lock = _LockObject(uri, owner)
    deadline = time.monotonic() + PATIENCE
    held = False
    while not held and time.monotonic() < deadline:
        held = lock.take()
        if not held:
            lock.drop_expired()
            time.sleep(random.uniform(0.1, TURN))
    if not held:
        log.warning("%s has been held for %.0f s: going on without it", uri, PATIENCE)
        yield False
        return
    released = threading.Event()
    renewing = threading.Thread(target=lock.renew_until, args=(released,), name="lock-renewal", daemon=True)
    renewing.start()
    try:
        yield True
    finally:
        released.set()
        renewing.join()
        lock.release()


class _LockObject:
    """An object in S3 that says who holds a lock, and until when. Each change of it is on condition that it is still
    the one that was written or read before."""

    def __init__(self, uri: str, owner: str) -> None:
        import boto3

        parts = urlsplit(uri)
        self._uri, self._owner = uri, owner
        self._place = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
        self._s3 = boto3.client("s3")
        self._version = ""  # of the object as we wrote it last

    def take(self) -> bool:
        """Whether there was no lock and now is ours."""
        from botocore.exceptions import ClientError

        try:
            self._put(IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            return False
        return True

    def renew_until(self, released: threading.Event) -> None:
        """Put its expiry off again and again, as long as the lock is ours."""
        while not released.wait(EXPIRY / 3):
            with self._unless_lost("renewed"):
                self._put(IfMatch=self._version)

    def release(self) -> None:
        with self._unless_lost("released"):
            self._s3.delete_object(**self._place, IfMatch=self._version)

    def drop_expired(self) -> None:
        """Delete somebody's lock whose time is over."""
        from botocore.exceptions import ClientError

        with suppress(ClientError):  # released or renewed meanwhile
            found = self._s3.get_object(**self._place)
            lock = json.loads(found["Body"].read())
            if lock["expires"] < time.time():
                self._s3.delete_object(**self._place, IfMatch=found["ETag"])
                log.warning("removed the lock that %s left behind", lock["owner"])

    def _put(self, **condition: str) -> None:
        body = json.dumps({"owner": self._owner, "expires": time.time() + EXPIRY}).encode()
        self._version = self._s3.put_object(**self._place, Body=body, **condition)["ETag"]

    @contextmanager
    def _unless_lost(self, done: str) -> Iterator[None]:
        """A change of our lock, which may fail: it expires by itself, and correctness does not rest on it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            log.warning("%s could not be %s (%s)", self._uri, done, words(error))
