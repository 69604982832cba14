"""What landed objects are called, and where the files beside them lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

_stem = re.compile(r"raw_([a-z0-9]+)_trades_(.+)_(\d{8}T\d{12}Z)_([^_]+?)(\.jsonl(?:\.gz|\.zst)?|\.parquet)").fullmatch


@dataclass(frozen=True)
class ObjectName:
    """A landed object's key and what it tells: the trade it is named after, of which product."""

    key: str
    source: str
    product: str
    when: datetime
    trade_id: str
    suffix: str


def default_prefix(source: str) -> str:
    return f"schemahub/raw_{source}_trades"


def object_key(prefix: str, source: str, product: str, when: datetime, trade_id: str, suffix: str) -> str:
    """`{prefix}/raw_<source>_trades_{product}_{time}_{trade_id}{suffix}`."""
    moment = f"{when.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
    return f"{prefix}/raw_{source}_trades_{_named(product)}_{moment}_{trade_id}{suffix}"


def parse_key(key: str) -> ObjectName | None:
    """What an object's key tells; None for any other file."""
    match = _stem(key.rpartition("/")[2])
    if match is None:
        return None
    source, product, moment, trade_id, suffix = match.groups()
    try:
        when = datetime.strptime(moment, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return ObjectName(key, source, unquote(product), when, trade_id, suffix)


def checkpoint_key(prefix: str, product: str) -> str:
    """Where a backfill tells how far it came."""
    return f"{prefix}/checkpoints/{_named(product)}.json"


def watermark_key(prefix: str, product: str) -> str:
    """Where `ingest` tells how far it came."""
    return f"{prefix}/ingest_checkpoints/{_named(product)}.json"


def local_checkpoint_key(source: str, product: str) -> str:
    """Where a backfill tells how far it came, in the folder that it runs in."""
    folder = "state" if source == "coinbase" else f"state/{source}"
    return f"{folder}/{_named(product)}.json"


def lock_key(prefix: str, product: str) -> str:
    """The claim of whoever lands a product."""
    return f"{prefix}/locks/{_named(product)}.json"


def quarantine_key(prefix: str, product: str, digest: str) -> str:
    """Rows that are no trades, named after what they hold: the same rows are the same object."""
    return f"{prefix}/quarantine/{_named(product)}_{digest}.jsonl"


def _named(product: str) -> str:
    """A product's name without what parts a path; every other character stays as it is."""
    return re.sub(r"[%/\\\x00-\x1f]", lambda found: quote(found[0], safe=""), product)
