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
TURN = 0.5  # seconds within which whoever waits tries again
EXPIRY = 300.0  # seconds after which a lock object in S3 counts as left behind


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
            time.sleep(random.uniform(0.1, TURN))
    if not held:
        log.warning("%s has been held for %.0f s: going on without it", uri, PATIENCE)
    try:
        yield held
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
