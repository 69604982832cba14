"""What a table's main branch has been: every publish, from the metadata alone.

A publish makes its snapshots on a branch first and moves main to the last of them later. What a reader of main saw at
a time is told by the table's snapshot log, which notes when main moved, and not by the snapshots' own times.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

from schemahub_lib.errors import UsageError
from schemahub_lib.tables.snapshots import added_rows, ancestors, figure, is_ancestor
from schemahub_lib.tables.state import RUN_ID

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot, SnapshotLogEntry


@dataclass(frozen=True)
class Publish:
    """One move of main to `snapshot_id`.

    `operation` names what its snapshots did (`append`, `delete, append`, …), or is `rollback` when main went back to a
    head it had before. `added_rows` counts the rows of its snapshots, less those they removed; None where some of these
    are expired. A head is `rolled_back`
    when main's present head does not descend from it.
    """

    published_at: datetime
    snapshot_id: int
    operation: str
    run_id: str | None
    added_rows: int | None
    total_rows: int
    files: int
    rolled_back: bool


def publishes(table: IcebergTable) -> list[Publish]:
    """Every publish that expiry has left, newest first."""
    present = {snapshot.snapshot_id for snapshot in ancestors(table, table.metadata.current_snapshot_id)}
    ends = {snapshot.snapshot_id for snapshot in table.metadata.snapshots if _run_id(snapshot)}
    unbroken = _unbroken_log(table)
    # What main was, or went past, by then; of what is not told of any more the heads alone.
    been = {entry.snapshot_id for entry in table.metadata.snapshot_log[: -len(unbroken) or None]}
    found: list[Publish] = []
    for entry in reversed(unbroken):
        head, *before = ancestors(table, entry.snapshot_id)
        made = [head, *takewhile(lambda snapshot: snapshot.snapshot_id not in ends, before)]
        if head.snapshot_id in been:
            made = []
        operations = dict.fromkeys(_operation(snapshot) for snapshot in reversed(made))
        found.append(
            Publish(
                datetime.fromtimestamp(entry.timestamp_ms / 1000, UTC),
                head.snapshot_id,
                ", ".join(operations) or "rollback",
                _run_id(head),
                added_rows(made) if _is_whole(table, made) else None,
                figure(head, "total-records"),
                figure(head, "total-data-files"),
                head.snapshot_id not in present,
            )
        )
        been |= {head.snapshot_id, *(snapshot.snapshot_id for snapshot in before)}
        ends.add(head.snapshot_id)
    return found[::-1]


def _is_whole(table: IcebergTable, made: list[Snapshot]) -> bool:
    """Whether no snapshot of a publish can be expired: a mark that adds nothing has others before it."""
    if not made or made[-1].sequence_number == 1 or added_rows(made[-1:]) > 0:
        return True
    parent = made[-1].parent_snapshot_id  # pyiceberg's expiry leaves none, Spark's the one that is gone
    return parent is not None and table.snapshot_by_id(parent) is not None


def head_as_of(table: IcebergTable, moment: datetime) -> int:
    """The snapshot that readers of main saw at a time. Raises UsageError before the first that is told of."""
    from pyiceberg.utils.datetime import datetime_to_millis

    log = _unbroken_log(table)
    for entry in log:
        if entry.timestamp_ms <= datetime_to_millis(moment):
            return entry.snapshot_id
    name, asked = table.name()[-1], f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    if not log:
        raise UsageError(f"{name} has no snapshot yet, so there is nothing to see at {asked}")
    first = table.snapshot_by_id(log[-1].snapshot_id)
    since = f"{datetime.fromtimestamp(log[-1].timestamp_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    if first is not None and first.sequence_number == 1:
        raise UsageError(f"{name} did not exist at {asked}: it was made at {since} UTC")
    raise UsageError(f"what {name} held at {asked} is expired: the earliest time that can be seen is {since} UTC")


def _unbroken_log(table: IcebergTable) -> list[SnapshotLogEntry]:
    """When main moved where, newest first, back to the first head whose predecessor is expired.

    Expiry by pyiceberg takes single entries out of the log, wherever the snapshot was not kept by a tag: what main was
    between the neighbours of such a hole is not known.
    """
    log = list(reversed(table.metadata.snapshot_log))
    for place, entry in enumerate(log):
        if table.snapshot_by_id(entry.snapshot_id) is None:
            return log[:place]
        if place + 1 < len(log) and not _follows(table, entry.snapshot_id, log[place + 1 :]):
            return log[: place + 1]
    return log


def _follows(table: IcebergTable, head: int, earlier: list[SnapshotLogEntry]) -> bool:
    """Whether main can have moved to `head` right from the latest of the `earlier` ones, newest first."""
    before = earlier[0].snapshot_id
    if head == before:
        return False
    if any(entry.snapshot_id == head for entry in earlier):  # a rollback, or one that was undone
        return True
    return is_ancestor(table, before, of=head) or is_ancestor(table, head, of=before)


def _operation(snapshot: Snapshot) -> str:
    return snapshot.summary.operation.value if snapshot.summary else "unknown"


def _run_id(snapshot: Snapshot) -> str | None:
    return snapshot.summary.additional_properties.get(RUN_ID) if snapshot.summary else None
