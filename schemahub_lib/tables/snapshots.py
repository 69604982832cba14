"""A table's snapshots, read from its metadata alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot


def ancestors(table: IcebergTable, snapshot_id: int | None) -> Iterator[Snapshot]:
    """A snapshot and those before it, newest first, as far as expiry has left them."""
    by_id = {snapshot.snapshot_id: snapshot for snapshot in table.metadata.snapshots}
    while snapshot_id is not None and snapshot_id in by_id:
        snapshot = by_id[snapshot_id]
        yield snapshot
        snapshot_id = snapshot.parent_snapshot_id


def is_ancestor(table: IcebergTable, snapshot_id: int | None, of: int | None) -> bool:
    """Whether a snapshot is another one, or came before it."""
    return any(snapshot.snapshot_id == snapshot_id for snapshot in ancestors(table, of))


def beyond(table: IcebergTable, head: int, base: int | None) -> list[Snapshot]:
    """The snapshots that `head` has and `base` has not, newest first."""
    shared = {snapshot.snapshot_id for snapshot in ancestors(table, base)}
    return list(takewhile(lambda snapshot: snapshot.snapshot_id not in shared, ancestors(table, head)))


def fork(table: IcebergTable, one: int, other: int) -> int | None:
    """The newest snapshot that two have both come from; None where it is expired."""
    shared = {snapshot.snapshot_id for snapshot in ancestors(table, other)}
    return next((s.snapshot_id for s in ancestors(table, one) if s.snapshot_id in shared), None)


def added_rows(snapshots: Iterable[Snapshot]) -> int:
    """The rows that snapshots added, less those they removed: a compaction adds none."""
    return sum(figure(snapshot, "added-records") - figure(snapshot, "deleted-records") for snapshot in snapshots)


def removed_rows(snapshots: Iterable[Snapshot]) -> int:
    """The rows that snapshots took out, also where others were put in their place by the next one."""
    return sum(max(-added_rows([snapshot]), 0) for snapshot in snapshots)


def figure(snapshot: Snapshot | None, key: str) -> int:
    """A number of a snapshot's summary; 0 where it is not told."""
    return int((snapshot.summary.get(key) if snapshot and snapshot.summary else None) or 0)
