"""How a table is best partitioned: candidates compared by what they cost to write and to read.

Volumes come from the table's metadata; how rows are shared among symbols from the symbol column of a few files.
Everything about a candidate is an estimate for a typical day in files of the target size.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.exchanges import raw_tables
from schemahub_lib.pipeline.duckdb import parquet
from schemahub_lib.schemas import TARGETS
from schemahub_lib.tables.due import target_file_bytes
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import existing

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.partitioning import PartitionField
    from pyiceberg.table import Table as IcebergTable

ROW_GROUP_BYTES = 128 * 2**20  # Iceberg's default; nothing smaller than a row group can be skipped within a file

# The rules. A partition earns its place with at least one target file a day: with less, compaction cannot make files
# of the target size and queries open many small ones.
MIN_BUCKETS = 4  # with fewer, a query for one symbol skips too little to be worth more files in each batch
MAX_BUCKETS = 64  # a microbatch writes a file into each
SYMBOLS_PER_BUCKET = 2  # with fewer, hashing leaves many buckets empty
MAX_BUCKET_SHARE = 0.5  # beyond that one bucket is the table, and buckets divide nothing
ENOUGH_DAYS = 3  # with fewer, the first and the last one, which are not whole, decide

SAMPLE_BYTES = 20 * 2**20  # of the symbol column, as compressed
SAMPLE_FILES = 100
BATCHES_A_DAY = 48  # one every 30 minutes

Query = Literal["one symbol, one day", "one symbol, one hour", "all symbols, one day", "one symbol, all time"]


@dataclass(frozen=True)
class Layout:
    """`days(time)` or `hours(time)`, and `bucket(buckets, symbol)` where there are any."""

    unit: Literal["days", "hours"]
    buckets: int = 0


@dataclass(frozen=True)
class Volume:
    """What the metadata say: measured. `day_bytes` is the median day, `largest_day_bytes` the largest."""

    rows: int
    bytes: int
    files: int
    first_day: date
    last_day: date
    days: int
    hours: int
    day_bytes: float
    largest_day_bytes: float
    target_file_bytes: int
    row_group_bytes: int


@dataclass(frozen=True)
class Symbols:
    """Each symbol's share of the rows, in `rows` rows of `files` files; `all_files`: of every one."""

    shares: Mapping[str, float]
    rows: int
    files: int
    all_files: bool


@dataclass(frozen=True)
class Estimate:
    """A layout's costs.

    `reads` is the part of the table's bytes that a query reads, an average over symbols, where every file is sorted by
    (symbol, time) for itself, as it is written; `reads_sorted` where each partition is sorted as a whole.
    """

    layout: str
    partitions: int
    files: int
    average_file_bytes: float
    batch_files: int
    batch_file_bytes: float
    reads: Mapping[Query, float]
    reads_sorted: Mapping[Query, float]


@dataclass(frozen=True)
class PartitionPlan:
    """`statements` (Spark SQL) change the table to the recommended layout; none when it is the present one."""

    table: str
    present: str
    volume: Volume
    symbols: Symbols
    candidates: tuple[Estimate, ...]
    recommended: str
    reason: str
    statements: tuple[str, ...]
    notes: tuple[str, ...]


def plan_partitions(lake: Lake, name: str) -> PartitionPlan:
    """Compare days, hours and days with buckets for a raw or unified table. Reads metadata and a sample; no JVM.

    Raises UsageError for other tables and for one without rows, SchemaHubError for files without bounds.
    """
    tables = raw_tables() | TARGETS
    table = existing(lake, name)
    if name not in tables:
        raise UsageError(f"{name} holds no trades: choose one of {', '.join(tables)}")
    symbol, time = tables[name].sort_by
    files = [task.file for task in table.scan().plan_files()]
    if not files:
        raise UsageError(f"{name} holds no rows yet, so there is nothing to plan from")
    volume = _volume(table, files, time)
    symbols = _symbols(table, files, symbol)
    layout, reason = recommend(volume, symbols)
    candidates = [Layout("days"), Layout("hours"), Layout("days", max(layout.buckets, MIN_BUCKETS))]
    present = _layout(table, symbol, time)
    if present is not None and present not in candidates:
        candidates.append(present)
    statements = tuple(_statements(lake, table, layout, symbol, time))
    notes = []
    if volume.days < ENOUGH_DAYS:
        notes.append(f"days measured: {volume.days}; ask again when there are at least {ENOUGH_DAYS}")
    if volume.row_group_bytes >= volume.target_file_bytes:
        notes.append("row groups are as large as files: a file is read as a whole or not at all, however it is sorted")
    if statements:
        notes.append("files written before keep their layout until compaction rewrites them; queries read both")
    return PartitionPlan(
        name,
        ", ".join(_field(field, column) for column, field in _fields(table).items()) or "not partitioned",
        volume,
        symbols,
        tuple(estimate(candidate, volume, symbols, symbol, time) for candidate in candidates),
        _spelled(layout, symbol, time),
        reason,
        statements,
        tuple(notes),
    )


def recommend(volume: Volume, symbols: Symbols) -> tuple[Layout, str]:
    """The layout for a volume, and why."""
    filled = volume.day_bytes / volume.target_file_bytes
    day = f"a typical day fills {filled:,.1f} files of the target size"
    if filled < MIN_BUCKETS:
        return Layout("days"), f"{day}, not {MIN_BUCKETS}: smaller partitions would only make smaller files"
    most = min(filled, len(symbols.shares) / SYMBOLS_PER_BUCKET, MAX_BUCKETS)
    buckets = 2 ** (int(most).bit_length() - 1) if most >= 1 else 0
    if buckets < MIN_BUCKETS:
        why = f"{len(symbols.shares)} symbols are too few to share among {MIN_BUCKETS} buckets"
    elif (largest := max(sum(group) for group in _groups(symbols.shares, buckets))) > MAX_BUCKET_SHARE:
        why = f"the largest of {buckets} buckets would hold {largest:.0%} of the rows"
    else:
        return (
            Layout("days", buckets),
            f"{day}: enough for {buckets} buckets, and a query for one symbol skips all but one",
        )
    an_hour = filled * volume.days / volume.hours
    if an_hour >= 1:
        return Layout("hours"), f"{day}, an hour {an_hour:,.1f}, so an hour is worth a partition; {why}"
    return Layout("days"), f"{day}, but an hour only {an_hour:,.1f}; {why}"


def estimate(layout: Layout, volume: Volume, symbols: Symbols, symbol: str, time: str) -> Estimate:
    """What a layout costs, if every day were the typical one."""
    hours_a_day = volume.hours / volume.days
    slots_a_day = hours_a_day if layout.unit == "hours" else 1.0
    slot = volume.day_bytes / slots_a_day  # bytes of one day or hour
    groups = _groups(symbols.shares, layout.buckets)
    target = volume.target_file_bytes

    days, day = volume.days, volume.day_bytes

    def read(wanted: float, *, whole: bool) -> float:
        """Bytes read of a slot for the part `wanted` of a symbol's rows there, an average over symbols.

        Sorted rows lie together, in the whole partition or in each of its files. Wherever they begin and end, their row
        group holds rows of another symbol too, of any time, and is read as a whole.
        """
        total = 0.0
        for group in groups:
            partition = sum(group) * slot
            files = ceil(partition / target)
            row_group = min(volume.row_group_bytes, partition / files)
            places = 1 if whole else files
            for share in group:
                rows = share * slot / places
                edges = min(rows, row_group) if len(group) > 1 else 0.0
                total += min(partition, places * (row_group + edges + (rows - edges) * wanted))
        return total / len(symbols.shares)

    def reads(*, whole: bool) -> dict[Query, float]:
        a_day = read(1.0, whole=whole) * slots_a_day / day
        an_hour = read(1.0 if layout.unit == "hours" else 1 / hours_a_day, whole=whole) / day
        return {
            "one symbol, one day": a_day / days,
            "one symbol, one hour": an_hour / days,
            "all symbols, one day": 1 / days,
            "one symbol, all time": a_day,
        }

    files = sum(ceil(sum(group) * slot / target) for group in groups) * slots_a_day * days
    batch = day / BATCHES_A_DAY
    touched = 2 if layout.unit == "hours" else 1  # half an hour that does not begin on the hour lies in two
    batch_files = touched * sum(ceil(sum(group) * batch / touched / target) for group in groups)
    return Estimate(
        _spelled(layout, symbol, time),
        round(len(groups) * slots_a_day * days),
        round(files),
        day * days / files,
        batch_files,
        batch / batch_files,
        reads(whole=False),
        reads(whole=True),
    )


def _groups(shares: Mapping[str, float], buckets: int) -> list[list[float]]:
    """The shares of the symbols that lie together in a partition: all, or bucket by bucket as Iceberg hashes them."""
    if not buckets:
        return [list(shares.values())]
    from pyiceberg.transforms import BucketTransform
    from pyiceberg.types import StringType

    bucket_of = BucketTransform(buckets).transform(StringType())
    groups: dict[int | None, list[float]] = defaultdict(list)
    for symbol, share in shares.items():
        groups[bucket_of(symbol)].append(share)
    return list(groups.values())


def _volume(table: IcebergTable, files: Sequence[DataFile], time: str) -> Volume:
    field = table.schema().find_field(time).field_id
    by_hour: dict[datetime, float] = defaultdict(float)
    for file in files:
        low, high = ((bounds or {}).get(field) for bounds in (file.lower_bounds, file.upper_bounds))
        if low is None or high is None:
            raise SchemaHubError(
                f"{file.file_path} has no bounds of {time}, by which its day is told; compact the table"
            )
        first, last = _hour(low), _hour(high)
        hours = (last - first) // timedelta(hours=1) + 1
        for number in range(hours):
            by_hour[first + number * timedelta(hours=1)] += file.file_size_in_bytes / hours
    by_day: dict[date, float] = defaultdict(float)
    for hour, size in by_hour.items():
        by_day[hour.date()] += size
    return Volume(
        sum(file.record_count for file in files),
        sum(file.file_size_in_bytes for file in files),
        len(files),
        min(by_day),
        max(by_day),
        len(by_day),
        len(by_hour),
        median(by_day.values()),
        max(by_day.values()),
        target_file_bytes(table),
        _row_group_bytes(files) or int(table.properties.get("write.parquet.row-group-size-bytes", ROW_GROUP_BYTES)),
    )


def _row_group_bytes(files: Sequence[DataFile]) -> int:
    """An average row group of the files that have several; 0 where none has. Spark's setting is a size in memory, which
    says little of the size in a file."""
    several = [file for file in files if len(file.split_offsets or ()) > 1]
    groups = sum(len(file.split_offsets or ()) for file in several)
    return sum(file.file_size_in_bytes for file in several) // groups if groups else 0


def _hour(bound: bytes) -> datetime:
    """The hour of a bound as it stands in a manifest."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import TimestamptzType

    micros: Any = from_bytes(TimestamptzType(), bound)
    return datetime.fromtimestamp(micros // 3_600_000_000 * 3600, UTC)


def _symbols(table: IcebergTable, files: Sequence[DataFile], symbol: str) -> Symbols:
    """Symbols and their shares in files from all over the table."""
    import pyarrow.compute as pc

    field = table.schema().find_field(symbol).field_id
    step = ceil(len(files) / SAMPLE_FILES)
    chosen: list[DataFile] = []
    size = 0
    for file in sorted(files, key=lambda file: file.file_path)[::step]:
        size += (file.column_sizes or {}).get(field) or file.file_size_in_bytes
        if chosen and size > SAMPLE_BYTES:
            break
        chosen.append(file)
    column = parquet(table, chosen).to_table(columns=[symbol])[symbol]
    counts: list[dict[str, Any]] = pc.value_counts(column).to_pylist()
    shares = {count["values"]: count["counts"] / len(column) for count in counts}
    return Symbols(shares, len(column), len(chosen), len(chosen) == len(files))


def _fields(table: IcebergTable) -> dict[str, PartitionField]:
    """The present partition fields by the column they are made from."""
    return {str(table.schema().find_column_name(field.source_id)): field for field in table.spec().fields}


def _layout(table: IcebergTable, symbol: str, time: str) -> Layout | None:
    """The table's present layout, if it is of the kind compared here."""
    transforms = {column: str(field.transform) for column, field in _fields(table).items()}
    unit = {"day": "days", "hour": "hours"}.get(transforms.pop(time, ""))
    buckets = re.fullmatch(r"bucket\[(\d+)\]", transforms.pop(symbol, "bucket[0]"))
    if unit is None or buckets is None or transforms:
        return None
    return Layout(unit, int(buckets[1]))  # type: ignore[arg-type]


def _statements(lake: Lake, table: IcebergTable, layout: Layout, symbol: str, time: str) -> Iterator[str]:
    """What makes `layout` the table's, as Spark SQL; nothing when it is."""
    fields = _fields(table)
    alter = f"ALTER TABLE {lake.settings.catalog}.{lake.settings.database}.{table.name()[-1]}"
    bucket = f"bucket({layout.buckets}, {symbol})" if layout.buckets else None
    for column, wanted in ((time, f"{layout.unit}({time})"), (symbol, bucket)):
        field = fields.get(column)
        if field is None and wanted:
            yield f"{alter} ADD PARTITION FIELD {wanted}"
        elif field is not None and not wanted:
            yield f"{alter} DROP PARTITION FIELD {field.name}"
        elif field is not None and _field(field, column) != wanted:
            yield f"{alter} REPLACE PARTITION FIELD {field.name} WITH {wanted}"


def _field(field: PartitionField, column: str) -> str:
    """A partition field as Spark SQL spells it."""
    transform = str(field.transform)
    if buckets := re.fullmatch(r"bucket\[(\d+)\]", transform):
        return f"bucket({buckets[1]}, {column})"
    return f"{transform}s({column})" if transform in ("day", "hour") else f"{transform}({column})"


def _spelled(layout: Layout, symbol: str, time: str) -> str:
    return f"{layout.unit}({time})" + (f", bucket({layout.buckets}, {symbol})" if layout.buckets else "")
