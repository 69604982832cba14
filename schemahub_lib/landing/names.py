"""What landed objects are called, and the files beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

# Neither times nor trade ids have an underscore, so a product may.
_name = re.compile(
    r"raw_([a-z0-9]+)_trades_(.+)_(\d{8}T\d{12}Z)_([^_]+?)(\.jsonl(?:\.gz|\.zst)?|\.parquet)", re.ASCII
).fullmatch
_TIME = "%Y%m%dT%H%M%S%fZ"
_BESIDE = ("checkpoints", "ingest_checkpoints", "locks", "quarantine")


@dataclass(frozen=True)
class ObjectName:
    """A landed object's key and what it says: the exchange, the product, and the trade it is named after."""

    key: str
    source: str
    product: str
    when: datetime
    trade_id: str
    suffix: str


def default_prefix(source: str) -> str:
    """The folder of an exchange's objects."""
    return f"schemahub/raw_{source}_trades"


def object_key(prefix: str, source: str, product: str, when: datetime, trade_id: str, suffix: str) -> str:
    """`{prefix}/raw_<source>_trades_{product}_{time}_{trade_id}{suffix}`, the time in UTC with microseconds.

    Raises ValueError when `when` has no time zone.
    """
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone")
    time, last = f"{when.astimezone(UTC):{_TIME}}", _encoded(trade_id).replace("_", "%5F")
    return f"{_folder(prefix)}raw_{source}_trades_{_encoded(product)}_{time}_{last}{suffix}"


def parse_key(key: str) -> ObjectName | None:
    """What a key says; None for a file that is no landed object."""
    folder, _, name = key.rpartition("/")
    match = _name(name)
    if match is None or folder.rpartition("/")[2] in _BESIDE:
        return None
    source, product, time, trade_id, suffix = match.groups()
    try:
        when = datetime.strptime(time, _TIME).replace(tzinfo=UTC)
        found = ObjectName(key, source, _decoded(product), when, _decoded(trade_id), suffix)
    except ValueError:
        return None
    # A name that we would have written otherwise is somebody else's.
    return found if key.endswith(object_key("", source, found.product, when, found.trade_id, suffix)) else None


def checkpoint_key(prefix: str, product: str) -> str:
    """Where `backfill` notes how far it came."""
    return f"{_folder(prefix)}checkpoints/{_encoded(product)}.json"


def watermark_key(prefix: str, product: str) -> str:
    """Where `ingest` notes how far it came."""
    return f"{_folder(prefix)}ingest_checkpoints/{_encoded(product)}.json"


def lock_key(prefix: str, job: str, product: str) -> str:
    """Where the one run that does a job on a product claims it."""
    return f"{_folder(prefix)}locks/{job}/{_encoded(product)}.json"


def quarantine_key(prefix: str, product: str, digest: str) -> str:
    """Where rows that are no trades lie, named after what they hold: the same rows are the same object."""
    return f"{_folder(prefix)}quarantine/{_encoded(product)}_{digest}.jsonl"


def local_checkpoint_key(source: str, product: str) -> str:
    """Where `backfill` notes how far it came when that stays on this machine, in the working directory."""
    folder = "state" if source == "coinbase" else f"state/{source}"
    return f"{folder}/{_encoded(product)}.json"


def _folder(prefix: str) -> str:
    """A prefix however it was typed, as keys begin with it."""
    return f"{prefix.strip('/')}/" if prefix.strip("/") else ""


def _encoded(name: str) -> str:
    """As in a URL: Spark cannot read a path with a colon, nor take brackets and stars in one literally."""
    return quote(name, safe="")


def _decoded(name: str) -> str:
    return unquote(name, errors="strict")
