"""The state that travels with the data: watermarks and coverage of every stream, and how far raw tables are unified.

A publish ends with a mark: an empty snapshot whose properties name the run and point, with a sha256, at a JSON file
beside the table's metadata. Whatever head a reader sees, the nearest mark at or above it says exactly what it holds.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from schemahub_lib.errors import SchemaHubError, StateCorrupt, words
from schemahub_lib.tables.snapshots import ancestors, figure
from schemahub_lib.watermark import Watermark

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot

log = logging.getLogger(__name__)

STATE_FILE = "schemahub.state-file"
STATE_SHA256 = "schemahub.state-sha256"
RUN_ID = "schemahub.run-id"

Intervals = tuple[tuple[int, int], ...]  # closed ranges of positions, ascending, not touching


@dataclass(frozen=True)
class Stream:
    """A stream's watermark, and the positions (`Table.position`: ids, or microseconds) of which it has every trade.

    Only history was fetched while there is no watermark: `run ingest` then begins as it does for a new stream.
    """

    watermark: Watermark | None
    covered: Intervals = ()

    @property
    def gaps(self) -> Intervals:
        """The ranges between covered ones."""
        return tuple((low[1] + 1, high[0] - 1) for low, high in pairwise(self.covered))

    def missing(self, low: int, high: int) -> Intervals:
        """The parts of the closed range `low..high` that are not covered."""
        parts = []
        for start, end in self.covered:
            if start > high:
                break
            if end >= low:
                if start > low:
                    parts.append((low, start - 1))
                low = end + 1
        return (*parts, (low, high)) if low <= high else tuple(parts)


@dataclass(frozen=True)
class Pointer:
    """A file beside a table's metadata and the sha256 of its content."""

    file: str
    sha256: str


@dataclass(frozen=True)
class State:
    """What a table's head holds: streams of a raw table, or the last unified snapshot of each raw table.

    `loaded` points at the ledger of the landed objects that were loaded: it may be long, and few publishes change it.
    """

    streams: Mapping[str, Stream] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    loaded: Pointer | None = None

    def with_streams(self, streams: Mapping[str, Stream]) -> State:
        return replace(self, streams={**self.streams, **streams})

    def watermark(self, stream: str) -> Watermark | None:
        """How far a stream is ingested; None where it is not."""
        return self.streams[stream].watermark if stream in self.streams else None

    def to_json(self) -> bytes:
        streams = {
            name: _mark_json(stream.watermark) | {"covered": [list(interval) for interval in stream.covered]}
            for name, stream in sorted(self.streams.items())
        }
        document = {"version": 2, "streams": streams, "sources": dict(sorted(self.sources.items()))}
        document |= {"loaded": asdict(self.loaded)} if self.loaded else {}
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> State:
        document: dict[str, Any] = json.loads(text)
        streams = {
            name: Stream(_mark(entry), tuple((low, high) for low, high in entry["covered"]))
            for name, entry in document["streams"].items()
        }
        return cls(streams, document["sources"], Pointer(**document["loaded"]) if "loaded" in document else None)


def _mark_json(watermark: Watermark | None) -> dict[str, Any]:
    if watermark is None:
        return {}
    return {
        "last_trade_id": watermark.last_trade_id,
        "last_ts": watermark.last_ts.isoformat(),
        "cursor": watermark.cursor,
        "tail": list(watermark.tail),
    }


def _mark(entry: Mapping[str, Any]) -> Watermark | None:
    if "cursor" not in entry:
        return None
    last_ts = datetime.fromisoformat(entry["last_ts"]).astimezone(UTC)
    return Watermark(entry["last_trade_id"], last_ts, entry["cursor"], tuple(entry["tail"]))


def cover(covered: Intervals, low: int, high: int) -> Intervals:
    """`covered` with the closed range `low..high` added (nothing when it is empty); touching ranges become one."""
    if low > high:
        return covered
    merged: list[tuple[int, int]] = []
    for start, end in sorted((*covered, (low, high))):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def write_state(table: IcebergTable, state: State) -> dict[str, str]:
    """Write the state file and return the snapshot properties that point at it."""
    pointer = _write_file(table, state.to_json())
    return {STATE_FILE: pointer.file, STATE_SHA256: pointer.sha256}


def write_loaded(table: IcebergTable, objects: Mapping[str, str]) -> Pointer:
    """Write the ledger of loaded objects: the version of each by its URI."""
    return _write_file(table, json.dumps(dict(sorted(objects.items())), separators=(",", ":")).encode())


def read_loaded(table: IcebergTable, state: State) -> dict[str, str]:
    """The version of each loaded object by its URI. Raises StateCorrupt."""
    if state.loaded is None:
        return {}
    objects: dict[str, str] = json.loads(_read_file(table, state.loaded))
    return objects


def state_folder(table: IcebergTable) -> str:
    """Where the state files are. Removing orphan files passes over names that begin with an underscore."""
    return f"{table.location()}/metadata/_schemahub"


def unreferenced(table: IcebergTable, files: Collection[str]) -> set[str]:
    """Those of the state files that no snapshot points at, directly or through another.

    None while a file that is pointed at cannot be read: what that one points at is not known then.
    """
    left = set(files)
    for snapshot in table.snapshots() if left else ():
        if (pointer := _pointer(snapshot)) is not None:
            try:
                loaded = State.from_json(_read_file(table, pointer)).loaded
            except StateCorrupt as error:
                log.warning("%s; old state files stay until its snapshot is expired", error)
                return set()
            left -= {pointer.file, loaded.file if loaded else ""}
    return left


def _write_file(table: IcebergTable, body: bytes) -> Pointer:
    path = f"{state_folder(table)}/{uuid4()}.json"
    with table.io.new_output(path).create() as file:
        file.write(body)
    return Pointer(path, hashlib.sha256(body).hexdigest())


def read_state(table: IcebergTable, snapshot_id: int | None = None) -> State:
    """The state at a snapshot (default: main's head): that of the nearest mark among it and its ancestors.

    A table without any mark has the empty state. Raises StateCorrupt when the mark's file is missing or altered, or
    when rows are there but every mark has been expired.
    """
    start = table.metadata.current_snapshot_id if snapshot_id is None else snapshot_id
    for snapshot in ancestors(table, start):
        if (pointer := _pointer(snapshot)) is not None:
            return State.from_json(_read_file(table, pointer))
    if figure(table.snapshot_by_id(start) if start is not None else None, "total-records"):
        raise StateCorrupt(f"{'.'.join(table.name())} holds rows, but every snapshot that carried its marks is expired")
    return State()


def is_mark(snapshot: Snapshot) -> bool:
    """Whether a snapshot carries the state."""
    return _pointer(snapshot) is not None


def _pointer(snapshot: Snapshot) -> Pointer | None:
    """Where a snapshot's mark points; None when it carries none."""
    properties = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
    return Pointer(properties[STATE_FILE], properties[STATE_SHA256]) if STATE_FILE in properties else None


def _read_file(table: IcebergTable, pointer: Pointer) -> bytes:
    name, path = ".".join(table.name()), pointer.file
    try:
        with table.io.new_input(path).open() as file:
            body: bytes = file.read()
    except FileNotFoundError as error:
        raise StateCorrupt(f"the state file of {name} cannot be read: {path} ({words(error)})") from error
    except OSError as error:  # of the network or the store: the file may well be there
        raise SchemaHubError(
            f"the state file of {name} cannot be read now: {path} ({words(error)}); run again"
        ) from error
    if hashlib.sha256(body).hexdigest() != pointer.sha256:
        raise StateCorrupt(f"the state file of {name} was altered after it was written: {path}")
    return body
