"""One writer a product: whoever lands a product claims it first.

Two writers that set out from one checkpoint would write objects of the same name, the second over the first one's.
Checkpoints are conditional writes, but a checkpoint comes after its object, so they alone cannot prevent that.
In a folder a claim is a lock of the kernel's, which lets go of it when the process dies. In S3 it is an object that its
holder renews; one that is not renewed for a while belongs to a dead process and is taken over. Whether it is renewed
is seen from its changing: no clock is compared, so a clock that is an hour off does no harm.
"""

from __future__ import annotations

import fcntl
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from schemahub_lib.errors import Conflict, SchemaHubError, StoreError
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.store import Store

log = logging.getLogger(__name__)

RENEW = 10.0  # seconds between a holder's renewals
DEAD = 2.5  # times RENEW without one: the holder is dead


class Claim:
    """What a holder has; `lost` is set once somebody else took it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.lost = threading.Event()

    def check(self) -> None:
        """Raises Conflict when the claim is lost: nothing more may be written."""
        if self.lost.is_set():
            raise Conflict(
                f"{self._what}: another run took over, because this one seemed dead; nothing more is written"
            )


@contextmanager
def claim(store: Store, key: str, what: str, owner: str, *, renew: float = RENEW) -> Iterator[Claim]:
    """Hold the claim at `key` for the block. `what` is claimed, in words; `owner` tells others who holds it.

    Raises Conflict when somebody holds it who is alive, StoreError.
    """
    told = json.dumps({"owner": owner, "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}).encode()
    if isinstance(store, LocalStore):
        with _kernels_lock(store, key, what, told):
            yield Claim(what)
        return
    held = Claim(what)
    version = _take(store, key, what, told, renew)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(store, key, told, version, held, done, renew), daemon=True)
    renewing.start()
    try:
        yield held
    finally:
        done.set()
        renewing.join()
        if not held.lost.is_set():
            # Whoever would take it over now would have to wait for us to look dead first.
            with suppress(StoreError):
                store.delete(key)


@contextmanager
def _kernels_lock(store: LocalStore, key: str, what: str, told: bytes) -> Iterator[None]:
    path = store.path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _taken(what, file.read()) from None
        file.truncate(0)
        file.write(told)
        file.flush()
        yield


def _take(store: Store, key: str, what: str, told: bytes, renew: float) -> str:
    """The version of the claim, once it is ours."""
    expected: str | None = None
    while True:
        try:
            return store.write(key, _fresh(told), expected=expected)
        except Conflict:
            found = store.read(key)
        expected = found.version if found else None
        if found is not None:
            log.info("%s is claimed (%s); waiting whether its holder is alive", what, _who(found.body))
            if _changes(store, key, found.version, DEAD * renew):
                now = store.read(key)
                if now is not None:
                    raise _taken(what, now.body)
                expected = None


def _changes(store: Store, key: str, version: str, seconds: float) -> bool:
    """Whether the claim becomes another, or goes, in that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(min(1.0, seconds / 10))
        found = store.read(key)
        if found is None or found.version != version:
            return True
    return False


def _renew(
    store: Store, key: str, told: bytes, version: str, held: Claim, done: threading.Event, seconds: float
) -> None:
    """Runs in a thread as long as the claim is held."""
    while not done.wait(seconds):
        try:
            version = store.write(key, _fresh(told), expected=version)
        except Conflict:
            held.lost.set()
            return
        except SchemaHubError as error:  # the next try may come in time
            log.debug("%s could not be renewed: %s", key, error)


def _fresh(told: bytes) -> bytes:
    """The claim as never before, so that its version is a new one."""
    return json.dumps(json.loads(told) | {"beat": time.time_ns()}).encode()


def _taken(what: str, told: bytes) -> Conflict:
    return Conflict(f"{what} is being landed by another run ({_who(told)}): let it end, or stop it")


def _who(told: bytes) -> str:
    try:
        found: dict[str, Any] = json.loads(told)
        return f"{found['owner']}, since {found['since']}"
    except (ValueError, KeyError, TypeError):
        return "who it is does not show yet"
