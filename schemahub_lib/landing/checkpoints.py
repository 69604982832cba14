"""How far a product's landing came: one small JSON file a product, whole or not there, never taken for another.

    {"last_trade_id": 12345678, "trades_processed": 1000000, "last_updated": "2025-12-15T10:30:45.123456Z",
     ..., "checksum": "sha256:..."}

A write is conditional on the version read before, so of two writers the second fails. The checksum is over everything
else in the file, so that no damage goes unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemahub_lib.errors import CheckpointCorrupt, Conflict
from schemahub_lib.landing.store import Store

CHECKSUM = "checksum"
# What a file without a checksum must consist of: the client's own tool writes such.
FOREIGN = ({"last_trade_id", "trades_processed", "last_updated"}, {"last_trade_id", "last_updated"})


@dataclass(frozen=True)
class Checkpoint:
    """`last_trade_id` is how far it came; `trades_processed` is None where they are not counted, as in a watermark.

    `details` are further keys of the file, of JSON values; a `product` or `source` there is checked on loading.
    """

    last_trade_id: str
    trades_processed: int | None
    last_updated: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one kind in a store: `key` tells where a product's lies. Threads may share it, a product each.

    `source` is the exchange they are of, for those that tell theirs.
    """

    def __init__(self, store: Store, key: Callable[[str], str], source: str | None = None) -> None:
        self._store, self._key, self._source = store, key, source
        self._versions: dict[str, str] = {}

    def load(self, product: str) -> Checkpoint | None:
        """A product's checkpoint, None where there is none.

        Raises CheckpointCorrupt, with the file set aside, when it is no sound checkpoint of this product; StoreError.
        """
        key = self._key(product)
        self._versions.pop(product, None)
        stored = self._store.read(key)
        if stored is None:
            return None
        try:
            checkpoint = _read(stored.body, product, self._source)
        except ValueError as error:
            aside = self._store.set_aside(key)
            raise CheckpointCorrupt(
                f"{self._store.uri}/{key} is no checkpoint of {product}: {error}. It was set aside as {aside}; "
                "rebuild the checkpoint from the landed objects"
            ) from error
        self._versions[product] = stored.version
        return checkpoint

    def save(self, product: str, checkpoint: Checkpoint) -> None:
        """Write over the version that was loaded or saved last; a new file where none was.

        Raises Conflict when the file is another by now; ValueError when it could not be read back; StoreError.
        """
        key = self._key(product)
        body = _written(checkpoint)
        _read(body, product, self._source)
        try:
            self._versions[product] = self._store.write(key, body, expected=self._versions.get(product))
        except Conflict as error:
            raise Conflict(
                f"{product}: another run wrote {self._store.uri}/{key} since this one read it, so this one must not "
                "go on; nothing was overwritten. Let one run at a time land a product"
            ) from error


def _written(checkpoint: Checkpoint) -> bytes:
    last = checkpoint.last_trade_id
    document: dict[str, Any] = {"last_trade_id": int(last) if _is_plain(last) else last}
    if checkpoint.trades_processed is not None:
        document["trades_processed"] = checkpoint.trades_processed
    document["last_updated"] = f"{checkpoint.last_updated.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    if clash := (FOREIGN[0] | {CHECKSUM}) & set(checkpoint.details):
        raise ValueError(f"{', '.join(sorted(clash))} cannot be a detail")
    document |= checkpoint.details
    return json.dumps(document | {CHECKSUM: _checksum(document)}, allow_nan=False).encode() + b"\n"


def _read(body: bytes, product: str, source: str | None) -> Checkpoint:
    """Raises ValueError with what is wrong."""
    try:
        document = json.loads(body.decode())  # bytes might be taken for UTF-16
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    if CHECKSUM in document:
        told = document.pop(CHECKSUM)
        if told != _checksum(document):
            raise ValueError("the checksum is not that of its content")
    elif set(document) not in FOREIGN:
        raise ValueError("there is no checksum")
    last, processed = document.pop("last_trade_id", None), document.pop("trades_processed", None)
    if not (_is_count(last) or (isinstance(last, str) and last and not last.startswith("-"))):
        raise ValueError(f"last_trade_id is {last!r:.60}, not a trade's id")
    if processed is not None and not _is_count(processed):
        raise ValueError(f"trades_processed is {processed!r:.60}, not a number of trades")
    updated = document.pop("last_updated", None)
    if not isinstance(updated, str):
        raise ValueError(f"last_updated is {updated!r:.60}, not a time")
    when = datetime.fromisoformat(updated)
    for name, expected in (("product", product), ("source", source)):
        if expected is not None and document.get(name, expected) != expected:
            raise ValueError(f"{name} is {document[name]!r:.60}, not {expected}")
    return Checkpoint(str(last), processed, when if when.tzinfo else when.replace(tzinfo=UTC), document)


def _checksum(document: Mapping[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_plain(text: str) -> bool:
    """Whether a JSON integer gives the same text back."""
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
