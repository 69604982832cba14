"""An advisory lock per table around a publish. It saves racing writers wasted work; correctness is the fence's."""

from __future__ import annotations

import fcntl
import json
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from schemahub_lib.config import Settings

log = logging.getLogger(__name__)

PATIENCE = 120.0  # seconds to wait for another writer; after that, try without the lock
EXPIRY = 300.0  # seconds after which a lock object in S3 counts as left behind


@contextmanager
def publish_lock(settings: Settings, table: str, owner: str) -> Iterator[None]:
    """Hold the table's lock for the block, or go on without it after `PATIENCE` seconds."""
    if settings.profile == "local":
        with _file_lock(Path(settings.warehouse) / ".locks" / f"{table}.lock"):
            yield
    else:
        with _object_lock(f"{settings.warehouse}/_locks/{settings.database}.{table}.json", owner):
            yield


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:  # the kernel lets go of it when the process dies, however it dies
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    log.warning("%s has been held for %.0f s: going on without it", path, PATIENCE)
                    break
                time.sleep(random.uniform(0.02, 0.1))
        yield


@contextmanager
def _object_lock(uri: str, owner: str) -> Iterator[None]:
    import boto3
    from botocore.exceptions import ClientError

    parts = urlsplit(uri)
    place = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    s3 = boto3.client("s3")
    deadline = time.monotonic() + PATIENCE
    held = False
    while not held and time.monotonic() < deadline:
        body = json.dumps({"owner": owner, "expires": time.time() + EXPIRY}).encode()
        try:
            s3.put_object(**place, Body=body, IfNoneMatch="*")
            held = True
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            _drop_expired(s3, place)
            time.sleep(random.uniform(0.1, 0.5))
    if not held:
        log.warning("%s has been held for %.0f s: going on without it", uri, PATIENCE)
    try:
        yield
    finally:
        if held:
            s3.delete_object(**place)


def _drop_expired(s3: object, place: dict[str, str]) -> None:
    from botocore.exceptions import ClientError

    try:
        lock = json.loads(s3.get_object(**place)["Body"].read())  # type: ignore[attr-defined]
    except ClientError:  # released meanwhile
        return
    if lock["expires"] < time.time():
        log.warning("removing the lock that %s left behind", lock["owner"])
        s3.delete_object(**place)  # type: ignore[attr-defined]
