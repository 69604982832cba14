"""How far a product's landing has come, in one small JSON file a product: written whole, or not at all.

    {"last_trade_id": 12345678, "trades_processed": 1000000, "last_updated": "2025-12-15T10:30:45.123456Z",
     ..., "checksum": "sha256:..."}

Writes are conditional on the version read before, so that of two writers the second fails. A file that is no sound
checkpoint is set aside and never taken for another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemahub_lib.errors import CheckpointCorrupt, Conflict
from schemahub_lib.landing.store import CORRUPT, Store

# What a file without a checksum may hold: those that the first version of this tool wrote.
PLAIN = frozenset(("last_trade_id", "trades_processed", "last_updated"))
CHECKSUM = "checksum"


@dataclass(frozen=True)
class Checkpoint:
    """`last_trade_id` is how far it came; `trades_processed` is None for a watermark, which does not count them.

    `details` are further keys of the file; where they tell `source` and `product`, those are checked.
    """

    last_trade_id: str
    trades_processed: int | None
    last_updated: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one kind in a store. `key` is where a product's lies. Threads may share it, one a product."""

    def __init__(self, store: Store, source: str, key: Callable[[str], str]) -> None:
        self.store, self._source, self._key = store, source, key
        self._versions: dict[str, str | None] = {}

    def load(self, product: str, *, set_aside: bool = True) -> Checkpoint | None:
        """A product's checkpoint; None where there is none.

        Raises CheckpointCorrupt once a file that is no checkpoint of this product has been set aside, and again as long
        as nothing was saved in its place: whoever died meanwhile must not seem never to have begun. With `set_aside`
        off the file stays where it is. Raises StoreError.
        """
        key = self._key(product)
        stored = self.store.read(key)
        self._versions[product] = stored.version if stored else None
        if stored is None:
            if left := next(self.store.list(f"{key}{CORRUPT}"), None):
                raise CheckpointCorrupt(
                    f"{self.store.uri}/{key} is missing since it was set aside as {left.key}, being no checkpoint"
                )
            return None
        try:
            return _read(stored.body, self._source, product)
        except ValueError as error:
            told = f"{self.store.uri}/{key} is no checkpoint of {product} ({error})"
            if set_aside:
                told += f"; it is now {self.store.set_aside(key)}"
                self._versions[product] = None
            raise CheckpointCorrupt(told) from error

    def save(self, product: str, checkpoint: Checkpoint) -> None:
        """Write over the version that was loaded or saved last. Raises Conflict when there is another, StoreError."""
        key = self._key(product)
        try:
            version = self.store.write(key, _written(checkpoint), expected=self._versions.get(product))
        except Conflict as error:
            raise Conflict(
                f"{product}: another run has moved {self.store.uri}/{key} meanwhile, so this one stops; nothing was "
                "overwritten. Let one run at a time land a product"
            ) from error
        self._versions[product] = version


def _written(checkpoint: Checkpoint) -> bytes:
    last = checkpoint.last_trade_id
    document: dict[str, Any] = {"last_trade_id": int(last) if _plain_number(last) else last}
    if checkpoint.trades_processed is not None:
        document["trades_processed"] = checkpoint.trades_processed
    document["last_updated"] = f"{checkpoint.last_updated.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    document |= checkpoint.details
    document[CHECKSUM] = _checksum(document)
    return json.dumps(document, indent=1).encode() + b"\n"


def _read(body: bytes, source: str, product: str) -> Checkpoint:
    """Raises ValueError with what is wrong."""
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    told = document.pop(CHECKSUM, None)
    if told is None and not set(document) <= PLAIN:
        raise ValueError("it has no checksum")
    if told is not None and (told != _checksum(document) or not body.endswith(b"}\n")):
        raise ValueError("its checksum is another")
    last, processed = document.pop("last_trade_id", None), document.pop("trades_processed", None)
    updated = document.pop("last_updated", None)
    if isinstance(last, bool) or not ((isinstance(last, int) and last >= 0) or (isinstance(last, str) and last)):
        raise ValueError(f"last_trade_id is {last!r:.60}")
    if processed is not None and (isinstance(processed, bool) or not isinstance(processed, int) or processed < 0):
        raise ValueError(f"trades_processed is {processed!r:.60}")
    if not isinstance(updated, str):
        raise ValueError(f"last_updated is {updated!r:.60}")
    when = datetime.fromisoformat(updated)
    for name, expected in (("source", source), ("product", product)):
        if document.get(name, expected) != expected:
            raise ValueError(f"it is of {name} {document[name]!r:.60}")
    return Checkpoint(str(last), processed, when if when.tzinfo else when.replace(tzinfo=UTC), document)


def _checksum(document: Mapping[str, Any]) -> str:
    body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _plain_number(text: str) -> bool:
    """Whether JSON's integer gives the same text back."""
    return text.isascii() and text.isdigit() and str(int(text)) == text
