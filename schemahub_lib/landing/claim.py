"""One writer a product: whoever lands a product claims it first.

Conditional checkpoints alone are too late: two writers that set out from one checkpoint write objects of the same
names before either saves. In a folder the claim is a lock of the kernel's, which lets go when the process dies. In a
bucket it is an object that its holder renews. Who finds it there watches it: while it changes, its holder lives; when
it stays the same for `DEAD` renewals, the holder is dead, and a conditional write lets one of those waiting have it. No
clock is compared with another, so one that is an hour off does no harm.
"""

from __future__ import annotations

import fcntl
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

from schemahub_lib.errors import Conflict, StoreError
from schemahub_lib.landing.local import LocalStore, clear_errors
from schemahub_lib.landing.store import Store, Stored

log = logging.getLogger(__name__)

RENEW = 10.0  # seconds between a holder's renewals
DEAD = 2.5  # times that without one: the holder is dead


class Claim:
    """What a holder has. `lost` is set once it is known that another writer has it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.lost = threading.Event()

    def check(self) -> None:
        """Raises Conflict when the claim is lost, so that nothing more is written; StoreError when it may be."""
        if self.lost.is_set():
            raise Conflict(
                f"another {self._what} took over, because this one seemed dead; nothing more was written here. "
                "Let that one go on"
            )


@contextmanager
def claim(store: Store, key: str, owner: str, *, what: str = "run", renew: float = RENEW) -> Iterator[Claim]:
    """Hold the claim at `key` for the block.

    Others are told `owner`, and `what` this is, e.g. 'backfill of BTC-USD'. `renew` is in seconds and must be the same
    for all. Raises Conflict when another has it: at once in a folder, in a bucket after it was seen to be alive, or
    when it was lost to another; StoreError.
    """
    told = {"owner": owner, "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}
    if isinstance(store, LocalStore):
        with _locked(store, key, what, told):
            yield Claim(what)
        return
    held = _ObjectClaim(store, key, what, told, renew)
    held.take()
    renewing = threading.Thread(target=held.keep, name=f"claim {key}", daemon=True)
    renewing.start()
    try:
        yield held
    finally:
        held.done.set()
        renewing.join()
        held.release()


@contextmanager
def _locked(store: LocalStore, key: str, what: str, told: dict[str, str]) -> Iterator[None]:
    path = store.path(key)
    with clear_errors("claim", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _taken(what, file.read()) from None
        with clear_errors("claim", path):
            file.truncate(0)
            file.write(json.dumps(told).encode())
            file.flush()
        # The file stays: who deleted it would let a third in beside one that has it open already.
        yield


class _ObjectClaim(Claim):
    def __init__(self, store: Store, key: str, what: str, told: dict[str, str], renew: float) -> None:
        super().__init__(what)
        self.done = threading.Event()
        self._store, self._key, self._renew = store, key, renew
        self._told = told | {"claim": uuid4().hex}
        self._beat = 0
        self._version = ""
        self._renewed = 0.0  # when, at the latest, the version came to be
        self._one_at_a_time = threading.Lock()

    def take(self) -> None:
        """Raises Conflict when another has it and is alive."""
        expected: str | None = None
        while True:
            try:
                self._write(expected)
                return
            except Conflict:
                found = self._store.read(self._key)
            if found is not None and expected is not None:
                raise _taken(self._what, found.body)  # somebody else saw that the holder was dead, and was faster
            seen = self._watch(found) if found else None
            if found and seen and seen.version != found.version:
                raise _taken(self._what, seen.body)
            expected = seen.version if seen else None

    def keep(self) -> None:
        """Renew until it is done or lost."""
        while not self.done.wait(self._renew) and not self.lost.is_set():
            try:
                self._extend()
            except StoreError as error:
                log.debug("the claim of %s could not be renewed: %s", self._what, error)

    def check(self) -> None:
        # Others wait as long as this from when they see the last renewal, so until then nobody can have it.
        if not self.lost.is_set() and time.monotonic() - self._renewed > DEAD * self._renew:
            self._extend()
        super().check()

    def release(self) -> None:
        """Delete it, if it is still ours."""
        try:
            if not self.lost.is_set():
                self._extend()  # from now on nobody else can have it for a while
            if not self.lost.is_set():
                self._store.delete(self._key)
        except StoreError as error:
            log.warning(
                "the claim of %s could not be given back, so the next must wait a moment: %s", self._what, error
            )

    def _extend(self) -> None:
        with self._one_at_a_time:
            try:
                self._write(self._version)
            except Conflict:
                # A renewal whose answer never came may have arrived.
                found = self._store.read(self._key)
                if found is None or _content(found.body).get("claim") != self._told["claim"]:
                    self.lost.set()
                else:
                    self._version = found.version

    def _write(self, expected: str | None) -> None:
        started = time.monotonic()
        self._beat += 1
        body = json.dumps(self._told | {"beat": self._beat}).encode()
        self._version = self._store.write(self._key, body, expected=expected)
        self._renewed = started

    def _watch(self, found: Stored) -> Stored | None:
        """The claim once it is another, or gone, or has been the same for so long that its holder is dead."""
        log.info("%s is claimed (%s): watching whether its holder is alive", self._what, _who(found.body))
        deadline = time.monotonic() + DEAD * self._renew
        seen: Stored | None = found
        while seen and seen.version == found.version and time.monotonic() < deadline:
            time.sleep(self._renew / 10)
            seen = self._store.read(self._key)
        return seen


def _taken(what: str, body: bytes) -> Conflict:
    return Conflict(f"another {what} is running ({_who(body)}); stop it, or wait for its end")


def _who(body: bytes) -> str:
    told = _content(body)
    return f"{told['owner']}, since {told['since']}" if {"owner", "since"} <= set(told) else "it does not say whose"


def _content(body: bytes) -> dict[str, object]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
