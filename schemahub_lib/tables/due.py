"""What upkeep a table needs, told from its own metadata alone: no JVM, and no rows are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from schemahub_lib.tables.lake import TABLE_PROPERTIES
from schemahub_lib.tables.publish import left_behind
from schemahub_lib.tables.snapshots import ancestors, beyond
from schemahub_lib.tables.state import is_mark

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot

KEEP = timedelta(days=5)  # of snapshots, unless told otherwise
SMALL = 0.75  # of the target file size: below this a file is small
SMALL_FILES = 5  # as many of one partition are worth a rewrite
COLD = timedelta(days=2)  # without a write, and as long past, a day is sorted once and for all
MANY_MANIFESTS = 50
SPARSE = 0.25  # of the target manifest size: below this average, many manifests are too many
SWEEP_EVERY = timedelta(hours=20)  # so that a daily run finds it due, however long yesterday's took
SWEPT_AT = "schemahub.orphans-removed-at"

_TARGET_FILE_SIZE = "write.target-file-size-bytes"
_TARGET_MANIFEST_SIZE = "commit.manifest.target-size-bytes"
_MANIFEST_SIZE = 8 * 2**20  # Iceberg's default
# Iceberg keeps 16 characters of a text's bounds and counts the last one up in the upper one.
_EXACT_CHARACTERS = 15
_OLDER_LAYOUT = "older layout"


@dataclass(frozen=True)
class Figures:
    """A table's size. `bytes` are those of the data files at main's head."""

    files: int
    bytes: int
    manifests: int
    snapshots: int

    @property
    def average_file_bytes(self) -> float:
        return self.bytes / self.files if self.files else 0.0


@dataclass(frozen=True)
class Partition:
    """Files to rewrite together: `where` (Spark SQL) says which, None for all of a table that has no partitions.

    `whole`: all of them, and not only the small ones.
    """

    name: str
    where: str | None
    files: int
    whole: bool

    def __str__(self) -> str:
        return f"{'sort' if self.whole else 'compact'} {self.name}"


@dataclass(frozen=True)
class Due:
    """What is due for one table. `expired` snapshots are older than `expire_before` and needed by nobody."""

    branches: tuple[str, ...]
    partitions: tuple[Partition, ...]
    manifests: int
    expire_before: datetime
    expired: int
    sweep: bool

    @property
    def needs(self) -> list[str]:
        """In a word each; not whether there are orphan files, which only a look can tell."""
        kinds = {
            "compaction": self.partitions,
            "fewer manifests": self.manifests,
            "snapshot expiry": self.expired,
            "branches dropped": self.branches,
        }
        return [kind for kind, needed in kinds.items() if needed]

    @property
    def reasons(self) -> list[str]:
        """Each thing that is due, and why."""
        told = [f"drop the branch {name}: it was left behind" for name in self.branches]
        told += [f"{partition}: {partition.files} files" for partition in self.partitions]
        if self.manifests:
            told.append(f"rewrite {self.manifests} manifests: fewer would do")
        if self.expired:
            told.append(f"expire {self.expired} snapshots: older than {self.expire_before:%Y-%m-%d %H:%M:%S}")
        if self.sweep:
            told.append("look for orphan files: not done in the last day")
        return told


def figures(table: IcebergTable) -> Figures:
    snapshot = table.current_snapshot()
    summary = snapshot.summary if snapshot is not None else None

    def total(key: str) -> int:
        return int((summary.get(key) if summary is not None else None) or 0)

    manifests = len(snapshot.manifests(table.io)) if snapshot is not None else 0
    return Figures(total("total-data-files"), total("total-files-size"), manifests, len(table.metadata.snapshots))


def due(table: IcebergTable, *, keep: timedelta, now: datetime, wanted: Collection[int] = ()) -> Due:
    """What is due at `now` when snapshots are kept for `keep`; those `wanted`, and all after them, for longer."""
    before = expire_before(table, keep=keep, now=now, wanted=wanted)
    heads = {ref.snapshot_id for ref in table.refs().values()}
    expired = [s for s in table.snapshots() if _at(s) < before and s.snapshot_id not in heads]
    swept = table.properties.get(SWEPT_AT)
    return Due(
        branches=tuple(left_behind(table, now)),
        partitions=tuple(_partitions(table, now)),
        manifests=_manifests(table),
        expire_before=before,
        expired=len(expired),
        sweep=swept is None or datetime.fromisoformat(swept) < now - SWEEP_EVERY,
    )


def expire_before(table: IcebergTable, *, keep: timedelta, now: datetime, wanted: Collection[int] = ()) -> datetime:
    """The time before which nobody needs a snapshot any more.

    Needed are, however old: on every branch the newest snapshot that carries a mark, on main those `wanted`, and the
    whole chain from there to the head, which readers of the state and of increments walk. Of one that main was rolled
    back from, the chain from where they parted to both: by these is told what was lost.
    """
    needed: list[Snapshot] = []
    starts: set[int | None] = set()
    for snapshot_id in wanted:
        lost = beyond(table, snapshot_id, table.metadata.current_snapshot_id)
        needed += lost
        starts.add(lost[-1].parent_snapshot_id if lost else snapshot_id)
    for name, ref in table.refs().items():
        if ref.snapshot_ref_type != "branch":
            continue
        chain: list[Snapshot] = []
        marked = False
        for snapshot in ancestors(table, ref.snapshot_id):
            chain.append(snapshot)
            newest_mark = not marked and is_mark(snapshot)
            marked = marked or newest_mark
            if newest_mark or (name == "main" and snapshot.snapshot_id in starts):
                needed += chain
                chain = []
    return min([now - keep, *map(_at, needed)])


def _at(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)


def target_file_bytes(table: IcebergTable) -> int:
    """The size in bytes that the table's data files should have: its own, or else the one that new tables get."""
    return int(table.properties.get(_TARGET_FILE_SIZE, TABLE_PROPERTIES[_TARGET_FILE_SIZE]))


def small_below(table: IcebergTable) -> int:
    """The size in bytes under which a data file of the table is small."""
    return int(target_file_bytes(table) * SMALL)


def _manifests(table: IcebergTable) -> int:
    """How many manifests there are, if they are too many."""
    snapshot = table.current_snapshot()
    sizes = [manifest.manifest_length for manifest in snapshot.manifests(table.io)] if snapshot is not None else []
    target = int(table.properties.get(_TARGET_MANIFEST_SIZE, _MANIFEST_SIZE))
    sparse = sum(sizes) < len(sizes) * SPARSE * target
    return len(sizes) if len(sizes) > MANY_MANIFESTS and sparse else 0


@dataclass(frozen=True)
class _File:
    size: int
    written: datetime | None  # None: by a snapshot that is expired
    bounds: tuple[tuple[Any, Any], ...]  # of each sort column; what follows an unknown one is left out


class _Group(NamedTuple):
    """Files that are looked at and rewritten together: those of a day, or of a ledger's partition."""

    name: str
    where: str | None  # Spark SQL; None: of all of the table
    day: date | None


def _partitions(table: IcebergTable, now: datetime) -> Iterator[Partition]:
    """The groups of files that a rewrite would better."""
    small = small_below(table)
    for (name, where, day), parts in sorted(_files(table).items(), key=lambda group: group[0].name):
        everything = [file for files in parts.values() for file in files]
        cold = day is not None and _is_cold(day, everything, now)
        crowded = {part for part, files in parts.items() if sum(file.size < small for file in files) >= SMALL_FILES}
        if crowded or (cold and not all(_in_order(files) for files in parts.values())):
            yield Partition(name, where, len(everything), whole=cold)


def _files(table: IcebergTable) -> dict[_Group, dict[Any, list[_File]]]:
    """The data files at main's head, by group and then as Iceberg rewrites them: by the whole of their partition, those
    of any older layout as one."""
    from pyiceberg.manifest import DataFileContent, ManifestContent

    snapshot = table.current_snapshot()
    times = {snapshot.snapshot_id: _at(snapshot) for snapshot in table.snapshots()}
    found: dict[_Group, dict[Any, list[_File]]] = defaultdict(lambda: defaultdict(list))
    for manifest in snapshot.manifests(table.io) if snapshot is not None else ():
        if manifest.content != ManifestContent.DATA:
            continue
        spec = table.specs()[manifest.partition_spec_id]
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            if file.content == DataFileContent.DATA:
                values = tuple(file.partition[place] for place in range(len(file.partition)))
                written = times.get(entry.snapshot_id) if entry.snapshot_id is not None else None
                part = values if spec == table.spec() else _OLDER_LAYOUT
                found[_group(table, spec, values)][part].append(
                    _File(file.file_size_in_bytes, written, _bounds(table, file))
                )
    return found


def _group(table: IcebergTable, spec: PartitionSpec, values: tuple[Any, ...]) -> _Group:
    """The group of a file, by the layout it was written in: hours lie within a day, buckets beside it."""
    from pyiceberg.transforms import DayTransform, HourTransform, IdentityTransform

    for field, value in zip(spec.fields, values, strict=True):
        if not isinstance(field.transform, (DayTransform, HourTransform, IdentityTransform)):
            continue
        column = f"`{table.schema().find_column_name(field.source_id)}`"
        if value is None:
            return _Group("null", f"{column} IS NULL", None)
        if isinstance(field.transform, IdentityTransform):
            return _Group(str(value), f"{column} = '{value}'", None)
        day = date(1970, 1, 1) + timedelta(days=value // 24 if isinstance(field.transform, HourTransform) else value)
        after = day + timedelta(days=1)
        where = f"{column} >= TIMESTAMP '{day} 00:00:00Z' AND {column} < TIMESTAMP '{after} 00:00:00Z'"
        return _Group(str(day), where, day)
    return _Group("all", None, None)


def _bounds(table: IcebergTable, file: DataFile) -> tuple[tuple[Any, Any], ...]:
    from pyiceberg.conversions import from_bytes
    from pyiceberg.table.sorting import SortDirection
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import PrimitiveType

    def told(field_id: int, bound: bytes) -> Any:
        kind = table.schema().find_type(field_id)
        assert isinstance(kind, PrimitiveType)
        value = from_bytes(kind, bound)
        return value[:_EXACT_CHARACTERS] if isinstance(value, str) else value

    lows, highs = file.lower_bounds or {}, file.upper_bounds or {}
    by_value = takewhile(
        lambda field: (
            isinstance(field.transform, IdentityTransform)
            and field.direction == SortDirection.ASC
            and {field.source_id} <= lows.keys() & highs.keys()
        ),
        table.sort_order().fields,
    )
    return tuple((told(f.source_id, lows[f.source_id]), told(f.source_id, highs[f.source_id])) for f in by_value)


def _is_cold(day: date, files: Collection[_File], now: datetime) -> bool:
    over = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return max([over, *(file.written for file in files if file.written)]) <= now - COLD


def _in_order(files: Collection[_File]) -> bool:
    """Whether the files follow each other in the table's sort order, as far as their bounds tell.

    Every writer here sorts within its files. Iceberg 1.10 does not note in a file that it was sorted: both kinds of
    rewrite leave sort order 0.
    """
    return all(_follows(left, right) for left, right in pairwise(sorted(file.bounds for file in files)))


def _follows(left: tuple[tuple[Any, Any], ...], right: tuple[tuple[Any, Any], ...]) -> bool:
    for (low, high), (next_low, next_high) in zip(left, right, strict=False):
        if high != next_low:
            return bool(high < next_low)
        if not low == high == next_high:
            return True  # they share one value, of which the bounds of further columns do not tell
    return True
