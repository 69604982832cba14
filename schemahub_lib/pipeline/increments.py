"""What each raw table gained since it was last unified, told from its snapshots alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import State

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot
    from pyspark.sql import DataFrame

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Increment:
    """What one raw table gained: `rows` rows in the snapshots after `start` (None: all of it) up to `end`.

    `undone` is the snapshot last unified, when the table was rolled back to `start` since: what lies between the two
    is in the unified table and no longer in raw.
    """

    spec: MappingSpec
    start: int | None
    end: int
    rows: int
    undone: int | None = None


def increments(specs: Sequence[MappingSpec], heads: Mapping[str, IcebergTable], state: State) -> list[Increment]:
    """The sources whose raw table changed since `state`."""
    found = []
    for spec in specs:
        if spec.source not in heads:
            continue
        raw = heads[spec.source]
        head, start, undone = raw.metadata.current_snapshot_id, state.sources.get(spec.source), None
        if head is None or head == start:
            continue
        rows = appended_rows(raw, start, head)
        if rows is None and start is not None and (common := _fork(raw, start, head)) is not None:
            start, undone, rows = common, start, appended_rows(raw, common, head)
            log.warning("%s was rolled back to snapshot %s: what it lost leaves the unified table", spec.source, common)
        if rows is None:
            log.warning(
                "%s: the last unified snapshot %s is gone; comparing all rows by key (rows that were rolled back stay, "
                "until `run unify --full-refresh`)",
                *(spec.source, start),
            )
            start, rows = None, total_records(raw, head)
        if rows or undone:
            found.append(Increment(spec, start, head, rows, undone))
    return found


def appended_rows(raw: IcebergTable, start: int | None, end: int) -> int | None:
    """Rows appended after snapshot `start` up to `end`; None when `start` is not among the ancestors of `end`."""
    from pyiceberg.table.snapshots import Operation

    if start is None:
        return total_records(raw, end)
    rows = 0
    for snapshot in _back_from(raw, end):
        if snapshot.snapshot_id == start:
            return rows
        if snapshot.summary is not None and snapshot.summary.operation == Operation.APPEND:
            rows += int(snapshot.summary.get("added-records") or 0)
    return None


def total_records(table: IcebergTable, snapshot_id: int) -> int:
    """The rows of the table at a snapshot, from its summary."""
    snapshot = table.snapshot_by_id(snapshot_id)
    return int((snapshot.summary.get("total-records") if snapshot and snapshot.summary else None) or 0)


def _fork(table: IcebergTable, one: int, other: int) -> int | None:
    """The newest snapshot that two have both come from; None where it is expired."""
    ancestors = {snapshot.snapshot_id for snapshot in _back_from(table, other)}
    return next((s.snapshot_id for s in _back_from(table, one) if s.snapshot_id in ancestors), None)


def _back_from(table: IcebergTable, snapshot_id: int) -> Iterator[Snapshot]:
    snapshot = table.snapshot_by_id(snapshot_id)
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent is not None else None


def read_increment(lake: Lake, source: str, start: int | None, end: int) -> DataFrame:
    """The rows that a raw table gained between two snapshots, or all that it has at `end`."""
    reader = lake.spark.read.format("iceberg")
    if start in (None, end):
        rows = reader.option("snapshot-id", end).load(lake.identifier(source))
        return rows if start is None else rows.limit(0)  # Iceberg refuses an empty range
    return reader.option("start-snapshot-id", start).option("end-snapshot-id", end).load(lake.identifier(source))
