"""What each raw table gained since it was last unified, told from its snapshots alone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Outdated
from schemahub_lib.tables.snapshots import added_rows, beyond, figure, fork, is_ancestor
from schemahub_lib.tables.state import State

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
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

    @property
    def snapshots(self) -> tuple[int, ...]:
        """Those of the raw table by which it is read."""
        return tuple(snapshot for snapshot in (self.start, self.end, self.undone) if snapshot is not None)


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
        if rows is None and start is not None and (common := fork(raw, start, head)) is not None:
            start, undone, rows = common, start, appended_rows(raw, common, head)
            log.warning("%s was rolled back to snapshot %s: what it lost leaves the unified table", spec.source, common)
        if rows is None:
            log.warning(
                "%s: the last unified snapshot %s is gone; comparing all rows by key (rows that were rolled back stay, "
                "until `run unify --full-refresh`)",
                *(spec.source, start),
            )
            start, rows = None, figure(raw.snapshot_by_id(head), "total-records")
        if rows or undone:
            found.append(Increment(spec, start, head, rows, undone))
    return found


def appended_rows(raw: IcebergTable, start: int | None, end: int) -> int | None:
    """Rows appended after snapshot `start` up to `end`; None when `start` is not among the ancestors of `end`."""
    if start is None:
        return figure(raw.snapshot_by_id(end), "total-records")
    return added_rows(beyond(raw, end, start)) if is_ancestor(raw, start, of=end) else None


@contextmanager
def reading(lake: Lake, snapshots: Mapping[str, Collection[int]]) -> Iterator[None]:
    """A block that reads raw tables at these snapshots. Raises Outdated when it failed and one of them is gone by now:
    maintenance that keeps nothing, or less than a run takes, expires what raw tables have moved on from."""
    try:
        yield
    except Exception as error:
        for source, needed in snapshots.items():
            raw = lake.find(source)
            if raw is None or not all(raw.snapshot_by_id(snapshot) for snapshot in needed):
                raise Outdated(f"snapshots of {source} were expired while they were read") from error
        raise


def read_increment(lake: Lake, source: str, start: int | None, end: int) -> DataFrame:
    """The rows that a raw table gained between two snapshots, or all that it has at `end`."""
    reader = lake.spark.read.format("iceberg")
    if start in (None, end):
        rows = reader.option("snapshot-id", end).load(lake.identifier(source))
        return rows if start is None else rows.limit(0)  # Iceberg refuses an empty range
    return reader.option("start-snapshot-id", start).option("end-snapshot-id", end).load(lake.identifier(source))
